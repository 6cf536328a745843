"""What a decoder says of genes when cells are moved through its latent."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from scpress.model.batches import Cells, sparse_batch
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS

# Molecules that a moved cell has: of the modelled genes where the library is observed, else of all.
DEPTH = 10_000.0


@dataclass(frozen=True)
class Traversal:
    """Genes at the places of one way through the latent, means over the cells that are moved."""

    log2_fold_change: np.ndarray
    """[places, genes] Change of the logarithm of what is expected since the first place."""
    expected: np.ndarray
    """[places, genes] Molecules of `DEPTH` that are expected."""


def traverse(model: TrainedModel, places: Iterable[np.ndarray]) -> Traversal:
    """Decode the same cells at each place of a way.

    A gene's change is the mean over the cells of their log2 fold changes. Of a linear decoder it is
    the loading times the distance over ln 2, less, where `library` is observed, one number for all
    genes: those of a cell share its molecules. A gaussian or laplace model expects log-values,
    whose differences are taken.

    Parameters
    ----------
    places
        [cells, n_latent] each. The latents of the same cells, in one order.
    """
    logs, expected = [], []
    for z in places:
        log_mean, mean = _decode(model, np.asarray(z, dtype=np.float32))
        logs.append(log_mean)
        expected.append(mean)
    of_place = np.stack(logs)
    return Traversal((of_place - of_place[0]) / np.log(2), np.stack(expected))


def _decode(model: TrainedModel, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([genes] mean log, [genes] mean) of what is expected of cells at these latents."""
    cells = cells_of_depth(model, len(z))
    # Of the log-values' own models eta is their mean; it has no size factor to be multiplied by.
    scale = 1.0
    if not LIKELIHOODS[model.config.likelihood].on_counts:
        scale = DEPTH / model.median_library_size
    with torch.no_grad():
        latent = torch.as_tensor(z, device=cells.total.device)
        eta = model.network.eval().decode(latent, cells).log_mu.double()
        if LIKELIHOODS[model.config.likelihood].on_counts:
            mean = torch.exp(eta)
        else:
            mean = torch.expm1(eta).clamp(min=0) * scale
    return eta.mean(dim=0).cpu().numpy(), mean.mean(dim=0).cpu().numpy()


def cells_of_depth(model: TrainedModel, n_cells: int) -> Cells:
    """Cells of `DEPTH` molecules in the largest batch, continuous covariates at their means."""
    n_genes, of_all = model.config.n_genes, np.ones(n_cells)
    continuous = np.tile(model.network.continuous_mean.cpu().numpy(), (n_cells, 1))
    return model.cells_from(
        sparse_batch(sparse.csr_matrix((n_cells, n_genes)), model.network.input_mean.device),
        (DEPTH * of_all).astype(np.float32),
        of_all * (DEPTH / model.median_library_size),
        np.full(n_cells, model.reference_code(None)),
        continuous,
    )


def loadings(model: TrainedModel) -> np.ndarray | None:
    """[genes, n_latent] Weights of a linear decoder; None of another one.

    With an observed library a number may be added to all genes of a dimension without any change.
    """
    if len(model.network.decoder.linear):
        return None
    weight = model.network.eta.weight.detach().cpu().numpy()
    return weight[:, : model.n_latent].copy()
