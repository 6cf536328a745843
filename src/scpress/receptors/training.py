"""How the autoencoder of receptor sequences is trained, and what it gives back of each."""

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from scpress.config.receptors import ReceptorsOptions
from scpress.receptors.contigs import RESIDUES
from scpress.receptors.network import ReceptorAutoencoder
from scpress.receptors.sequences import PADDING, Sequences

log = logging.getLogger("scpress")

# Passes between two lines about the progress.
_LINE_EVERY = 10
# Sequences at a time where nothing is trained.
_ROWS = 2048
# Largest norm of a gradient: one odd batch throws a recurrent network far.
_MAX_NORM = 1.0


@dataclass(frozen=True)
class Trained:
    """A trained network and what became of the sequences.

    Attributes
    ----------
    codes
        [sequences, n_latent] Float32.
    written
        [sequences, longest] What is read out of each code again, as `Sequences.residues`.
    is_held_out
        [sequences] Not trained on.
    v_right, j_right
        [sequences] Whether the gene is read out of the code again; NaN where it is not known.
    losses
        Of the held-out sequences after each pass, nats per sequence.
    """

    network: ReceptorAutoencoder
    codes: np.ndarray
    written: np.ndarray
    is_held_out: np.ndarray
    v_right: np.ndarray
    j_right: np.ndarray
    losses: tuple[float, ...]


def train(sequences: Sequences, options: ReceptorsOptions) -> Trained:
    """Train until the held-out sequences are not told better any more; the best pass is kept.

    The same sequences, options and number of threads give the same bits.
    """
    if options.method == "kmers":
        raise ValueError("k-mers are counted, not trained")
    generator = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = ReceptorAutoencoder(
            cell=options.method,
            n_v=len(sequences.v_names),
            n_j=len(sequences.j_names),
            n_latent=options.n_latent,
            hidden=options.hidden,
        )
    is_held_out = hold_out(sequences, options.validation_fraction, options.seed)
    rows = torch.from_numpy(np.flatnonzero(~is_held_out))
    held_out = torch.from_numpy(np.flatnonzero(is_held_out))
    tensors = _tensors(sequences)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.max_epochs)
    best, best_state, losses = np.inf, network.state_dict(), []
    since = 0
    for epoch in range(1, options.max_epochs + 1):
        network.train()
        for batch in rows[torch.randperm(len(rows), generator=generator)].split(options.batch_size):
            optimizer.zero_grad()
            _loss(network, _taken(tensors, batch), options, generator).backward()
            nn.utils.clip_grad_norm_(network.parameters(), _MAX_NORM)
            optimizer.step()
        schedule.step()
        losses.append(_held_out_loss(network, tensors, held_out, options))
        since += 1
        if losses[-1] < best:
            best, best_state, since = losses[-1], copy.deepcopy(network.state_dict()), 0
        if epoch % _LINE_EVERY == 0:
            log.info(
                "receptors: pass %d of at most %d: held-out loss %.3f nats a sequence, best %.3f.",
                epoch,
                options.max_epochs,
                losses[-1],
                best,
            )
        if since >= options.patience or not np.isfinite(losses[-1]):
            break
    network.load_state_dict(best_state)
    network.eval()
    return Trained(
        network, **_read_back(network, tensors), is_held_out=is_held_out, losses=tuple(losses)
    )


def hold_out(sequences: Sequences, fraction: float, seed: int) -> np.ndarray:
    """[sequences] Whether each is held out; those with the same residues are on one side."""
    _, text = np.unique(sequences.residues, axis=0, return_inverse=True)
    text = text.ravel()
    n = text.max() + 1
    chosen = np.random.default_rng(seed).permutation(n)[: max(round(fraction * n), 1)]
    return np.isin(text, chosen)


def _tensors(sequences: Sequences) -> tuple[torch.Tensor, ...]:
    columns = (sequences.residues, sequences.lengths, sequences.v, sequences.j)
    return tuple(map(torch.from_numpy, columns))


def _taken(tensors: tuple[torch.Tensor, ...], rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    residues, lengths, v, j = (one[rows] for one in tensors)
    return residues[:, : int(lengths.max())], lengths, v, j


def _blocks(tensors: tuple[torch.Tensor, ...], rows: torch.Tensor) -> Iterator:
    for block in rows.split(_ROWS):
        yield block, _taken(tensors, block)


def _loss(
    network: ReceptorAutoencoder,
    batch: tuple[torch.Tensor, ...],
    options: ReceptorsOptions | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Nats per sequence of its residues, its end and its genes.

    With options as in training: some residues are others, and some are not told to the decoder.
    """
    residues, lengths, v, j = batch
    told = None
    if options is not None:
        shape, there = residues.shape, residues != PADDING
        chance = torch.rand(shape, generator=generator)
        other = torch.randint(1, len(RESIDUES) + 1, shape, generator=generator)
        residues = torch.where(there & (chance < options.mutation_rate), other, residues)
        told = torch.rand(shape, generator=generator) >= options.teacher_dropout
    z = network.encode(residues, lengths, v, j)
    scores, tokens = network.forced(z, residues, lengths, told)
    loss = nn.functional.cross_entropy(scores, tokens, reduction="sum")
    for head, gene in ((network.to_v, v), (network.to_j, j)):
        # A gene that is not known, number 0, is not asked for.
        loss = loss + nn.functional.cross_entropy(head(z), gene, ignore_index=0, reduction="sum")
    return loss / len(lengths)


@torch.no_grad()
def _held_out_loss(
    network: ReceptorAutoencoder,
    tensors: tuple[torch.Tensor, ...],
    rows: torch.Tensor,
    options: ReceptorsOptions,
) -> float:
    """Nats per held-out sequence, with the dropout of training, the same at every pass."""
    network.eval()
    generator = torch.Generator().manual_seed(options.seed)
    unchanged = ReceptorsOptions(mutation_rate=0.0, teacher_dropout=options.teacher_dropout)
    total = sum(
        float(_loss(network, batch, unchanged, generator)) * len(block)
        for block, batch in _blocks(tensors, rows)
    )
    return total / len(rows)


@torch.no_grad()
def _read_back(
    network: ReceptorAutoencoder, tensors: tuple[torch.Tensor, ...]
) -> dict[str, np.ndarray]:
    n, longest = tensors[0].shape
    parts: dict[str, list] = {"codes": [], "written": [], "v_right": [], "j_right": []}
    for _, (residues, lengths, v, j) in _blocks(tensors, torch.arange(n)):
        z = network.encode(residues, lengths, v, j)
        parts["codes"].append(z)
        parts["written"].append(network.generate(z, longest))
        for name, head, gene in (("v", network.to_v, v), ("j", network.to_j, j)):
            right = (head(z).argmax(dim=1) == gene).to(torch.float32)
            parts[f"{name}_right"].append(right.masked_fill(gene == 0, torch.nan))
    return {name: torch.cat(values).numpy() for name, values in parts.items()}
