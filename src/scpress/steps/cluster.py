"""Cells grouped in the latent: neighbours, a resolution chosen by stability, and a layout."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.cells.graph import Communities, average_graphs, build_graph, leiden
from scpress.cells.neighbors import nearest_among
from scpress.cells.seeds import neighbor_agreement
from scpress.cells.stability import (
    adjusted_rand_index,
    draw_subsamples,
    found_again,
    match_clusters,
    merge_unstable,
    sort_by_size,
    summarize_agreement,
)
from scpress.cells.valleys import SLIGHT_GAP, merge_unseparated
from scpress.config.options import ClusterOptions
from scpress.errors import InputError

log = logging.getLogger("scpress")

# Passes of UMAP over the links of few cells and of many.
_EPOCHS, _EPOCHS_OF_MANY, _EPOCHS_CELLS = 500, 200, 10_000


@dataclass(frozen=True)
class _Candidate:
    """The clusters of one resolution."""

    row: dict[str, Any]
    """Its row of the table of stability."""
    labels: np.ndarray
    """[measured cells] Joined clusters."""
    subsamples: list[tuple[np.ndarray, np.ndarray]]
    """Row numbers of each subsample, and what Leiden found in it."""


def cluster(
    latent: ad.AnnData,
    options: ClusterOptions | None = None,
    *,
    model: str,
    seed: int = 0,
    others: Sequence[ad.AnnData] = (),
) -> ad.AnnData:
    """Cluster cells by the latents of one model.

    At each resolution, Leiden clusters of the neighbours graph, averaged over the seeds, are joined
    where their boundary is neither a valley in the density of the cells, nor one that is wider than
    a cut through a cloud and comes back when cells are left out and the seeds take turns. Without
    any valley all cells are one cluster, and that is an answer: a gradient, such as one of library
    size, is cut at the same place every time. Of the resolutions whose clusters come back, the one
    is chosen whose clusters agree best with what was found in all subsamples at all resolutions:
    the number of stable clusters would choose the finest.

    Parameters
    ----------
    latent
        [cells, 0] The latent that is delivered: its graph, layout and valleys are those returned.
    others
        [cells, 0] each. Latents of the same model with other seeds.

    Returns
    -------
    [cells, 0] `obs`: leiden ("0" is the largest), leiden_confidence and, of several seeds,
    neighbor_agreement. `obsm`: X_umap where asked for. `obsp` and `uns["neighbors"]` in scanpy's
    form. `uns["scpress"]["cluster"]`: model, seed, n_seeds, unconfirmed (clusters that some seed
    does not find again), neighbor_chance (agreement of neighbours drawn at random, of several
    seeds), min_stability, chosen_resolution (NaN where none was), stability (one array per column,
    one entry per resolution), n_stability_cells and n_subsampled (the cells of one subsample of
    them), n_umap_cells (the cells that UMAP laid out; the others lie among their neighbours).

    Raises
    ------
    InputError
        A latent is missing, not finite or of other cells, or there are fewer than 3 cells.
    """
    options = options or ClusterOptions()
    key = slots.LATENT.of(model)
    for one in (latent, *others):
        slots.require(one, slots.LATENT, model=model)
        slots.require_same_cells(latent.obs_names, one.obs_names, "the latent of another seed")
    latents = [np.asarray(one.obsm[key], dtype=np.float32) for one in (latent, *others)]
    points = latents[0]
    if len(points) < 3:
        raise InputError(
            f"clustering needs at least 3 cells; found {len(points)}. Loosen the thresholds of qc?"
        )
    graphs = _build_graphs(latents, options, seed, key)
    measured_rows = _draw(len(points), options.max_cells, [seed, 2])
    if len(measured_rows) < len(points):
        log.info(
            "cluster: stability is measured on %d cells drawn from %d (max_cells).",
            len(measured_rows),
            len(points),
        )
    near = _nearest_drawn(points, measured_rows, options.n_neighbors)
    candidates = _measure_stability(latents, graphs, measured_rows, options, seed, key)
    stability = pd.DataFrame([candidate.row for candidate in candidates])
    chosen = options.resolution
    if chosen is None:
        chosen = _choose_resolution(stability, options.min_stability)
    confidence, unconfirmed = np.ones(len(points)), []
    if chosen is None:
        labels = np.zeros(len(points), dtype=np.int64)
        log.info(
            "cluster: no resolution gives clusters that are set apart and come back when cells are "
            "left out; all %d cells are one cluster.",
            len(points),
        )
    else:
        given = options.resolution is not None
        candidate = next(c for c in candidates if c.row["resolution"] == chosen)
        if given:
            labels = sort_by_size(leiden(average_graphs(graphs), chosen, seed=seed))
        else:
            labels = _extend(measured_rows, candidate.labels, near)
        of_measured = labels[measured_rows]
        confidence = found_again(of_measured, candidate.subsamples)
        unconfirmed = _unconfirmed(of_measured, candidate.subsamples, len(latents))
        confidence = _extend_confidence(measured_rows, labels, confidence, near)
        log.info(
            "cluster: %d clusters at %sresolution %g.",
            labels.max() + 1,
            "the given " if given else "",
            chosen,
        )
    if unconfirmed:
        log.info(
            "cluster: not every seed of the model finds cluster %s again.", ", ".join(unconfirmed)
        )

    graph = graphs[0]
    result = ad.AnnData(obs=pd.DataFrame(index=latent.obs_names.copy()))
    result.obs[slots.LEIDEN.name] = pd.Categorical(
        labels.astype(str), categories=[str(number) for number in range(labels.max() + 1)]
    )
    result.obs[slots.LEIDEN_CONFIDENCE.name] = confidence.astype(np.float32)
    result.obsp[slots.DISTANCES.name] = graph.obsp["distances"]
    result.obsp[slots.CONNECTIVITIES.name] = graph.obsp["connectivities"]
    result.uns["neighbors"] = graph.uns["neighbors"]
    laid_out = _draw(len(points), options.umap_max_cells, [seed, 3])
    if options.umap:
        result.obsm[slots.UMAP.name] = _lay_out_some(graph, points, laid_out, options, seed)
    result.uns[slots.RECORD.name] = {
        "cluster": {
            "model": model,
            "seed": seed,
            "n_seeds": len(latents),
            "unconfirmed": np.array(unconfirmed, dtype=str),
            "chosen_resolution": float("nan") if chosen is None else float(chosen),
            "stability": {name: stability[name].to_numpy() for name in stability},
            "n_subsampled": max(2, round(options.subsample_fraction * len(measured_rows))),
            "n_stability_cells": len(measured_rows),
            "n_umap_cells": len(laid_out) if options.umap else 0,
            "min_stability": options.min_stability,
        }
    }
    if others:
        agreement, chance = neighbor_agreement([one.obsp["distances"] for one in graphs])
        result.obs[slots.NEIGHBOR_AGREEMENT.name] = agreement.astype(np.float32)
        result.uns[slots.RECORD.name]["cluster"]["neighbor_chance"] = chance
    return result


def _build_graphs(
    latents: Sequence[np.ndarray], options: ClusterOptions, seed: int, key: str
) -> list[ad.AnnData]:
    return [
        build_graph(points, n_neighbors=options.n_neighbors, seed=seed, key=key)
        for points in latents
    ]


def _draw(n_obs: int, max_cells: int, seed: list[int]) -> np.ndarray:
    """Sorted row numbers of at most so many cells."""
    if n_obs <= max_cells:
        return np.arange(n_obs)
    return np.sort(np.random.default_rng(seed).choice(n_obs, max_cells, replace=False))


def _measure_stability(
    latents: Sequence[np.ndarray],
    graphs: Sequence[ad.AnnData],
    measured_rows: np.ndarray,
    options: ClusterOptions,
    seed: int,
    key: str,
) -> list[_Candidate]:
    if len(measured_rows) < len(latents[0]):
        latents = [points[measured_rows] for points in latents]
        graphs = _build_graphs(latents, options, seed, key)
    points, communities_of_whole = latents[0], Communities(average_graphs(graphs))
    resolutions = sorted(set(options.resolutions))
    if options.resolution is not None:
        resolutions = sorted({*resolutions, options.resolution})
    subsamples = list(
        draw_subsamples(
            len(points),
            n_subsamples=options.n_subsamples,
            fraction=options.subsample_fraction,
            rng=np.random.default_rng([seed, 1]),
        )
    )
    found: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {r: [] for r in resolutions}
    for number, rows in enumerate(subsamples):
        # The seeds take turns: what one of them alone supports is lost in the others' subsamples.
        of_one_seed = latents[number % len(latents)][rows]
        part = build_graph(of_one_seed, n_neighbors=options.n_neighbors, seed=seed, key=key)
        communities = Communities(part)
        for resolution in resolutions:
            found[resolution].append((rows, communities.find(resolution, seed=seed)))
    everything = [one for of_resolution in found.values() for one in of_resolution]
    candidates = []
    for resolution in resolutions:
        found_whole = communities_of_whole.find(resolution, seed=seed)
        whole = merge_unseparated(points, found_whole, min_gap=SLIGHT_GAP)
        islands = merge_unseparated(points, whole)
        pairs = found[resolution]
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
        overall = [adjusted_rand_index(labels[rows], other) for rows, other in everything]
        row = {
            "resolution": float(resolution),
            "n_leiden": int(found_whole.max()) + 1,
            "n_clusters": int(labels.max()) + 1,
            "ari_mean": summary.mean,
            "ari_low": summary.low,
            "ari_high": summary.high,
            "ari_overall": float(np.mean(overall)),
        }
        candidates.append(_Candidate(row, labels, pairs))
    return candidates


def _choose_resolution(stability: pd.DataFrame, min_stability: float) -> float | None:
    believed = stability[(stability["ari_low"] >= min_stability) & (stability["n_clusters"] > 1)]
    if believed.empty:
        return None
    ranked = believed.sort_values(["ari_overall", "resolution"], ascending=False)
    return float(ranked["resolution"].iloc[0])


def _unconfirmed(
    labels: np.ndarray, subsamples: list[tuple[np.ndarray, np.ndarray]], n_seeds: int
) -> list[str]:
    """Clusters of which the subsamples of some seed find less than half of the cells again."""
    names: set[int] = set()
    for number in range(min(n_seeds, len(subsamples))):
        share = found_again(labels, subsamples[number::n_seeds])
        drawn = ~np.isnan(share)
        n_found = np.bincount(labels[drawn], share[drawn], minlength=labels.max() + 1)
        n_drawn = np.bincount(labels[drawn], minlength=labels.max() + 1)
        names.update(np.flatnonzero(n_found < 0.5 * n_drawn).tolist())
    return [str(name) for name in sorted(names)]


def _nearest_drawn(points: np.ndarray, rows: np.ndarray, n_neighbors: int) -> np.ndarray:
    """[cells, neighbours] Places in `rows` of the drawn cells that are nearest; none if all are."""
    if len(rows) == len(points):
        return np.empty((len(points), 0), dtype=np.int32)
    return nearest_among(points[rows], points, min(n_neighbors, len(rows) - 1))[0]


def _extend(rows: np.ndarray, labels: np.ndarray, near: np.ndarray) -> np.ndarray:
    """[cells] Clusters of all cells: those not drawn go with most of their nearest drawn cells."""
    if len(rows) == len(near):
        return labels
    votes = np.zeros((len(near), int(labels.max()) + 1), dtype=np.int32)
    cells = np.arange(len(near))
    for drawn in near.T:
        votes[cells, labels[drawn]] += 1
    everywhere = votes.argmax(axis=1)
    everywhere[rows] = labels
    return sort_by_size(everywhere)


def _extend_confidence(
    rows: np.ndarray, labels: np.ndarray, confidence: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """[cells] That of the drawn cells, else what the nearest drawn cells give for its cluster."""
    if len(rows) == len(near):
        return confidence
    everywhere = np.zeros(len(near))
    # One neighbour at a time: no table of cells by neighbours beside the places.
    for drawn in near.T:
        same = labels[rows[drawn]] == labels
        everywhere += np.where(same, np.nan_to_num(confidence[drawn]), 0) / near.shape[1]
    everywhere[rows] = confidence
    return everywhere


def _lay_out_some(
    graph: ad.AnnData, points: np.ndarray, rows: np.ndarray, options: ClusterOptions, seed: int
) -> np.ndarray:
    """[cells, 2] UMAP of the drawn cells; the others at the mean of those that are nearest.

    The nearer one of these is, the more it counts.
    """
    if len(rows) == len(points):
        return _lay_out(graph, points, options.umap_min_dist, seed)
    log.info("cluster: UMAP lays out %d cells drawn from %d.", len(rows), len(points))
    drawn = points[rows]
    part = build_graph(drawn, n_neighbors=options.n_neighbors, seed=seed, key="X_drawn")
    of_drawn = _lay_out(part, drawn, options.umap_min_dist, seed)
    near, distances = nearest_among(drawn, points, min(options.n_neighbors, len(rows) - 1))
    weights = 1 / np.maximum(distances, 1e-6 * (distances[:, -1:] + 1e-12))
    total = weights.sum(axis=1)
    layout = np.zeros((len(points), 2), dtype=np.float32)
    for place, weight in zip(near.T, weights.T, strict=True):
        layout += of_drawn[place] * (weight / total)[:, None]
    layout[rows] = of_drawn
    return layout


def _lay_out(graph: ad.AnnData, points: np.ndarray, min_dist: float, seed: int) -> np.ndarray:
    """[cells, 2] UMAP as scanpy has it; with too few cells for its spectral start, at random."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed")
        warnings.filterwarnings("ignore", message="n_jobs value")
        from umap.umap_ import find_ab_params, simplicial_set_embedding

        a, b = find_ab_params(1.0, min_dist)
        layout, _ = simplicial_set_embedding(
            data=points,
            graph=graph.obsp["connectivities"].tocoo(),
            n_components=2,
            initial_alpha=1.0,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=_EPOCHS if graph.n_obs <= _EPOCHS_CELLS else _EPOCHS_OF_MANY,
            init="random" if graph.n_obs < 10 else "spectral",
            random_state=np.random.RandomState(seed),
            metric="euclidean",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
        )
    return np.asarray(layout, dtype=np.float32)
