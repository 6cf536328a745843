"""A model's latents beside known labels and batches, per seed and over the seeds."""

import logging
import warnings
from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.cells.graph import Communities, build_graph, find_neighbors
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import ClusterOptions, EvaluateOptions
from scpress.errors import InputError
from scpress.steps.cluster import cluster
from scpress.tables.evaluation import Evaluation, SeedScores, summarize_seeds

log = logging.getLogger("scpress")

# Neighbours of the mixing scores, as in scib-metrics' own benchmark.
_MIXING_NEIGHBORS = 90
# The stability of each seed's clusters is measured with fewer subsamples than the cluster step's:
# only the resolution is wanted.
_N_SUBSAMPLES = 5


def evaluate(
    obs: pd.DataFrame,
    latents: Mapping[int, ad.AnnData],
    options: EvaluateOptions | None = None,
    *,
    model: str,
) -> Evaluation:
    """Score the latents of one model.

    Labels give ARI and NMI of Leiden clusters, at the best of the resolutions (which only the
    labels can tell) and at the one that stability chooses among the same, and the silhouette of
    the labels.
    Batches give scib-metrics' mixing scores, scaled so that 1 is perfectly mixed.

    Parameters
    ----------
    obs
        [cells] The counts' obs: `label` and the batch column, where there are any.
    latents
        Seed -> AnnData with the model's latent.

    Raises
    ------
    InputError
        A batch column that was asked for is not there, or a latent is of other cells.
    """
    options = options or EvaluateOptions()
    label = _labels(obs)
    batch = _batches(obs, options.batch_key)
    for latent in latents.values():
        slots.require(latent, slots.LATENT, model=model)
        slots.require_same_cells(obs.index, latent.obs_names, f"latent of {model!r}")
    rows = np.arange(len(obs))
    if len(obs) > options.max_cells:
        rng = np.random.default_rng(0)
        rows = np.sort(rng.choice(len(obs), options.max_cells, replace=False))
        log.info("evaluate: scores use %d cells drawn from %d (max_cells).", len(rows), len(obs))
    seeds = {}
    for seed, latent in sorted(latents.items()):
        points = np.asarray(latent.obsm[slots.LATENT.of(model)], dtype=np.float32)[rows]
        scores: dict[str, float | None] = {}
        if label is not None:
            scores |= _label_scores(points, label[rows], options)
        if batch is not None:
            labels = None if label is None else label[rows]
            scores |= _batch_scores(points, batch[rows], labels, options)
        seeds[str(seed)] = SeedScores(**{name: _finite(value) for name, value in scores.items()})
    has = [what for what, there in (("labels", label), ("batches", batch)) if there is not None]
    sampled = f" on {len(rows):,} of {len(obs):,} cells" if len(rows) < len(obs) else ""
    message = (
        f"scored against known {' and '.join(has)}{sampled}"
        if has
        else "the data name no labels and have one batch: there is nothing to compare with"
    )
    log.info("evaluate: %s: %s.", model, message)
    return Evaluation(
        model=model,
        n_cells=len(obs),
        n_scored_cells=len(rows),
        has_labels=label is not None,
        has_batches=batch is not None,
        message=message,
        seeds=seeds,
        summary=summarize_seeds(seeds),
    )


def _labels(obs: pd.DataFrame) -> np.ndarray | None:
    """[cells] Known label, "" where a cell has none; None without at least two labels."""
    if slots.LABEL.name not in obs:
        return None
    known = obs[slots.LABEL.name]
    label = known.astype(object).where(known.notna(), "").astype(str).to_numpy()
    return label if len(np.unique(label[label != ""])) > 1 else None


def _batches(obs: pd.DataFrame, batch_key: str | None) -> np.ndarray | None:
    """[cells] Number of the batch; None where there is one."""
    if batch_key is None:
        return None
    if batch_key not in obs:
        if batch_key == slots.SAMPLE.name:
            return None
        raise InputError(
            f"batch_key {batch_key!r} is no obs column; there are "
            f"{', '.join(map(str, obs.columns))}."
        )
    batch, names = pd.factorize(obs[batch_key].astype(str))
    return batch if len(names) > 1 else None


def _label_scores(
    points: np.ndarray, label: np.ndarray, options: EvaluateOptions
) -> dict[str, float | None]:
    from sklearn.metrics import normalized_mutual_info_score, silhouette_score

    known = np.flatnonzero(label != "")
    truth, points = label[known], points[known]
    n_labels = len(np.unique(truth))
    if len(points) < 3 or n_labels < 2:
        return {}
    graph = build_graph(points, n_neighbors=options.n_neighbors, seed=0, key="X_latent")
    scores: dict[str, float | None] = {"ari_best": None, "nmi_best": None, "best_resolution": None}
    communities = Communities(graph)
    for resolution in options.resolutions:
        found = communities.find(resolution, seed=0)
        ari = adjusted_rand_index(truth, found)
        if scores["ari_best"] is None or ari > scores["ari_best"]:
            scores |= {
                "ari_best": ari,
                "nmi_best": float(normalized_mutual_info_score(truth, found)),
                "best_resolution": float(resolution),
            }
    chosen_options = ClusterOptions(
        n_neighbors=options.n_neighbors,
        resolutions=options.resolutions,
        n_subsamples=_N_SUBSAMPLES,
        max_cells=options.max_cells,
        umap=False,
    )
    latent = ad.AnnData(obs=graph.obs[[]], obsm={"X_latent": points})
    # The cluster step's own messages are about the clusters of the result, not about these.
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        clusters = cluster(latent, chosen_options, model="latent", seed=0)
    finally:
        log.setLevel(level)
    chosen = clusters.obs[slots.LEIDEN.name].to_numpy()
    record = clusters.uns[slots.RECORD.name]["cluster"]
    scores |= {
        "ari_chosen": adjusted_rand_index(truth, chosen),
        "nmi_chosen": float(normalized_mutual_info_score(truth, chosen)),
        "chosen_resolution": record["chosen_resolution"],
        "n_clusters_chosen": float(len(np.unique(chosen))),
        "silhouette": float(silhouette_score(points, truth)) if n_labels < len(truth) else None,
    }
    return scores


def _batch_scores(
    points: np.ndarray, batch: np.ndarray, label: np.ndarray | None, options: EvaluateOptions
) -> dict[str, float | None]:
    # scib-metrics brings jax: only data with batches pay for its start.
    import scib_metrics
    from scib_metrics.nearest_neighbors import NeighborsResults

    n_neighbors = min(_MIXING_NEIGHBORS, len(points))
    if n_neighbors < 4 or len(np.unique(batch)) < 2:
        return {}
    # scib-metrics counts a cell among its neighbours.
    indices, distances = find_neighbors(points, n_neighbors - 1)
    neighbors = NeighborsResults(indices=indices, distances=distances.astype(np.float32))
    scores: dict[str, float | None] = {}
    with warnings.catch_warnings():
        # jax and pandas warn about each other's types inside scib-metrics.
        warnings.simplefilter("ignore")
        scores["ilisi"] = float(scib_metrics.ilisi_knn(neighbors, batch))
        scores["kbet"] = float(scib_metrics.kbet(neighbors, batch)[0])
        if label is not None and (label != "").all():
            near = neighbors.subset_neighbors(min(options.n_neighbors, n_neighbors))
            codes = pd.factorize(label)[0]
            scores["graph_connectivity"] = float(scib_metrics.graph_connectivity(near, codes))
            scores["silhouette_batch"] = float(scib_metrics.silhouette_batch(points, codes, batch))
    return scores


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
