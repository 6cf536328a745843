"""How small the latent is, what it keeps, and what its rivals keep at the same bytes."""

import dataclasses
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData

from scpress import slots
from scpress.cells.graph import cluster_neighbors, nearest_neighbors, neighbor_recall
from scpress.cells.stability import adjusted_rand_index
from scpress.compression.coders import fit_gene_shares
from scpress.compression.codes import (
    StoredArrays,
    break_even_cells,
    pack_latent,
    store_arrays,
    store_counts,
    unpack_latent,
)
from scpress.compression.decoder import StoredDecoder, library_arrays
from scpress.compression.distortion import measure_distortion
from scpress.compression.held_out import HeldOutBench, divide_cells, measure_model, measure_rivals
from scpress.config.options import CompressOptions
from scpress.counts.genes import gene_symbols
from scpress.counts.matrix import iter_chunks, select_rows
from scpress.counts.measured import require_all_measured
from scpress.errors import InputError
from scpress.model.baselines import GeneMean, Pca, fit_gene_mean, fit_pca, truncate_pca
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts, modelled_counts
from scpress.tables.compression import (
    GENE_MEAN,
    PCA,
    REFERENCE_RANK,
    Code,
    Compression,
    HeldOutCodes,
    Nominal,
    Precision,
    Scores,
    Stored,
    WithDecoder,
)

log = logging.getLogger("scpress")

# No rank above this is tried for the PCA that costs as much as the model.
_MAX_RANK = 200
_BLOCK_CELLS = 500
# Cells whose lossy codes are stored at most, and training cells that rivals are fitted to.
_MAX_CODED, _MAX_FITTED = 5000, 50_000


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

    def store(self, name: str, arrays: dict[str, np.ndarray]) -> StoredArrays:
        """Write a part of a code and read it back."""
        return store_arrays(arrays, self.folder / f"{name}.npz")

    def score(self, decode: Callable[[int, int], np.ndarray]) -> Scores:
        """Distortion of a code that has no latent."""
        scored = self.scored
        distortion = measure_distortion(scored.X, scored.size_factor, self.gene_mean.rate, decode)
        return Scores(**dataclasses.asdict(distortion), neighbor_recall=None, ari_label=None)

    def score_latent(
        self, z: np.ndarray, decode: Callable[[int, int], np.ndarray]
    ) -> tuple[Scores, np.ndarray]:
        """Distortion of a code with a latent of the scored cells, and its neighbours."""
        neighbors = nearest_neighbors(z, self.n_neighbors)
        assert self.reference is not None
        ari = None
        if self.labels is not None:
            ari = adjusted_rand_index(cluster_neighbors(neighbors), self.labels)
        recall = neighbor_recall(neighbors, self.reference)
        scores = dataclasses.replace(self.score(decode), neighbor_recall=recall, ari_label=ari)
        return scores, neighbors


def compress(
    counts: AnnData,
    normalized: AnnData,
    latent: AnnData,
    model: TrainedModel,
    *,
    name: str,
    options: CompressOptions,
    others: Sequence[TrainedModel] = (),
    seed: int = 0,
) -> Compression:
    """Measure what a model's latent costs in bytes of real files and what it keeps of the counts.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts, in memory or on disk.
    normalized
        obs: library_size.
    latent
        obsm: X_{name}.
    others
        The same model at `options.n_latents`, for the rate-distortion curve.
    seed
        Of the subsample, where there are more cells than `options.max_cells`.

    Raises
    ------
    InputError
        Inputs of other cells or genes, or other models than those of `options.n_latents`.
    """
    require_all_measured(counts, "compress")
    slots.require(latent, slots.LATENT, model=name)
    slots.require_same_cells(counts.obs_names, latent.obs_names, "latent")
    _require_same_training(model, others, options.n_latents)
    data = modelled_counts(counts, normalized, model)
    n_obs = len(data)
    if n_obs < 3:
        raise InputError(f"compression needs at least 3 cells; found {n_obs}. Add cells.")
    rows = _scored_rows(n_obs, options.max_cells, seed)
    if len(rows) < n_obs:
        log.info("distortion is measured on %d of %d cells", len(rows), n_obs)
    with tempfile.TemporaryDirectory(prefix="scpress-compress-") as folder:
        bench = _Bench(data, rows, _labels(counts, rows), Path(folder))
        held_out = _measure_held_out(
            counts, data, (model, *others), Path(folder), name=name, options=options, seed=seed
        )
        return _measure(bench, counts, latent, model, name, options, held_out)


def _measure(
    bench: _Bench,
    counts: AnnData,
    latent: AnnData,
    model: TrainedModel,
    name: str,
    options: CompressOptions,
    held_out: HeldOutCodes | None,
) -> Compression:
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
    shared = _store_shared(bench, model)
    precision, latent_tensors = _precisions(bench, model, shared, z, options)
    first = precision[0]
    same = _same_bytes_rank(bench, pca, first.total_bytes)
    curve = {
        rank: _pca_code(bench, pca, rank)
        for rank in sorted(
            {r for r in options.pca_ranks if r <= most} | ({same} if same else set())
        )
    }
    point = dataclasses.replace(Code.part_of(first), code=name)
    sizes = {part: stored.n_bytes for part, stored in shared.items()}
    fixed = sizes["decoder"] + sizes["genes"]
    cell_bytes = (first.latent_bytes + sizes["library"]) / n_obs
    return Compression(
        model=name,
        preset=str(model.record.options.get("preset", "")),
        seed=model.record.seed,
        n_cells=n_obs,
        n_scored_cells=len(bench.rows),
        n_genes=n_vars,
        n_all_genes=counts.n_vars,
        n_latent=z.shape[1],
        nominal=Nominal(
            dense_bytes=n_obs * n_vars * 4,
            latent_bytes=n_obs * z.shape[1] * 4,
            ratio=n_vars / z.shape[1],
        ),
        stored=Stored(
            counts_bytes=counts_bytes,
            counts_bytes_per_cell=counts_bytes / n_obs,
            all_genes_bytes_per_cell=all_genes_bytes / len(bench.rows),
            latent_bytes=first.latent_bytes,
            latent_bytes_per_cell=first.latent_bytes / n_obs,
            ratio=counts_bytes / first.latent_bytes,
        ),
        with_decoder=WithDecoder(
            latent_bytes=first.latent_bytes,
            decoder_bytes=sizes["decoder"],
            gene_bytes=sizes["genes"],
            library_bytes=sizes["library"],
            total_bytes=first.total_bytes,
            bytes_per_cell=first.total_bytes / n_obs,
            ratio=counts_bytes / first.total_bytes,
            break_even_cells=break_even_cells(fixed, cell_bytes, counts_bytes / n_obs),
        ),
        tensors={"latent": latent_tensors} | {part: one.tensors for part, one in shared.items()},
        precision=precision,
        distortion=Scores.part_of(first),
        rivals=(point, *([curve[same]] if same else []), _gene_mean_code(bench)),
        same_bytes_rank=same,
        curve=tuple(curve.values()),
        held_out=held_out,
    )


def _measure_held_out(
    counts: AnnData,
    data: ModelledCounts,
    models: Sequence[TrainedModel],
    folder: Path,
    *,
    name: str,
    options: CompressOptions,
    seed: int,
) -> HeldOutCodes | None:
    """Score codes on molecules that none of them has seen.

    The cells are those that training held out. Rivals are fitted to training cells, as the model
    was, and no code is given the molecules that it is scored on: neither when it was fitted nor
    when these cells were encoded. One thing the model has over its rivals: when its training
    stopped was decided by its loss on (at most 1,000 of) the held-out cells, all their molecules.
    """
    is_held_out = _held_out(models[0], len(data))
    coded = _scored_rows(len(data), _MAX_CODED, seed)
    rows, others = coded[is_held_out[coded]], coded[~is_held_out[coded]]
    if not len(rows) or not len(others):
        log.info("no cells were held out of the training: no code is scored on unseen molecules")
        return None
    fitted = np.flatnonzero(~is_held_out)
    training = data.take(fitted[_scored_rows(len(fitted), _MAX_FITTED, seed)])
    columns = models[0].matching_columns(
        [str(gene) for gene in counts.var_names], gene_symbols(counts.var), max_missing_fraction=0
    )
    share = fit_gene_shares(training)
    cells = divide_cells(
        data, rows, select_rows(counts.X, rows), columns, others=others, share=share, seed=seed
    )
    bench = HeldOutBench(cells, folder)
    codes = [code for model in models for code in measure_model(bench, model, name=name)]
    if options.rivals:
        ranks = {"pca_ranks": options.pca_ranks, "nmf_ranks": options.nmf_ranks}
        codes += measure_rivals(bench, training, **ranks)
    return HeldOutCodes(
        n_coded_cells=len(cells.coded),
        n_cells=len(rows),
        n_molecules=int(cells.unseen.sum()),
        digest=cells.digest,
        codes=tuple(codes),
    )


def _require_same_training(
    model: TrainedModel, others: Sequence[TrainedModel], n_latents: tuple[int, ...]
) -> None:
    found = sorted(other.n_latent for other in others)
    if found != sorted(set(n_latents)):
        raise InputError(
            f"n_latents is {', '.join(map(str, n_latents)) or 'empty'} and the other models have "
            f"{', '.join(map(str, found)) or 'none'}; give the model file of each."
        )
    for other in others:
        if other.genes != model.genes or not np.array_equal(
            other.validation_cells, model.validation_cells
        ):
            raise InputError(
                f"the model of {other.n_latent} latent dimensions was trained on other genes or "
                f"other cells than the one of {model.n_latent}; train both on the same counts."
            )


def _store_shared(bench: _Bench, model: TrainedModel) -> dict[str, StoredArrays]:
    """Store what every precision of the latent shares: decoder, gene means, library of cells."""
    rate = bench.gene_mean.rate.astype(np.float32)
    return {
        "decoder": bench.store("decoder", model.decoder_state()),
        "genes": bench.store("genes", {"rate": rate}),
        "library": bench.store("library", library_arrays(model, bench.data)),
    }


def _precisions(
    bench: _Bench,
    model: TrainedModel,
    shared: dict[str, StoredArrays],
    z: np.ndarray,
    options: CompressOptions,
) -> tuple[tuple[Precision, ...], dict[str, int]]:
    """The model's code at each precision, float32 first, and the tensors of that one's latent."""
    n_obs = len(bench.data)
    library = {key: values[bench.rows] for key, values in shared["library"].arrays.items()}
    decoder = StoredDecoder(model.config, shared["decoder"].arrays, library)
    is_held_out = _held_out(model, n_obs)[bench.rows]
    codes: list[Precision] = []
    tensors: dict[str, int] = {}
    first: tuple[np.ndarray, np.ndarray] | None = None
    other_seed = 1.0
    wanted = ("float32", *(p for p in options.precisions if p != "float32"))
    for precision in wanted:
        stored = bench.store(f"latent_{precision}", pack_latent(z, precision))
        scored_z = unpack_latent(stored.arrays)[bench.rows]

        def decode(start: int, stop: int, scored_z: np.ndarray = scored_z) -> np.ndarray:
            return decoder.expected_counts(scored_z, start, stop)

        scores, neighbors = bench.score_latent(scored_z, decode)
        clusters = cluster_neighbors(neighbors)
        if first is None:
            first, tensors = (neighbors, clusters), stored.tensors
            other_seed = adjusted_rand_index(cluster_neighbors(neighbors, seed=1), clusters)
        nll = decoder.negative_log_likelihood(scored_z, bench.scored.X)
        total = stored.n_bytes + sum(one.n_bytes for one in shared.values())
        codes.append(
            Precision(
                code="model",
                precision=precision,
                n_latent=z.shape[1],
                latent_bytes=stored.n_bytes,
                latent_bytes_per_cell=stored.n_bytes / n_obs,
                total_bytes=total,
                bytes_per_cell=total / n_obs,
                nll=float(nll.mean()),
                nll_held_out=float(nll[is_held_out].mean()) if is_held_out.any() else None,
                neighbor_recall_float32=neighbor_recall(neighbors, first[0]),
                ari_float32=adjusted_rand_index(clusters, first[1]),
                ari_other_seed=other_seed,
                **dataclasses.asdict(scores),
            )
        )
    return tuple(codes), tensors


def _pca_code(bench: _Bench, pca: Pca, rank: int) -> Code:
    data = bench.data
    fitted = truncate_pca(pca, data.X, data.size_factor, rank)
    stored = _store_pca(bench, fitted)
    arrays = stored.arrays
    read = dataclasses.replace(
        fitted,
        mean=arrays["mean"],
        components=arrays["components"],
        rate=arrays["rate"],
        scale=arrays["scale"],
    )
    z, factor = arrays["z"][bench.rows], arrays["size_factor"][bench.rows]
    scores, _ = bench.score_latent(
        z, lambda start, stop: read.decode_counts(z[start:stop], factor[start:stop])
    )
    return _rival(PCA, rank, stored.n_bytes, len(data), scores)


def _store_pca(bench: _Bench, pca: Pca) -> StoredArrays:
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
        fits = _store_pca(bench, shorter).n_bytes <= total
        low, high = (middle, high) if fits else (low, middle - 1)
    return low or None


def _gene_mean_code(bench: _Bench) -> Code:
    data = bench.data
    arrays = {
        "rate": bench.gene_mean.rate.astype(np.float32),
        "size_factor": data.size_factor.astype(np.float32),
    }
    stored = bench.store("gene_mean", arrays)
    read = GeneMean(stored.arrays["rate"].astype(np.float64))
    factor = stored.arrays["size_factor"][bench.rows]
    scores = bench.score(lambda start, stop: read.decode_counts(factor[start:stop]))
    return _rival(GENE_MEAN, 0, stored.n_bytes, len(data), scores)


def _rival(code: str, n_latent: int, total: int, n_cells: int, scores: Scores) -> Code:
    return Code(
        code=code,
        precision="float32",
        n_latent=n_latent,
        total_bytes=total,
        bytes_per_cell=total / n_cells,
        **dataclasses.asdict(scores),
    )


def _held_out(model: TrainedModel, n_obs: int) -> np.ndarray:
    """[cells] The model's validation cells; none where it was trained on other cells."""
    held_out = np.zeros(n_obs, dtype=bool)
    if model.n_fitted_cells == n_obs:
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
