"""What the steps find where there is nothing: the whole run on counts without structure."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.cells.graph import build_graph, leiden
from scpress.cells.markers import draw_cells, find_markers
from scpress.config.options import (
    ClusterOptions,
    DenoiseOptions,
    FalseSignalsOptions,
    SubtypeOptions,
    TrainOptions,
)
from scpress.counts.components import add_products, mirror
from scpress.counts.matrix import iter_chunks, select_columns
from scpress.counts.measured import require_all_measured
from scpress.counts.permutation import depth_strata, permute_counts
from scpress.counts.sizes import log_normalize
from scpress.errors import InputError
from scpress.model.covariates import covariates_of
from scpress.model.fitted import TrainedModel
from scpress.steps.annotate import MAX_MARKER_CELLS
from scpress.steps.cluster import cluster
from scpress.steps.denoise import denoise_blocks
from scpress.steps.embed import embed
from scpress.steps.subtype import subtype
from scpress.steps.train import train
from scpress.tables.false_signals import FalseSignals, Signals
from scpress.tables.results import Clusters, SubtypeRecord, Subtypes
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")

# Genes whose pairs are looked at, at most, and cells that a gene of them is detected in at least.
_MAX_PAIR_GENES, _MIN_PAIR_CELLS = 1000, 20


@dataclass(frozen=True)
class Steps:
    """Options of the steps that follow the training."""

    cluster: ClusterOptions
    subtype: SubtypeOptions
    max_fdr: float


def false_signals(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData,
    subtypes: ad.AnnData,
    model: TrainedModel,
    training: TrainOptions,
    options: FalseSignalsOptions,
    steps: Steps,
    *,
    seed: int,
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
) -> FalseSignals:
    """Run the steps on copies of the counts in which genes know nothing of each other.

    In a copy the counts of every modelled gene are dealt to other cells of the same sample, by
    their depth alone. A model is trained on it with the options and seed of the data's, and
    clusters, markers, subtypes and correlations are looked for as in the data, of which clusters
    and subtypes are those delivered. Subtypes of a copy are of its clusters: it has no types.

    Parameters
    ----------
    clusters, subtypes
        Of the data.
    model, training, seed
        The model of the data's clusters, and how it was trained.

    Raises
    ------
    InputError
        No copies, results of other cells; as `train`.
    """
    require_all_measured(counts, "false-signals")
    if options.copies < 1:
        raise InputError("copies is 0, which compares nothing; set copies to 1 or more.")
    slots.require(normalized, slots.LIBRARY_SIZE, slots.SIZE_FACTOR, slots.HIGHLY_VARIABLE)
    slots.require(clusters, slots.LEIDEN)
    for part, what in ((normalized, "normalized"), (clusters, "clusters"), (subtypes, "subtypes")):
        slots.require_same_cells(counts.obs_names, part.obs_names, what)
    slots.require_same_genes(counts.var_names, normalized.var_names, "normalized")
    found = Clusters.from_plain(clusters.uns.get(slots.RECORD.name), "the clusters").cluster
    name, chosen = found.model, found.chosen_resolution

    columns = np.flatnonzero(normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool))
    data = ad.AnnData(
        select_columns(counts.X, columns),
        obs=counts.obs.copy(),
        var=counts.var.iloc[columns].copy(),
    )
    sizes = ad.AnnData(
        obs=normalized.obs[[slots.LIBRARY_SIZE.name, slots.SIZE_FACTOR.name]].copy(),
        var=pd.DataFrame({slots.HIGHLY_VARIABLE.name: True}, index=data.var_names),
    )
    look = _Look(
        sizes=sizes,
        name=name,
        seed=seed,
        resolution=1.0 if np.isnan(chosen) else chosen,
        pair_genes=_draw_pair_genes(data.X),
        min_correlation=options.min_correlation,
        steps=steps,
    )
    of_data = look(data, model, embed(data, sizes, model, name=name), clusters, subtypes)
    group = _groups(counts.obs, None if training.preset == "pca" else training.batch_key)
    stratum = depth_strata(look.size_factor, group, options.strata)
    # That there is nothing to learn is no failure here.
    training = replace(training, allow_failed_fit=True)
    copies = []
    for number in range(options.copies):
        rng = np.random.default_rng([options.seed, number])
        dealt = permute_counts(data.X, look.size_factor, stratum, rng=rng)
        copy = ad.AnnData(dealt, obs=data.obs.copy(), var=data.var.copy())
        fitted, _ = train(copy, sizes, training, seed=seed, device=device, checkpoint=checkpoint())
        latent = embed(copy, sizes, fitted, name=name)
        found_in_it = cluster(latent, replace(steps.cluster, umap=False), model=name, seed=seed)
        by_cluster = replace(steps.subtype, groupby=slots.LEIDEN.name)
        split, _ = subtype(copy, sizes, found_in_it, None, by_cluster, seed=seed)
        copies.append(look(copy, fitted, latent, found_in_it, split))
        log.info(
            "copy %d without structure: %d clusters, %d markers, %d subtypes",
            number + 1,
            copies[-1].n_clusters,
            copies[-1].n_markers,
            copies[-1].n_subtypes,
        )
    return FalseSignals(
        model=name,
        seed=seed,
        n_cells=data.n_obs,
        n_genes=data.n_vars,
        n_strata=int(stratum.max()) + 1,
        max_fdr=steps.max_fdr,
        resolution=look.resolution,
        n_pair_genes=len(look.pair_genes),
        min_correlation=options.min_correlation,
        data=of_data,
        copies=tuple(copies),
    )


@dataclass(frozen=True)
class _Look:
    """What is looked for in the data and in each copy, in the same way."""

    sizes: ad.AnnData
    name: str
    seed: int
    resolution: float
    pair_genes: np.ndarray
    min_correlation: float
    steps: Steps

    @property
    def size_factor(self) -> np.ndarray:
        return self.sizes.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)

    def __call__(
        self,
        part: ad.AnnData,
        model: TrainedModel,
        latent: ad.AnnData,
        clusters: ad.AnnData,
        subtypes: ad.AnnData,
    ) -> Signals:
        key = slots.LATENT.of(self.name)
        n_neighbors = self.steps.cluster.n_neighbors
        graph = build_graph(latent.obsm[key], n_neighbors=n_neighbors, seed=self.seed, key=key)
        cut = leiden(graph, self.resolution, seed=self.seed)
        delivered = clusters.obs[slots.LEIDEN.name].astype(str).to_numpy()
        genes = DenoiseOptions(genes=tuple(map(str, part.var_names[self.pair_genes])))
        denoised = (np.log1p(b) for _, b in denoise_blocks(part, self.sizes, model, genes))
        raw = (
            log_normalize(block[:, self.pair_genes], self.size_factor[start:stop])
            for start, stop, block in iter_chunks(part.X)
        )
        verdict = model.record.verdict
        groups = _record_of(subtypes).groups
        return Signals(
            n_clusters=len(set(delivered)),
            n_markers=self._count_markers(part, delivered),
            n_subtypes=sum(n for n in groups.n_subtypes if n > 1) if groups else 0,
            n_cut=len(set(cut)),
            n_cut_markers=self._count_markers(part, cut),
            gain=verdict.gene_mean_nll - verdict.score if verdict else 0.0,
            raw_pairs=correlated_pairs(raw, self.min_correlation),
            denoised_pairs=correlated_pairs(denoised, self.min_correlation),
        )

    def _count_markers(self, part: ad.AnnData, labels: np.ndarray) -> int:
        """Genes that are higher in a group than elsewhere, over the groups; from counts."""
        code = np.unique(labels, return_inverse=True)[1]
        rows = draw_cells(code, MAX_MARKER_CELLS, seed=self.seed)
        genes, size_factor = part.var_names.to_numpy(), self.size_factor[rows]
        max_fdr = self.steps.max_fdr
        return len(find_markers(part.X[rows], size_factor, code[rows], genes, max_fdr=max_fdr))


def _record_of(subtypes: ad.AnnData) -> SubtypeRecord:
    return Subtypes.from_plain(subtypes.uns.get(slots.RECORD.name), "the subtypes").subtype


def _groups(obs: pd.DataFrame, batch_key: str | None) -> np.ndarray:
    """[cells] Sample and batch of the cell, 0 to n - 1: what differs between them stays."""
    sample = slots.SAMPLE.name if slots.SAMPLE.name in obs else None
    codes = [covariates_of(obs, key)[0] for key in dict.fromkeys((sample, batch_key))]
    known = [code for code in codes if code is not None]
    if not known:
        return np.zeros(len(obs), dtype=np.int64)
    return np.unique(np.stack(known, axis=1), axis=0, return_inverse=True)[1].ravel()


def _draw_pair_genes(X: sparse.csr_matrix) -> np.ndarray:
    """Columns of genes in enough cells to be correlated at all, at random where they are many."""
    detected = np.flatnonzero(np.bincount(X.indices, minlength=X.shape[1]) >= _MIN_PAIR_CELLS)
    return np.sort(np.random.default_rng(0).permutation(detected)[:_MAX_PAIR_GENES])


def correlated_pairs(
    blocks: Iterable[np.ndarray | sparse.csr_matrix], min_correlation: float
) -> float:
    """Part of the pairs of genes with a Pearson correlation of at least so much, of either sign.

    Blocks are [some cells, genes]; what is constant is correlated with nothing.
    """
    n_obs, total, products = 0, np.zeros(0), np.zeros((0, 0), order="F")
    for block in blocks:
        values = block.astype(np.float64)
        if not n_obs:
            total = np.zeros(values.shape[1])
            products = np.zeros((len(total), len(total)), order="F")
        n_obs += values.shape[0]
        total += np.asarray(values.sum(axis=0)).ravel()
        add_products(products, values)
    n_genes = len(total)
    if n_genes < 2:
        return 0.0
    mirror(products)
    mean = total / n_obs
    covariance = products / n_obs - np.outer(mean, mean)
    variance = np.diag(covariance).copy()
    # Of a constant the difference of two large numbers is rounding.
    variance[variance <= 1e-10 * np.diag(products) / n_obs] = np.inf
    correlation = covariance / np.sqrt(np.outer(variance, variance))
    above = np.abs(correlation[np.triu_indices(n_genes, 1)]) >= min_correlation
    return float(above.mean())
