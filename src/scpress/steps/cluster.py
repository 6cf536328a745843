"""Cells grouped in the latent: neighbours, a resolution chosen by stability, and a layout."""

import logging
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.neighbors import KNeighborsClassifier

from scpress import slots
from scpress.cells.graph import build_graph, leiden
from scpress.cells.stability import (
    adjusted_rand_index,
    draw_subsamples,
    match_clusters,
    merge_unstable,
    sort_by_size,
    summarize_agreement,
)
from scpress.cells.valleys import SLIGHT_GAP, merge_unseparated
from scpress.config.options import ClusterOptions
from scpress.errors import InputError

log = logging.getLogger("scpress")


def cluster(
    latent: ad.AnnData, options: ClusterOptions | None = None, *, model: str, seed: int = 0
) -> ad.AnnData:
    """Cluster cells by the latent of one model.

    At each resolution, Leiden clusters of the neighbours graph are joined where their boundary is
    neither a valley in the density of the cells, nor one that is wider than a cut through a cloud
    and comes back when cells are left out. Without any valley all cells are one cluster, and that
    is an answer: a gradient, such as one of library size, is cut at the same place every time. Of
    the resolutions whose clusters come back, the one with most clusters is chosen.

    Returns
    -------
    [cells, 0] `obs`: leiden ("0" is the largest). `obsm`: X_umap where asked for. `obsp` and
    `uns["neighbors"]` in scanpy's form. `uns["scpress"]["cluster"]`: model, seed, min_stability,
    chosen_resolution (NaN where none was), stability (one array per column, one entry per
    resolution), n_stability_cells and n_subsampled (the cells of one subsample of them).

    Raises
    ------
    InputError
        The model's latent is missing or not finite, or there are fewer than 3 cells.
    """
    options = options or ClusterOptions()
    slots.require(latent, slots.LATENT, model=model)
    key = slots.LATENT.of(model)
    points = np.asarray(latent.obsm[key], dtype=np.float32)
    if len(points) < 3:
        raise InputError(
            f"clustering needs at least 3 cells; found {len(points)}. Loosen the thresholds of qc?"
        )
    graph = build_graph(points, n_neighbors=options.n_neighbors, seed=seed, key=key)

    measured, n_measured = _measure_stability(graph, key, options, seed)
    stability = pd.DataFrame([row for row, _, _ in measured])
    chosen = options.resolution
    if chosen is None:
        chosen = _choose_resolution(stability, options.min_stability)
    if chosen is None:
        labels = np.zeros(len(points), dtype=np.int64)
        log.info(
            "cluster: no resolution gives clusters that are set apart and come back when cells are "
            "left out; all %d cells are one cluster.",
            len(points),
        )
    elif options.resolution is not None:
        labels = sort_by_size(leiden(graph, chosen, seed=seed))
        log.info("cluster: %d clusters at the given resolution %g.", labels.max() + 1, chosen)
    else:
        rows, labels = next(
            (rows, labels) for row, rows, labels in measured if row["resolution"] == chosen
        )
        if len(rows) < len(points):
            labels = _extend(points, rows, labels, options.n_neighbors)
        log.info("cluster: %d clusters at resolution %g.", labels.max() + 1, chosen)

    result = ad.AnnData(obs=pd.DataFrame(index=latent.obs_names.copy()))
    result.obs[slots.LEIDEN.name] = pd.Categorical(
        labels.astype(str), categories=[str(number) for number in range(labels.max() + 1)]
    )
    result.obsp[slots.DISTANCES.name] = graph.obsp["distances"]
    result.obsp[slots.CONNECTIVITIES.name] = graph.obsp["connectivities"]
    result.uns["neighbors"] = graph.uns["neighbors"]
    if options.umap:
        result.obsm[slots.UMAP.name] = _lay_out(graph, options.umap_min_dist, seed)
    result.uns[slots.RECORD.name] = {
        "cluster": {
            "model": model,
            "seed": seed,
            "chosen_resolution": float("nan") if chosen is None else float(chosen),
            "stability": {name: stability[name].to_numpy() for name in stability},
            "n_subsampled": max(2, round(options.subsample_fraction * n_measured)),
            "n_stability_cells": n_measured,
            "min_stability": options.min_stability,
        }
    }
    return result


def _measure_stability(
    graph: ad.AnnData, key: str, options: ClusterOptions, seed: int
) -> tuple[list[tuple[dict[str, Any], np.ndarray, np.ndarray]], int]:
    """Per resolution: its row of the table, the cells it was measured on, and their clusters."""
    points = graph.obsm[key]
    measured_rows = np.arange(len(points))
    rng = np.random.default_rng([seed, 1])
    if len(points) > options.max_cells:
        log.info(
            "cluster: stability is measured on %d cells drawn from %d (max_cells).",
            options.max_cells,
            len(points),
        )
        measured_rows = np.sort(rng.choice(len(points), options.max_cells, replace=False))
        points = points[measured_rows]
        graph = build_graph(points, n_neighbors=options.n_neighbors, seed=seed, key=key)
    resolutions = sorted(set(options.resolutions))
    if options.resolution is not None:
        resolutions = sorted({*resolutions, options.resolution})
    subsamples = list(
        draw_subsamples(
            len(points),
            n_subsamples=options.n_subsamples,
            fraction=options.subsample_fraction,
            rng=rng,
        )
    )
    found: dict[float, list[np.ndarray]] = {resolution: [] for resolution in resolutions}
    for rows in subsamples:
        part = build_graph(points[rows], n_neighbors=options.n_neighbors, seed=seed, key=key)
        for resolution in resolutions:
            found[resolution].append(leiden(part, resolution, seed=seed))
    measured = []
    for resolution in resolutions:
        found_whole = leiden(graph, resolution, seed=seed)
        whole = merge_unseparated(points, found_whole, min_gap=SLIGHT_GAP)
        islands = merge_unseparated(points, whole)
        pairs = list(zip(subsamples, found[resolution], strict=True))
        if islands.max() == islands.min():
            labels = np.zeros(len(points), dtype=np.int64)
        else:
            labels = merge_unstable(whole, islands, pairs, min_stability=options.min_stability)
        summary = summarize_agreement(
            [
                adjusted_rand_index(labels[rows], match_clusters(labels[rows], part_labels))
                for rows, part_labels in pairs
            ]
        )
        row = {
            "resolution": float(resolution),
            "n_leiden": int(found_whole.max()) + 1,
            "n_clusters": int(labels.max()) + 1,
            "ari_mean": summary.mean,
            "ari_low": summary.low,
            "ari_high": summary.high,
        }
        measured.append((row, measured_rows, labels))
    return measured, len(points)


def _choose_resolution(stability: pd.DataFrame, min_stability: float) -> float | None:
    believed = stability[(stability["ari_low"] >= min_stability) & (stability["n_clusters"] > 1)]
    if believed.empty:
        return None
    ranked = believed.sort_values(["n_clusters", "ari_mean", "resolution"], ascending=False)
    return float(ranked["resolution"].iloc[0])


def _extend(
    points: np.ndarray, rows: np.ndarray, labels: np.ndarray, n_neighbors: int
) -> np.ndarray:
    """[cells] Clusters of all cells: those not drawn go with most of their nearest drawn cells."""
    classifier = KNeighborsClassifier(n_neighbors=min(n_neighbors, len(rows)))
    everywhere = classifier.fit(points[rows], labels).predict(points)
    everywhere[rows] = labels
    return sort_by_size(everywhere)


def _lay_out(graph: ad.AnnData, min_dist: float, seed: int) -> np.ndarray:
    """[cells, 2] UMAP; with too few cells for its spectral start, it starts at random."""
    few = graph.n_obs < 10
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")
        sc.tl.umap(
            graph, min_dist=min_dist, random_state=seed, init_pos="random" if few else "spectral"
        )
    return np.asarray(graph.obsm["X_umap"], dtype=np.float32)
