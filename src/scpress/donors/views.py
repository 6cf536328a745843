"""What donors are grouped by: kinds of features, and the same of cells that are drawn anew."""

from dataclasses import dataclass

import anndata as ad
import numpy as np
from scipy import sparse

from scpress import slots
from scpress.counts.genes import gene_labels
from scpress.donors.features import log_counts, log_of_total, log_ratios
from scpress.donors.sums import draw_cells, mean_rows, sum_drawn
from scpress.tables.cohort import TYPE_CELLS, CohortRecord, latent_of, layer_of

COMPOSITION, PSEUDOBULK, LATENT = "composition", "pseudobulk", "latent"


@dataclass(frozen=True)
class View:
    """Features of one kind, of each donor by itself.

    Attributes
    ----------
    matrix
        [donors, features]
    features
        [features] Names.
    types
        Types that they are of; none where they are of all cells together.
    is_scaled
        Whether features are brought to one variance: genes are, for those of few molecules vary
        by chance alone.
    """

    name: str
    matrix: sparse.csr_matrix
    features: list[str]
    types: tuple[str, ...]
    is_scaled: bool


@dataclass(frozen=True)
class Cells:
    """The cells of a cohort's donors.

    Attributes
    ----------
    counts
        [cells, genes] Raw counts, in memory or on disk.
    unit, cell_type
        [cells] Row of the donor in the cohort, -1 of none in it; number of the type.
    latent
        [cells, n_latent] Of the cohort's model, where it has one.
    """

    counts: object
    unit: np.ndarray
    cell_type: np.ndarray
    latent: np.ndarray | None


def make_view(
    cohort: ad.AnnData, record: CohortRecord, name: str, known: tuple[str, ...]
) -> View | None:
    """Features of one kind, or none where the cohort has none.

    Composition is of types of which donors have, in the median, as many cells as a type needs: the
    frequency of a rarer one is mostly chance.

    Parameters
    ----------
    known
        Types that every donor has enough cells of, for what is of types.
    """
    if name == COMPOSITION:
        n_cells = cohort.obsm[TYPE_CELLS]
        is_common = n_cells.median(axis=0).to_numpy() >= record.min_type_cells
        types = tuple(str(one) for one in n_cells.columns[is_common])
        if len(types) < 2:
            return None
        values = sparse.csr_matrix(log_ratios(n_cells[list(types)].to_numpy()))
        return View(name, values, list(types), types, is_scaled=False)
    if name == PSEUDOBULK:
        return make_pseudobulk(cohort, known)
    if not record.model:
        return None
    keys = [latent_of(record.model, one) for one in known] or [latent_of(record.model)]
    parts = [np.asarray(cohort.obsm[key]) for key in keys]
    names = [
        f"{one}: {number + 1}" if one else str(number + 1)
        for one in known or ("",)
        for number in range(parts[0].shape[1])
    ]
    return View(name, sparse.csr_matrix(np.hstack(parts)), names, known, is_scaled=False)


def make_pseudobulk(cohort: ad.AnnData, types: tuple[str, ...]) -> View:
    """Log counts by type and gene; of all cells together where there are no types."""
    labels = gene_labels(cohort.var)
    if not types:
        return View(PSEUDOBULK, log_counts(cohort.X), labels, (), is_scaled=True)
    parts = [log_counts(cohort.layers[layer_of(name)]) for name in types]
    names = [f"{name}: {label}" for name in types for label in labels]
    return View(PSEUDOBULK, sparse.csr_matrix(sparse.hstack(parts)), names, types, is_scaled=True)


def known_types(cohort: ad.AnnData, record: CohortRecord, rows: np.ndarray) -> tuple[str, ...]:
    """Types that each unit has enough cells of; of others a value would have to be made up."""
    n_cells = cohort.obsm[TYPE_CELLS].iloc[rows].to_numpy()
    is_known = (n_cells >= record.min_type_cells).all(axis=0)
    named = zip(record.types, is_known, strict=True)
    return tuple(name for name, kept in named if kept and name != slots.UNASSIGNED)


def pseudobulk_of(
    cohort: ad.AnnData, record: CohortRecord, rows: np.ndarray
) -> tuple[sparse.csr_matrix, list[str]]:
    """[units, features] Log counts by gene and type that each has, and their names."""
    view = make_pseudobulk(cohort[rows], known_types(cohort, record, rows))
    return view.matrix, view.features


class Redrawn:
    """Views of donors whose cells, or molecules, are drawn anew, with replacement.

    Molecules are drawn where donors have one cell or cells are not at hand; how cells of a donor
    differ is then left out, and there is no latent.
    """

    def __init__(
        self,
        cohort: ad.AnnData,
        record: CohortRecord,
        cells: Cells | None,
        *,
        n_draws: int,
        rng: np.random.Generator,
    ):
        self._cohort, self._record, self._rng = cohort, record, rng
        n_cells = cohort.obsm[TYPE_CELLS].to_numpy()
        # Of one cell there is nothing to draw.
        self._cells = cells if n_cells.sum(axis=1).min() > 1 else None
        self._n_draws = n_draws
        if self._cells is not None:
            self._group = np.where(
                self._cells.unit >= 0,
                self._cells.unit * len(record.types) + self._cells.cell_type,
                -1,
            )
            self._drawn = draw_cells(self._cells.unit, n_draws, rng)

    @property
    def kind(self) -> str:
        """What is drawn."""
        return "molecules" if self._cells is None else "cells"

    def redraw(self, view: View, columns: np.ndarray) -> list[sparse.csr_matrix]:
        """[draws] of [donors, columns]: the view's features again; none where that cannot be."""
        if view.name == COMPOSITION:
            kept = [self._record.types.index(one) for one in view.types]
            made = [log_ratios(n_cells[:, kept])[:, columns] for n_cells in self._type_cells()]
        elif view.name == PSEUDOBULK:
            made = self._redraw_counts(view, columns)
        else:
            made = self._redraw_latent(view, columns)
        return [sparse.csr_matrix(one) for one in made]

    def _type_cells(self) -> list[np.ndarray]:
        n_cells = self._cohort.obsm[TYPE_CELLS].to_numpy()
        if self._cells is None:
            share = n_cells / n_cells.sum(axis=1, keepdims=True)
            return [self._rng.multinomial(n_cells.sum(axis=1), share) for _ in range(self._n_draws)]
        kept = self._group >= 0
        return [
            np.bincount(self._group[kept], weights=one[kept], minlength=n_cells.size).reshape(
                n_cells.shape
            )
            for one in self._drawn
        ]

    def _redraw_counts(self, view: View, columns: np.ndarray) -> list[np.ndarray]:
        n_donors, n_genes = self._cohort.shape
        number, gene = np.divmod(columns, n_genes)
        genes, place = np.unique(gene, return_inverse=True)
        n_types = max(len(view.types), 1)
        if self._cells is not None:
            # Cells of other types are of no group.
            new = np.full(len(self._record.types), -1)
            new[[self._record.types.index(one) for one in view.types]] = np.arange(n_types)
            kind = new[self._cells.cell_type] if view.types else 0
            group = np.where(
                (self._cells.unit >= 0) & (kind >= 0), self._cells.unit * n_types + kind, -1
            )
            counts, total = sum_drawn(
                self._cells.counts, group, n_donors * n_types, genes, self._drawn
            )
            shape = (self._n_draws, n_donors, n_types)
            logs = log_of_total(counts.reshape(*shape, -1), total.reshape(shape))
            return list(logs[:, :, number, place])
        layers = [layer_of(one) for one in view.types]
        sums = [self._cohort.layers[one] for one in layers] or [self._cohort.X]
        some = np.stack([one[:, genes].toarray() for one in sums], axis=1)
        rest = np.stack([np.asarray(one.sum(axis=1)).ravel() for one in sums], axis=1)
        rest = rest - some.sum(axis=2)
        made = []
        for _ in range(self._n_draws):
            counts = self._rng.poisson(some)
            total = counts.sum(axis=2) + self._rng.poisson(rest)
            made.append(log_of_total(counts, total)[:, number, place])
        return made

    def _redraw_latent(self, view: View, columns: np.ndarray) -> list[np.ndarray]:
        if self._cells is None or self._cells.latent is None:
            return []
        n_donors, points = self._cohort.n_obs, self._cells.latent
        if not view.types:
            return [
                mean_rows(points, self._cells.unit, n_donors, one)[:, columns]
                for one in self._drawn
            ]
        all_types = len(self._record.types)
        kept = [self._record.types.index(one) for one in view.types]
        made = []
        for one in self._drawn:
            means = mean_rows(points, self._group, n_donors * all_types, one)
            of_types = means.reshape(n_donors, all_types, -1)[:, kept].reshape(n_donors, -1)
            # A type none of whose cells was drawn is where the donor's mean was.
            was = view.matrix.toarray()
            made.append(np.where(np.isnan(of_types), was, of_types)[:, columns])
        return made
