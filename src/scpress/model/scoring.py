"""How well a model predicts counts it was not trained on: one scorer for every engine."""

import math

import numpy as np
import torch
from scipy import sparse

from scpress.counts.matrix import gene_totals, iter_chunks, sums_of_squares
from scpress.counts.sizes import library_sizes, log_normalize
from scpress.model import likelihoods as lk
from scpress.model.batches import sparse_batch
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS, Parameters
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder

# Cells decoded at a time; a block of 512 x 2000 float32 parameters is 4 MB.
_BLOCK_CELLS = 512
# Cells whose medians are taken at most.
_MAX_MEDIANS = 20_000
_LIBRARY_GROUPS, _NEWTON_STEPS = 256, 30


def importance_weighted_nll(
    model: TrainedModel, data: ModelledCounts, *, n_draws: int = 100, seed: int = 0
) -> np.ndarray:
    """[cells] -log p(x) of each cell, nats, by importance sampling from the posterior.

    -log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x) (Burda 2016). It is an upper bound in
    expectation that tightens with K, and the only score here that a KL weight cannot cheat.

    Raises
    ------
    ValueError
        The model is deterministic and has no p(x).
    """
    if not model.config.is_variational:
        raise ValueError("a deterministic model has no p(x); compare it on held-out molecules")
    generator = torch.Generator().manual_seed(seed)
    network = model.network.eval()
    device = network.input_mean.device
    out = np.zeros(len(data))
    with torch.no_grad():
        for rows, block in data.blocks(n_cells=_BLOCK_CELLS):
            cells = block.cells_of(model)
            mean, sd = network.encode(cells)
            assert sd is not None
            total = torch.full((len(block),), -math.inf, dtype=torch.float64, device=device)
            for _ in range(n_draws):
                noise = torch.randn(mean.shape, generator=generator).to(device)
                z = mean + sd * noise
                # log p(z) - log q(z|x): the constants cancel.
                log_weight = (torch.log(sd) + 0.5 * (noise**2 - z**2)).sum(dim=1)
                log_joint = network.log_likelihood(z, cells) + log_weight
                total = torch.logaddexp(total, log_joint.double())
            out[rows] = math.log(n_draws) - total.cpu().numpy()
    return out


def reconstruction_nll(model: TrainedModel, data: ModelledCounts) -> np.ndarray:
    """[cells] -log p(x|z) at the posterior mean or code, nats."""
    out = np.zeros(len(data))
    for rows, block in data.blocks(n_cells=_BLOCK_CELLS):
        cells = block.cells_of(model)
        out[rows] = -model.log_likelihood(cells, model.encode(cells)[0])
    return out


def gene_mean_nll(
    network: CountAutoencoder, training: ModelledCounts, held_out: ModelledCounts
) -> float:
    """Mean -log p(x) per held-out cell, nats, of the model that knows each gene's mean only.

    The same likelihood and library as the network's, without its latent: mu is the gene's share
    times the cell's library, theta comes from the moments. A fit must beat it.
    """
    config = network.config
    likelihood = LIKELIHOODS[config.likelihood]
    if not likelihood.on_counts:
        center, scale = fit_log_values(training, config.likelihood)
        of_gene = Parameters(
            torch.from_numpy(center)[None, :], -torch.log(torch.from_numpy(scale))[None, :]
        )
        target = log_values(held_out)
        values = lk.sum_log_likelihood(
            config.likelihood, _float(of_gene), sparse_batch(target), mask_of(held_out)
        )
        return -float(values.double().mean())
    rate = None if training.measured is None else gene_rates(training)
    library, held_library = (
        library_of(data, config.library, rate) for data in (training, held_out)
    )
    share = gene_totals(training.X) / training.sums(library)
    log_share = np.log(np.maximum(share, 0.5 / training.sums(library)))
    if config.likelihood == "bernoulli":
        log_share = np.log(presence_share(training, library))
    if config.likelihood == "multinomial":
        log_share -= np.log(np.exp(log_share).sum())
        if rate is not None:  # what was counted is shared out over what was measured
            held_library = library_of(held_out, config.library, np.exp(log_share))
    theta = moment_theta(training, library, share)
    total = 0.0
    name = config.likelihood if not likelihood.has_theta else "nb"
    for rows, block in held_out.blocks(n_cells=_BLOCK_CELLS):
        log_mu = np.log(held_library[rows])[:, None] + log_share
        parameters = Parameters(
            torch.from_numpy(log_mu).clamp(lk.LOG_MU_MIN, lk.LOG_MU_MAX),
            torch.from_numpy(np.log(theta)),
        )
        total += float(
            lk.sum_log_likelihood(name, _float(parameters), sparse_batch(block.X), mask_of(block))
            .double()
            .sum()
        )
    return -total / len(held_out)


def mask_of(data: ModelledCounts) -> torch.Tensor | None:
    """[cells, genes] Whether a cell was measured; None where all were. Call it on a block."""
    return None if data.measured is None else torch.from_numpy(data.measured.mask())


def gene_rates(data: ModelledCounts) -> np.ndarray:
    """[genes] Molecules of a cell of size factor 1, over the cells that were measured."""
    size = data.sums(data.size_factor)
    return np.asarray((gene_totals(data.X) + 0.5) / np.maximum(size, 1e-12))


def log_values(data: ModelledCounts) -> sparse.csr_matrix:
    """[cells, n_genes] log1p(counts / size_factor), CSR."""
    return log_normalize(data.X, data.size_factor)


def log_moments(data: ModelledCounts) -> tuple[np.ndarray, np.ndarray]:
    """([genes] mean, [genes] variance) of the log-values over the cells, float64.

    The variance counts one more cell, of the mean variance of all genes: a gene seen in no
    training cell would otherwise make a single molecule of a held-out one cost any number of nats.
    """
    n_obs = np.maximum(data.sums(np.ones(len(data))), 1)
    first, second = np.zeros(data.X.shape[1]), np.zeros(data.X.shape[1])
    for start, stop, block in iter_chunks(data.X):
        values = log_normalize(block, data.size_factor[start:stop])
        first += np.asarray(values.sum(axis=0, dtype=np.float64)).ravel()
        second += sums_of_squares(values)
    mean = first / n_obs
    variance = np.maximum(second / n_obs - mean**2, 0.0)
    return mean, (n_obs * variance + max(float(variance.mean()), 1e-6)) / (n_obs + 1)


def fit_log_values(data: ModelledCounts, likelihood: str) -> tuple[np.ndarray, np.ndarray]:
    """([genes] center, [genes] scale) of the log-values that are most probable of each gene.

    Mean and variance of a gaussian; median and mean absolute deviation of a laplace, which counts
    one more cell as `log_moments` does, of at most 20,000 cells.
    """
    if likelihood == "gaussian":
        return log_moments(data)
    rows = np.sort(np.random.default_rng(0).permutation(len(data))[:_MAX_MEDIANS])
    drawn = data.take(rows)
    values = log_values(drawn).tocsc()
    n_genes = values.shape[1]
    measured = np.broadcast_to(drawn.sums(np.ones(len(drawn))), n_genes)
    center, spread = np.zeros(n_genes), np.zeros(n_genes)
    n_obs = np.maximum(measured, 1).astype(np.int64)
    for gene, n_cells in enumerate(n_obs):
        found = values.data[values.indptr[gene] : values.indptr[gene + 1]].astype(np.float64)
        if 2 * len(found) >= n_cells:
            center[gene] = np.median(np.concatenate([np.zeros(n_cells - len(found)), found]))
        of_zeros = (n_cells - len(found)) * center[gene]
        spread[gene] = (np.abs(found - center[gene]).sum() + of_zeros) / n_cells
    return center, (n_obs * spread + max(float(spread.mean()), 1e-6)) / (n_obs + 1)


def presence_share(data: ModelledCounts, library: np.ndarray) -> np.ndarray:
    """[genes] Share s of the most probable presence, 1 - exp(-library s) in each cell.

    The expected number of cells with the gene is the counted one: Newton's method from below, where
    it cannot overshoot, on cells in groups of one library (and of one set of measured genes).
    """
    X = data.X
    n_obs = np.maximum(data.sums(np.ones(len(library))), 1)
    sets = [np.arange(len(library))]
    if data.measured is not None:
        of_cell = data.measured.of_cell
        sets = [np.flatnonzero(of_cell == one) for one in np.unique(of_cell)]
    parts = [np.array_split(np.sort(library[s]), min(len(s), _LIBRARY_GROUPS)) for s in sets]
    groups = [group for part in parts for group in part]
    size = np.array([len(group) for group in groups])[:, None]
    if data.measured is not None:
        of_set = data.measured.genes[[data.measured.of_cell[rows[0]] for rows in sets]]
        size = size * np.repeat(of_set, [len(part) for part in parts], axis=0)
    of_group = np.array([group.mean() for group in groups])[:, None]
    detected = np.clip(np.bincount(X.indices, X.data > 0, minlength=X.shape[1]), 0.5, n_obs - 0.5)
    share = detected / np.maximum(data.sums(library), 1e-12)
    for _ in range(_NEWTON_STEPS):
        absent = size * np.exp(-of_group * share)
        share += (detected - n_obs + absent.sum(axis=0)) / (of_group * absent).sum(axis=0)
    return share


def moment_theta(data: ModelledCounts, library: np.ndarray, share: np.ndarray) -> np.ndarray:
    """[genes] Inverse dispersion from E[x^2] = mu + mu^2 (1 + 1/theta), mu = library * share."""
    second = sums_of_squares(data.X)
    first = gene_totals(data.X)
    mu_squared = share**2 * data.sums(np.square(library))
    excess = (second - first) / np.maximum(mu_squared, 1e-12) - 1
    low, high = math.exp(lk.LOG_THETA_MIN), math.exp(lk.LOG_THETA_MAX)
    return np.clip(1 / np.maximum(excess, 1 / high), low, high)


def library_of(data: ModelledCounts, library: str, rate: np.ndarray | None = None) -> np.ndarray:
    """[cells] What scales the mean: the size factor, or the total over the modelled genes.

    Parameters
    ----------
    rate
        [genes] Molecules at size factor 1; where some genes were not measured, the total is what
        it would be expected to be over all of them.
    """
    if library == "observed":
        total = np.maximum(library_sizes(data.X), 1).astype(np.float64)
        if data.measured is None or rate is None:
            return total
        return np.asarray(total / (data.measured.genes @ (rate / rate.sum()))[data.gene_set])
    return np.asarray(data.size_factor, dtype=np.float64)


def _float(parameters: Parameters) -> Parameters:
    return Parameters._make(p if p is None else p.float() for p in parameters)
