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
        values = lk.sum_log_likelihood(config.likelihood, _float(of_gene), sparse_batch(target))
        return -float(values.double().mean())
    library, held_library = (library_of(data, config.library) for data in (training, held_out))
    share = gene_totals(training.X) / library.sum()
    log_share = np.log(np.maximum(share, 0.5 / library.sum()))
    if config.likelihood == "bernoulli":
        log_share = np.log(presence_share(training.X, library))
    if config.likelihood == "multinomial":
        log_share -= np.log(np.exp(log_share).sum())
    theta = moment_theta(training.X, library, share)
    total = 0.0
    name = config.likelihood if not likelihood.has_theta else "nb"
    for rows, block in held_out.blocks(n_cells=_BLOCK_CELLS):
        log_mu = np.log(held_library[rows])[:, None] + log_share
        parameters = Parameters(
            torch.from_numpy(log_mu).clamp(lk.LOG_MU_MIN, lk.LOG_MU_MAX),
            torch.from_numpy(np.log(theta)),
        )
        total += float(
            lk.sum_log_likelihood(name, _float(parameters), sparse_batch(block.X)).double().sum()
        )
    return -total / len(held_out)


def log_values(data: ModelledCounts) -> sparse.csr_matrix:
    """[cells, n_genes] log1p(counts / size_factor), CSR."""
    return log_normalize(data.X, data.size_factor)


def log_moments(data: ModelledCounts) -> tuple[np.ndarray, np.ndarray]:
    """([genes] mean, [genes] variance) of the log-values over the cells, float64.

    The variance counts one more cell, of the mean variance of all genes: a gene seen in no
    training cell would otherwise make a single molecule of a held-out one cost any number of nats.
    """
    n_obs = len(data)
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
    values = log_values(data.take(rows)).tocsc()
    n_obs, n_genes = values.shape
    center, spread = np.zeros(n_genes), np.zeros(n_genes)
    for gene in range(n_genes):
        found = values.data[values.indptr[gene] : values.indptr[gene + 1]].astype(np.float64)
        if 2 * len(found) >= n_obs:
            center[gene] = np.median(np.concatenate([np.zeros(n_obs - len(found)), found]))
        of_zeros = (n_obs - len(found)) * center[gene]
        spread[gene] = (np.abs(found - center[gene]).sum() + of_zeros) / n_obs
    return center, (n_obs * spread + max(float(spread.mean()), 1e-6)) / (n_obs + 1)


def presence_share(X: sparse.csr_matrix, library: np.ndarray) -> np.ndarray:
    """[genes] Share s of the most probable presence, 1 - exp(-library s) in each cell.

    The expected number of cells with the gene is the counted one: Newton's method from below, where
    it cannot overshoot, on cells in groups of one library.
    """
    n_obs = len(library)
    groups = np.array_split(np.sort(library), min(n_obs, _LIBRARY_GROUPS))
    size = np.array([len(group) for group in groups])[:, None]
    of_group = np.array([group.mean() for group in groups])[:, None]
    detected = np.clip(np.bincount(X.indices, X.data > 0, minlength=X.shape[1]), 0.5, n_obs - 0.5)
    share = detected / library.sum()
    for _ in range(_NEWTON_STEPS):
        absent = size * np.exp(-of_group * share)
        share += (detected - n_obs + absent.sum(axis=0)) / (of_group * absent).sum(axis=0)
    return share


def moment_theta(X: sparse.csr_matrix, library: np.ndarray, share: np.ndarray) -> np.ndarray:
    """[genes] Inverse dispersion from E[x^2] = mu + mu^2 (1 + 1/theta), mu = library * share."""
    second = sums_of_squares(X)
    first = gene_totals(X)
    mu_squared = share**2 * float(np.square(library).sum())
    excess = (second - first) / np.maximum(mu_squared, 1e-12) - 1
    low, high = math.exp(lk.LOG_THETA_MIN), math.exp(lk.LOG_THETA_MAX)
    return np.clip(1 / np.maximum(excess, 1 / high), low, high)


def library_of(data: ModelledCounts, library: str) -> np.ndarray:
    """[cells] What scales the mean: the size factor, or the total over the modelled genes."""
    if library == "observed":
        return np.maximum(library_sizes(data.X), 1).astype(np.float64)
    return np.asarray(data.size_factor, dtype=np.float64)


def _float(parameters: Parameters) -> Parameters:
    return Parameters._make(p if p is None else p.float() for p in parameters)
