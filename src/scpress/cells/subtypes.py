"""Whether a group of cells holds subtypes that are stable and have markers of their own.

Clustering cells and then testing the same counts for markers finds markers in noise, and testing
other cells does not cure it when those were assigned by the counts that are tested. So the
molecules are split into two independent folds and the cells into two halves: fold A of one half
proposes the subtypes, fold A assigns the other half, and fold B of the other half is tested.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.cluster.vq import kmeans2

from scpress.cells.markers import find_markers, no_markers
from scpress.cells.stability import (
    adjusted_rand_index,
    draw_subsamples,
    sort_by_size,
    summarize_agreement,
)
from scpress.config.options import SubtypeOptions
from scpress.counts.components import add_products, first_components, mirror
from scpress.counts.sizes import log_normalize
from scpress.counts.thinning import estimate_theta, split_counts

# Dimensions in which the cells of one group are clustered; more add noise, not subtypes.
_N_COMPONENTS = 10
# A gene in fewer cells of the group is left out.
_MIN_GENE_CELLS = 5
# A sample with fewer cells among those that propose is not centred: its mean would be noise.
_MIN_SAMPLE_CELLS = 10
_SUBSAMPLE_FRACTION = 0.8
_N_STARTS = 5


@dataclass(frozen=True)
class Subtypes:
    """What was found in one group."""

    labels: np.ndarray
    """[cells] Subtype, 0 the largest; all 0 where none is supported."""
    reason: str
    """Why the split was kept, or why there is none."""
    candidates: list[dict[str, Any]] = field(default_factory=list)
    """One row per number of subtypes tried."""
    markers: pd.DataFrame = field(default_factory=no_markers)
    """Markers of the kept subtypes from held-out molecules of held-out cells."""


def find_subtypes(
    counts: sparse.csr_matrix,
    size_factor: np.ndarray,
    genes: np.ndarray,
    sample: np.ndarray,
    options: SubtypeOptions,
    *,
    rng: np.random.Generator,
) -> Subtypes:
    """Look for subtypes in the cells of one group.

    Parameters
    ----------
    counts
        [cells, genes] Molecules of the variable genes.
    size_factor
        [cells] Linear.
    genes
        [genes] Names.
    sample
        [cells] Sample, 0 to n - 1; a difference between samples is no subtype.
    """
    n_obs = counts.shape[0]
    none = np.zeros(n_obs, dtype=np.int64)
    if n_obs < options.min_cells:
        return Subtypes(none, f"{n_obs} cells are fewer than min_cells={options.min_cells}")
    detected = np.flatnonzero(np.bincount(counts.indices, minlength=len(genes)) >= _MIN_GENE_CELLS)
    if len(detected) < options.min_markers + 1:
        return Subtypes(none, f"only {len(detected)} variable genes are detected")
    counts, genes = counts[:, detected], genes[detected]

    theta = estimate_theta(counts, size_factor)
    first, second = split_counts(counts, theta, rng=rng)
    proposing = np.zeros(n_obs, dtype=bool)
    proposing[rng.permutation(n_obs)[: n_obs // 2]] = True
    points = project_cells(first, size_factor / 2, sample, fit=proposing)

    candidates: list[dict[str, Any]] = []
    kept: dict[int, tuple[np.ndarray, pd.DataFrame]] = {}
    for k in range(2, options.max_subtypes + 1):
        if n_obs < k * options.min_subtype_cells:
            break
        labels, markers, row = _try_split(
            points, proposing, second, size_factor, genes, k, options, rng
        )
        candidates.append(row)
        if row["verdict"] == "kept":
            # All molecules of all cells decide the final label, once the split is supported.
            whole = project_cells(counts, size_factor, sample, fit=np.ones(n_obs, dtype=bool))
            final = nearest_center(whole, cluster_centers(whole, labels, k))
            if np.bincount(final, minlength=k).min() >= options.min_subtype_cells:
                kept[k] = final, markers
            else:
                row["verdict"] = "a subtype is too small"
    if not kept:
        best = max(candidates, key=lambda row: row["ari_low"], default=None)
        reason = "too few cells for two subtypes"
        if best is not None:
            reason = (
                f"no supported subtypes; the best of {len(candidates)} tried: {best['verdict']}"
            )
        return Subtypes(none, reason, candidates)
    k = max(kept)
    final, markers = kept[k]
    renamed = sort_by_size(final)
    new_name = {int(old): int(renamed[final == old][0]) for old in np.unique(final)}
    markers = markers.assign(group=markers["group"].map(new_name))
    markers = markers.sort_values("group", kind="stable").reset_index(drop=True)
    return Subtypes(renamed, f"{k} subtypes, stable and with markers", candidates, markers)


def project_cells(
    counts: sparse.csr_matrix, size_factor: np.ndarray, sample: np.ndarray, *, fit: np.ndarray
) -> np.ndarray:
    """[cells, components] Principal components of log-normalized counts, centred in each sample.

    Parameters
    ----------
    fit
        [cells] True for the cells that decide the components and the centres.
    """
    values = log_normalize(counts, size_factor).astype(np.float64)
    fitted = values[fit]
    mean = np.asarray(fitted.mean(axis=0)).ravel()
    products = np.zeros((len(mean), len(mean)), order="F")
    add_products(products, fitted)
    mirror(products)
    covariance = products / fitted.shape[0] - np.outer(mean, mean)
    loadings = first_components(covariance, min(_N_COMPONENTS, len(mean)))[1].T
    points = values @ loadings - mean @ loadings
    center_samples(points, sample, fit=fit)
    return points


def center_samples(points: np.ndarray, sample: np.ndarray, *, fit: np.ndarray) -> None:
    """Take the mean of its sample off each cell, in place; a mean of few cells would be noise."""
    for one in np.unique(sample):
        here = sample == one
        if (here & fit).sum() >= _MIN_SAMPLE_CELLS:
            points[here] -= points[here & fit].mean(axis=0)


def _try_split(
    points: np.ndarray,
    proposing: np.ndarray,
    second: sparse.csr_matrix,
    size_factor: np.ndarray,
    genes: np.ndarray,
    k: int,
    options: SubtypeOptions,
    rng: np.random.Generator,
) -> tuple[np.ndarray, pd.DataFrame, dict[str, Any]]:
    """Labels of all cells, markers, and the row of the table for one number of subtypes."""
    base = points[proposing]
    proposed = cluster_by_means(base, k, rng=rng)
    fraction = min(_SUBSAMPLE_FRACTION, options.max_cells / len(base))
    values = [
        adjusted_rand_index(proposed[rows], cluster_by_means(base[rows], k, rng=rng))
        for rows in draw_subsamples(
            len(base), n_subsamples=options.n_subsamples, fraction=fraction, rng=rng
        )
    ]
    agreement = summarize_agreement(values)
    labels = nearest_center(points, cluster_centers(base, proposed, k))
    sizes = np.bincount(labels, minlength=k)
    row: dict[str, Any] = {
        "n_subtypes": k,
        "ari_mean": agreement.mean,
        "ari_low": agreement.low,
        "ari_high": agreement.high,
        "smallest": int(sizes.min()),
        "fewest_markers": -1,
        "verdict": "kept",
    }
    markers = no_markers()
    if agreement.low < options.min_stability:
        row["verdict"] = (
            f"{k} subtypes do not come back when cells are left out "
            f"(ARI {agreement.mean:.2f}, lower end {agreement.low:.2f})"
        )
        return labels, markers, row
    held_out = ~proposing
    tested = np.bincount(labels[held_out], minlength=k)
    if sizes.min() < options.min_subtype_cells or tested.min() < 3:
        noun = "cell" if sizes.min() == 1 else "cells"
        row["verdict"] = f"one of {k} subtypes has only {sizes.min()} {noun}"
        return labels, markers, row
    markers = find_markers(
        second[held_out],
        size_factor[held_out] / 2,
        labels[held_out],
        genes,
        max_fdr=options.max_fdr,
        min_log2_fold_change=options.min_log2_fold_change,
        against_each=True,
    )
    n_markers = np.bincount(markers["group"].to_numpy(dtype=np.int64), minlength=k)
    row["fewest_markers"] = int(n_markers.min())
    if n_markers.min() < options.min_markers:
        noun = "marker" if n_markers.min() == 1 else "markers"
        row["verdict"] = (
            f"one of {k} subtypes has {n_markers.min()} {noun} of its own in held-out molecules"
        )
    return labels, markers, row


def cluster_by_means(points: np.ndarray, k: int, *, rng: np.random.Generator) -> np.ndarray:
    """[cells] k-means clusters, the best of a few starts."""
    best, smallest = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(_N_STARTS):
        with warnings.catch_warnings():
            # A start may leave a cluster empty; another start is better then.
            warnings.simplefilter("ignore", UserWarning)
            centers, labels = kmeans2(points, k, iter=30, minit="++", seed=rng)
        inertia = float(((points - centers[labels]) ** 2).sum())
        if inertia < smallest:
            best, smallest = labels.astype(np.int64), inertia
    return best


def cluster_centers(points: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """[k, components] Means; a cluster without cells is infinitely far."""
    centers = np.full((k, points.shape[1]), np.inf)
    for one in np.unique(labels):
        centers[one] = points[labels == one].mean(axis=0)
    return centers


def nearest_center(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """[cells] Number of the nearest centre."""
    distance = np.stack([((points - center) ** 2).sum(axis=1) for center in centers])
    return distance.argmin(axis=0)
