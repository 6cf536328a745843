"""Genes that rise and fall along the dimensions of a latent and from cluster to cluster."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.cells.seeds import match_programs
from scpress.config.programs import ProgramsOptions
from scpress.counts.digests import genes_digest
from scpress.errors import InputError
from scpress.model.fitted import TrainedModel
from scpress.model.traversals import loadings, traverse
from scpress.tables.programs import CLUSTERS, DIMENSION, ProgramGene, ProgramsRecord

log = logging.getLogger("scpress")


@dataclass(frozen=True)
class _Way:
    """One way through a latent, and the cells that are moved along it."""

    name: str
    kind: str
    rows: np.ndarray
    """[moved cells]"""
    dimension: int = -1
    clusters: tuple[str, str] = ("", "")

    def places(
        self, z: np.ndarray, labels: np.ndarray, percentiles: np.ndarray
    ) -> tuple[list[np.ndarray], float, float]:
        """([moved cells, n_latent] at each place, where it starts, where it ends)."""
        moved = z[self.rows]
        if self.kind == DIMENSION:
            values = np.percentile(z[:, self.dimension], percentiles)
            places = []
            for value in values:
                place = moved.copy()
                place[:, self.dimension] = value
                places.append(place)
            return places, float(values[0]), float(values[-1])
        start, end = (z[labels == one].mean(axis=0) for one in self.clusters)
        parts = np.linspace(0, 1, len(percentiles))
        distance = float(np.linalg.norm(end - start))
        return [moved + part * (end - start) for part in parts], 0.0, distance


def programs(
    latents: Sequence[ad.AnnData],
    models: Sequence[TrainedModel],
    clusters: ad.AnnData,
    options: ProgramsOptions,
    *,
    name: str,
    seed: int = 0,
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Move cells along each dimension, and from each cluster to others, and see what is decoded.

    Parameters
    ----------
    latents, models
        Of each seed of one model, in the same order: the first is told, the others are what it is
        held against.
    clusters
        [cells, 0] obs: leiden.
    name
        Name of the model; the latents are obsm[f"X_{name}"].
    seed
        Of the cells that are drawn to be moved.

    Returns
    -------
    programs
        [places, modelled genes] `X` log2 fold change since the first place of the program. `obs`:
        gene_program, gene_program_place (percentile of the cells, or percent of the way between two
        clusters). `varm`: traversals_{name}, changes from end to end of each dimension, and
        loadings_{name} of a linear decoder. `uns["scpress"]["programs"]`: a `ProgramsRecord`.
    genes
        One row for each listed gene, a `ProgramGene`.

    Raises
    ------
    InputError
        No genes are asked for, a range without extent, or latents, models and clusters that are not
        of one run.
    """
    if options.n_genes < 1:
        raise InputError("n_genes is 0, which lists none; set it to 1 or more.")
    if options.low >= options.high:
        raise InputError(
            f"a dimension is moved from percentile low {options.low:g} to high {options.high:g}; "
            "low must be the lower one."
        )
    _require_one_run(latents, models, clusters, name)
    key = slots.LATENT.of(name)
    points = [np.asarray(one.obsm[key], dtype=np.float32) for one in latents]
    labels = clusters.obs[slots.LEIDEN.name].astype(str).to_numpy()
    first = models[0]
    ways, n_pairs = _list_ways(points[0], labels, options, np.random.default_rng(seed))
    percentiles = np.linspace(options.low, options.high, options.n_points)
    changes, expected, ends = [], [], []
    for way in ways:
        places, *end = way.places(points[0], labels, percentiles)
        found = traverse(first, places)
        changes.append(found.log2_fold_change)
        expected.append(found.expected[[0, -1]])
        ends.append(end)
    whole = np.stack([one[-1] for one in changes])
    is_enough = np.stack([one.max(axis=0) >= options.min_expected for one in expected])
    is_compared = np.logical_or.reduce(is_enough)
    agreement, spanned = _agreement(
        ways, whole, is_compared, points[1:], models[1:], labels, percentiles[[0, -1]]
    )
    table = _list_genes(ways, whole, np.stack(expected), is_enough, first, options)
    record = ProgramsRecord(
        model=name,
        seeds=tuple(int(one.record.seed or 0) for one in models),
        low=float(options.low),
        high=float(options.high),
        n_cells=options.n_cells,
        n_pairs=n_pairs,
        min_log2_fold_change=float(options.min_log2_fold_change),
        min_expected=float(options.min_expected),
        is_linear=loadings(first) is not None,
        program=tuple(way.name for way in ways),
        kind=tuple(way.kind for way in ways),
        start=tuple(start for start, _ in ends),
        end=tuple(end for _, end in ends),
        largest=tuple(float(one) for one in np.where(is_enough, np.abs(whole), 0).max(axis=1)),
        agreement=tuple(map(float, agreement.mean(axis=0))),
        least_agreement=tuple(map(float, agreement.min(axis=0))),
        spanned=tuple(map(float, spanned.mean(axis=0))),
    )
    n_pairs_told = sum(way.kind == CLUSTERS for way in ways)
    log.info(
        "%d dimensions and %d ways between clusters%s; %d genes are listed",
        first.n_latent,
        n_pairs_told,
        f", the nearest of {n_pairs}" if n_pairs_told < n_pairs else "",
        len(table),
    )
    out = ad.AnnData(
        np.concatenate(changes).astype(np.float32),
        obs=_places_frame(ways, percentiles),
        var=pd.DataFrame({slots.GENE_SYMBOL.name: first.symbols}, index=first.genes),
    )
    out.varm[slots.TRAVERSALS.of(name)] = whole[: first.n_latent].T.astype(np.float32)
    weights = loadings(first)
    if weights is not None:
        out.varm[slots.LOADINGS.of(name)] = weights
    out.uns[slots.RECORD.name] = {"programs": record.as_plain()}
    return out, table


def _require_one_run(
    latents: Sequence[ad.AnnData],
    models: Sequence[TrainedModel],
    clusters: ad.AnnData,
    name: str,
) -> None:
    if len(latents) != len(models):
        raise InputError(
            f"there are {len(latents)} latents and {len(models)} models; give both of each seed."
        )
    slots.require(clusters, slots.LEIDEN)
    for latent, model in zip(latents, models, strict=True):
        slots.require(latent, slots.LATENT, model=name)
        slots.require_same_cells(clusters.obs_names, latent.obs_names, "the latent")
        record = latent.uns.get(slots.RECORD.name, {})
        digest, seed = genes_digest(model.genes), model.record.seed
        if record.get("genes_digest", digest) != digest or record.get("seed", seed) != seed:
            raise InputError(
                f"the latent of seed {record.get('seed')} does not go with the model of seed "
                f"{seed} and its {len(model.genes)} genes. Give files of one run, in one order."
            )
        n_latent = latent.obsm[slots.LATENT.of(name)].shape[1]
        if model.genes != models[0].genes or n_latent != model.n_latent:
            raise InputError(
                f"a latent of {n_latent} dimensions is given with a model of {model.n_latent} and "
                f"{len(model.genes)} genes, the first of {len(models[0].genes)}. Give seeds of one "
                "model."
            )


def _list_ways(
    z: np.ndarray, labels: np.ndarray, options: ProgramsOptions, rng: np.random.Generator
) -> tuple[list[_Way], int]:
    """Every dimension, then pairs of clusters; and how many pairs there are."""
    drawn = np.sort(rng.permutation(len(z))[: options.n_cells])
    ways = [_Way(f"z{d}", DIMENSION, drawn, dimension=d) for d in range(z.shape[1])]
    # Leiden's numbers in their order, not "10" before "2".
    names = sorted(set(labels), key=lambda one: (len(one), one))
    centers = {one: z[labels == one].mean(axis=0) for one in names}
    pairs = list(combinations(names, 2))
    pairs.sort(key=lambda pair: float(np.linalg.norm(centers[pair[1]] - centers[pair[0]])))
    kept = set(pairs[: options.max_pairs])
    for one, other in combinations(names, 2):
        if (one, other) in kept:
            own = np.flatnonzero(labels == one)
            rows = np.sort(rng.permutation(own)[: options.n_cells])
            ways.append(_Way(f"{one} to {other}", CLUSTERS, rows, clusters=(one, other)))
    return ways, len(pairs)


def _agreement(
    ways: Sequence[_Way],
    whole: np.ndarray,
    is_compared: np.ndarray,
    points: Sequence[np.ndarray],
    models: Sequence[TrainedModel],
    labels: np.ndarray,
    percentiles: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[other seeds, programs] Correlation with the best match, and the share that is spanned.

    NaN, one row, without other seeds or without genes to compare.
    """
    none = np.full((1, len(ways)), np.nan)
    if not models or is_compared.sum() < 2:
        return none, none
    agreement = np.zeros((len(models), len(ways)))
    spanned = np.full_like(agreement, np.nan)
    is_dimension = np.array([way.kind == DIMENSION for way in ways])
    own = whole[:, is_compared]
    for number, (z, model) in enumerate(zip(points, models, strict=True)):
        others = [traverse(model, way.places(z, labels, percentiles)[0]) for way in ways]
        other = np.stack([one.log2_fold_change[-1] for one in others])[:, is_compared]
        of_dimensions = match_programs(own[is_dimension], other[is_dimension])
        agreement[number, is_dimension], spanned[number, is_dimension] = of_dimensions
        # Clusters are the same cells in every seed, and so are the ways between them.
        agreement[number, ~is_dimension] = _correlations(own[~is_dimension], other[~is_dimension])
    return agreement, spanned


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[rows] Pearson's correlation of each row with the same row of the other."""
    one, other = (rows - rows.mean(axis=1, keepdims=True) for rows in (one, other))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.clip((one * other).sum(axis=1) / np.maximum(lengths, 1e-12), -1, 1)


def _list_genes(
    ways: Sequence[_Way],
    whole: np.ndarray,
    expected: np.ndarray,
    is_enough: np.ndarray,
    model: TrainedModel,
    options: ProgramsOptions,
) -> pd.DataFrame:
    """The genes that change most, of those with enough molecules; `ProgramGene` has the columns."""
    rows = []
    for way, change, (start, end), is_listed in zip(ways, whole, expected, is_enough, strict=True):
        for word, sign in (("rises", 1), ("falls", -1)):
            order = np.argsort(-sign * change, kind="stable")
            kept = order[is_listed[order] & (sign * change[order] > 0)]
            kept = kept[np.abs(change[kept]) >= options.min_log2_fold_change]
            rows += [
                ProgramGene(
                    program=way.name,
                    kind=way.kind,
                    change=word,
                    rank=rank,
                    gene=model.genes[gene],
                    gene_symbol=model.symbols[gene],
                    log2_fold_change=float(change[gene]),
                    expected_start=float(start[gene]),
                    expected_end=float(end[gene]),
                )
                for rank, gene in enumerate(kept[: options.n_genes], start=1)
            ]
    return pd.DataFrame([vars(row) for row in rows], columns=list(ProgramGene.__annotations__))


def _places_frame(ways: Sequence[_Way], percentiles: np.ndarray) -> pd.DataFrame:
    """[places] Program and place of each row, by both names."""
    parts = np.linspace(0, 100, len(percentiles))
    place = [percentiles if way.kind == DIMENSION else parts for way in ways]
    of_program = np.repeat([way.name for way in ways], len(percentiles))
    frame = pd.DataFrame(
        {
            slots.PROGRAM.name: pd.Categorical(of_program, categories=[way.name for way in ways]),
            slots.PROGRAM_PLACE.name: np.concatenate(place),
        }
    )
    number = np.tile(np.arange(len(percentiles)), len(ways))
    frame.index = pd.Index([f"{a} at {b}" for a, b in zip(of_program, number, strict=True)])
    return frame
