"""How small the latent is, what it keeps, and what its rivals keep at the same bytes."""

import dataclasses
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from scpress import slots
from scpress.cells.graph import cluster_neighbors, nearest_neighbors, neighbor_recall
from scpress.cells.stability import adjusted_rand_index
from scpress.compression.codes import (
    break_even_cells,
    pack_latent,
    store_arrays,
    store_counts,
    unpack_latent,
)
from scpress.compression.decoder import StoredDecoder, library_arrays
from scpress.compression.distortion import measure_distortion
from scpress.config.options import CompressOptions
from scpress.counts.matrix import iter_chunks, select_rows
from scpress.errors import InputError
from scpress.model.baselines import GeneMean, Pca, fit_gene_mean, fit_pca, truncate_pca
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts, select_genes

log = logging.getLogger("scpress")

# Rank of the PCA whose neighbours are the reference of the recall.
REFERENCE_RANK = 50
# No rank above this is tried for the PCA that costs as much as the model.
_MAX_RANK = 200
_BLOCK_CELLS = 500

NOTES = {
    "nominal": "Against a dense float32 matrix, which nobody stores, and without the decoder.",
    "stored": "Raw counts of the modelled genes as an h5ad stores its X (CSR, int32, gzip) against "
    "the latent as stored (npz, zlib). The counts are exact; the latent is lossy.",
    "with_decoder": "Latent, decoder, one library size per cell and one mean per gene. Names of "
    "cells and genes are in neither side.",
    "deviance_explained": "1 - Poisson deviance of the decoded code / that of gene mean x size "
    "factor. Every code may predict no less than a tenth of the gene mean.",
    "correlation": "Medians, on log-normalized values. The correlation per cell is high for the "
    "gene mean alone: compare with that row.",
    "neighbor_recall": f"Share of the nearest cells by PCA ({REFERENCE_RANK} dimensions of the "
    "log-normalized modelled genes, float32) that are nearest by the code, too. PCA is its own "
    "judge here.",
    "sample": "Measured on the cells the model was trained on, as a compressor is: a code with "
    "more numbers also keeps more of the noise.",
    "ari_float32": "Agreement (ARI) of Leiden clusters with those of the float32 latent; beside it "
    "the agreement of float32 with itself under another seed of Leiden.",
}


class _Bench:
    """The cells that are scored, and the ruler every code is measured with."""

    def __init__(
        self, data: ModelledCounts, rows: np.ndarray, labels: np.ndarray | None, folder: Path
    ):
        self.data = data
        self.rows = rows
        self.scored = data.take(rows)
        self.labels = labels
        self.folder = folder
        self.gene_mean = fit_gene_mean(data.X, data.size_factor)
        self.reference: np.ndarray | None = None
        self.n_neighbors = 0

    def set_reference(self, pca: Pca, n_neighbors: int) -> None:
        """Fix the neighbours that are to be found again."""
        z = pca.encode(self.scored.X, self.scored.size_factor)
        self.n_neighbors = n_neighbors
        self.reference = nearest_neighbors(z, n_neighbors)

    def store(self, name: str, arrays: dict[str, np.ndarray]) -> tuple[int, dict[str, np.ndarray]]:
        """Write a part of a code; its bytes and what was read back."""
        return store_arrays(arrays, self.folder / f"{name}.npz")

    def score(
        self, z: np.ndarray | None, decode: Callable[[int, int], np.ndarray]
    ) -> tuple[dict[str, float | None], np.ndarray | None]:
        """Distortion of a code of all cells, and its neighbours; z None for a code without one."""
        scored = self.scored
        distortion = measure_distortion(scored.X, scored.size_factor, self.gene_mean.rate, decode)
        result: dict[str, float | None] = dataclasses.asdict(distortion)
        if z is None:
            return result | {"neighbor_recall": None, "ari_label": None}, None
        neighbors = nearest_neighbors(z[self.rows], self.n_neighbors)
        assert self.reference is not None
        result["neighbor_recall"] = neighbor_recall(neighbors, self.reference)
        result["ari_label"] = (
            None
            if self.labels is None
            else adjusted_rand_index(cluster_neighbors(neighbors), self.labels)
        )
        return result, neighbors


def compress(
    counts: AnnData,
    normalized: AnnData,
    latent: AnnData,
    model: TrainedModel,
    *,
    name: str,
    options: CompressOptions,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure what a model's latent costs in bytes of real files and what it keeps of the counts.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts, in memory or on disk.
    normalized
        obs: library_size.
    latent
        obsm: X_{name}.
    seed
        Of the subsample, where there are more cells than `options.max_cells`.

    Returns
    -------
    Everything of the compression table, JSON-able; `notes` say what each number means.

    Raises
    ------
    InputError
        The inputs are not of the same cells or genes.
    """
    slots.require(normalized, slots.LIBRARY_SIZE)
    slots.require(latent, slots.LATENT, model=name)
    for other, what in ((normalized, "normalized"), (latent, "latent")):
        if not counts.obs_names.equals(other.obs_names):
            raise InputError(
                f"counts has {counts.n_obs} cells and {what} {other.n_obs}, not the same ones in "
                "the same order. Give files of one run."
            )
    data = _modelled(counts, normalized, model)
    n_obs = len(data)
    if n_obs < 3:
        raise InputError(f"compression needs at least 3 cells; found {n_obs}. Add cells.")
    rows = _scored_rows(n_obs, options.max_cells, seed)
    if len(rows) < n_obs:
        log.info("distortion is measured on %d of %d cells", len(rows), n_obs)
    with tempfile.TemporaryDirectory(prefix="scpress-compress-") as folder:
        bench = _Bench(data, rows, _labels(counts, rows), Path(folder))
        return _measure(bench, counts, latent, model, name, options)


def _measure(
    bench: _Bench,
    counts: AnnData,
    latent: AnnData,
    model: TrainedModel,
    name: str,
    options: CompressOptions,
) -> dict[str, Any]:
    data = bench.data
    n_obs, n_vars = data.X.shape
    most = min(n_vars, n_obs - 1, _MAX_RANK)
    pca = fit_pca(data.X, data.size_factor, most)
    reference = dataclasses.replace(pca, components=pca.components[:REFERENCE_RANK])
    bench.set_reference(reference, options.n_neighbors)

    counts_bytes = store_counts((b for _, _, b in iter_chunks(data.X)), bench.folder / "counts.h5")
    all_genes = select_rows(counts.X, bench.rows) if len(bench.rows) < n_obs else counts.X
    all_genes_bytes = store_counts(
        (b for _, _, b in iter_chunks(all_genes)), bench.folder / "all_genes.h5"
    )

    z = np.asarray(latent.obsm[slots.LATENT.of(name)], dtype=np.float32)
    precision, shared = _precision_rows(bench, model, z, options)
    first = precision[0]
    total = first["total_bytes"]
    same = _same_bytes_rank(bench, pca, total)
    curve = {
        rank: _pca_row(bench, pca, rank)
        for rank in sorted(
            {r for r in options.pca_ranks if r <= most} | ({same} if same else set())
        )
    }
    gene_mean = _gene_mean_row(bench)
    point = {key: value for key, value in first.items() if key in gene_mean} | {"code": name}
    fixed = shared["decoder_bytes"] + shared["gene_bytes"]
    cell_bytes = (first["latent_bytes"] + shared["library_bytes"]) / n_obs
    dense = n_obs * n_vars * 4
    return {
        "model": name,
        "preset": str(model.record.get("options", {}).get("preset", "")),
        "seed": model.record.get("seed"),
        "n_cells": n_obs,
        "n_scored_cells": len(bench.rows),
        "n_genes": n_vars,
        "n_all_genes": counts.n_vars,
        "n_latent": z.shape[1],
        "nominal": {
            "dense_bytes": dense,
            "latent_bytes": n_obs * z.shape[1] * 4,
            "ratio": n_vars / z.shape[1],
        },
        "stored": {
            "counts_bytes": counts_bytes,
            "counts_bytes_per_cell": counts_bytes / n_obs,
            "all_genes_bytes_per_cell": all_genes_bytes / len(bench.rows),
            "latent_bytes": first["latent_bytes"],
            "latent_bytes_per_cell": first["latent_bytes"] / n_obs,
            "ratio": counts_bytes / first["latent_bytes"],
        },
        "with_decoder": shared
        | {
            "latent_bytes": first["latent_bytes"],
            "total_bytes": total,
            "bytes_per_cell": total / n_obs,
            "ratio": counts_bytes / total,
            "break_even_cells": break_even_cells(fixed, cell_bytes, counts_bytes / n_obs),
        },
        "precision": precision,
        "distortion": {key: first[key] for key in _SCORES},
        "rivals": [point, *([curve[same]] if same else []), gene_mean],
        "same_bytes_rank": same,
        "curve": list(curve.values()),
        "notes": NOTES,
    }


_SCORES = (
    "deviance_explained",
    "gene_correlation",
    "cell_correlation",
    "neighbor_recall",
    "ari_label",
)


def _precision_rows(
    bench: _Bench,
    model: TrainedModel,
    z: np.ndarray,
    options: CompressOptions,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One row per precision of the latent, float32 first, and the bytes all of them share."""
    data = bench.data
    decoder_bytes, weights = bench.store("decoder", model.decoder_state())
    rate = bench.gene_mean.rate.astype(np.float32)
    gene_bytes, _ = bench.store("genes", {"rate": rate})
    library_bytes, library = bench.store("library", library_arrays(model, data))
    shared = {
        "decoder_bytes": decoder_bytes,
        "gene_bytes": gene_bytes,
        "library_bytes": library_bytes,
    }
    scored_library = {key: values[bench.rows] for key, values in library.items()}
    decoder = StoredDecoder(model, weights, scored_library, bench.scored)
    is_held_out = _held_out(model, len(data))[bench.rows]
    rows: list[dict[str, Any]] = []
    first: tuple[np.ndarray, np.ndarray] | None = None
    other_seed = 1.0
    wanted = ("float32", *(p for p in options.precisions if p != "float32"))
    for precision in wanted:
        latent_bytes, packed = bench.store(f"latent_{precision}", pack_latent(z, precision))
        stored = unpack_latent(packed)
        scored_z = stored[bench.rows]

        def decode(start: int, stop: int, scored_z: np.ndarray = scored_z) -> np.ndarray:
            return decoder.expected_counts(scored_z, start, stop)

        scores, neighbors = bench.score(stored, decode)
        assert neighbors is not None
        clusters = cluster_neighbors(neighbors)
        if first is None:
            first = (neighbors, clusters)
            other_seed = adjusted_rand_index(cluster_neighbors(neighbors, seed=1), clusters)
        nll = decoder.negative_log_likelihood(scored_z)
        total = latent_bytes + sum(shared.values())
        rows.append(
            {
                "code": "model",
                "precision": precision,
                "n_latent": z.shape[1],
                "latent_bytes": latent_bytes,
                "latent_bytes_per_cell": latent_bytes / len(data),
                "total_bytes": total,
                "bytes_per_cell": total / len(data),
                "nll": float(nll.mean()),
                "nll_held_out": float(nll[is_held_out].mean()) if is_held_out.any() else None,
                "neighbor_recall_float32": neighbor_recall(neighbors, first[0]),
                "ari_float32": adjusted_rand_index(clusters, first[1]),
                "ari_other_seed": other_seed,
            }
            | scores
        )
    return rows, shared


def _pca_row(bench: _Bench, pca: Pca, rank: int) -> dict[str, Any]:
    data = bench.data
    fitted = truncate_pca(pca, data.X, data.size_factor, rank)
    total, stored = _store_pca(bench, fitted)
    z = stored["z"]
    read = dataclasses.replace(
        fitted,
        mean=stored["mean"],
        components=stored["components"],
        rate=stored["rate"],
        scale=stored["scale"],
    )
    scored_z, factor = z[bench.rows], stored["size_factor"][bench.rows]
    scores, _ = bench.score(
        z, lambda start, stop: read.decode_counts(scored_z[start:stop], factor[start:stop])
    )
    return _row("PCA", rank, total, len(data)) | scores


def _store_pca(bench: _Bench, pca: Pca) -> tuple[int, dict[str, np.ndarray]]:
    data = bench.data
    z = [
        pca.encode(block.X, block.size_factor)
        for _, block in data.blocks(n_cells=20 * _BLOCK_CELLS)
    ]
    arrays = {
        "z": np.concatenate(z),
        "components": pca.components,
        "mean": pca.mean,
        "rate": pca.rate,
        "scale": pca.scale,
        "size_factor": data.size_factor.astype(np.float32),
    }
    return bench.store("pca", arrays)


def _same_bytes_rank(bench: _Bench, pca: Pca, total: int) -> int | None:
    """Find the largest rank of PCA whose file is no larger than `total`; None if even 1 is."""
    low, high = 0, pca.n_components
    while low < high:
        middle = (low + high + 1) // 2
        shorter = dataclasses.replace(pca, components=pca.components[:middle])
        size, _ = _store_pca(bench, shorter)
        low, high = (middle, high) if size <= total else (low, middle - 1)
    return low or None


def _gene_mean_row(bench: _Bench) -> dict[str, Any]:
    data = bench.data
    arrays = {
        "rate": bench.gene_mean.rate.astype(np.float32),
        "size_factor": data.size_factor.astype(np.float32),
    }
    total, stored = bench.store("gene_mean", arrays)
    read = GeneMean(stored["rate"].astype(np.float64))
    factor = stored["size_factor"][bench.rows]
    scores, _ = bench.score(None, lambda start, stop: read.decode_counts(factor[start:stop]))
    return _row("gene mean x size factor", 0, total, len(data)) | scores


def _row(code: str, n_latent: int, total: int, n_cells: int) -> dict[str, Any]:
    return {
        "code": code,
        "precision": "float32",
        "n_latent": n_latent,
        "total_bytes": total,
        "bytes_per_cell": total / n_cells,
    }


def _modelled(counts: AnnData, normalized: AnnData, model: TrainedModel) -> ModelledCounts:
    symbols = (
        counts.var[slots.GENE_SYMBOL.name].astype(str)
        if slots.GENE_SYMBOL.name in counts.var
        else counts.var_names
    )
    columns = model.matching_columns(
        list(counts.var_names), list(symbols), max_missing_fraction=0.0
    )
    library_size = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy()
    return ModelledCounts(
        select_genes(counts.X, columns),
        library_size / model.median_library_size,
        model.batch_codes(counts.obs),
        model.continuous_values(counts.obs),
    )


def _held_out(model: TrainedModel, n_obs: int) -> np.ndarray:
    """[cells] The model's validation cells; none where it was trained on other cells."""
    held_out = np.zeros(n_obs, dtype=bool)
    record = model.record
    if record.get("n_training_cells", 0) + record.get("n_validation_cells", 0) == n_obs:
        held_out[model.validation_cells] = True
    return held_out


def _scored_rows(n_obs: int, max_cells: int, seed: int) -> np.ndarray:
    if n_obs <= max_cells:
        return np.arange(n_obs)
    drawn = np.random.default_rng(seed).choice(n_obs, size=max_cells, replace=False)
    return np.sort(drawn)


def _labels(counts: AnnData, rows: np.ndarray) -> np.ndarray | None:
    name = slots.LABEL.name
    if name not in counts.obs:
        return None
    labels = counts.obs[name].astype(str).to_numpy()[rows]
    return labels if len(np.unique(labels)) > 1 else None
