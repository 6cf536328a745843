"""Which genes each sample measured: a count that was never taken is not a zero."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scpress import slots
from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger("scpress")


@dataclass(frozen=True)
class Measured:
    """Sets of genes that were measured together, and the set of each cell.

    Attributes
    ----------
    genes
        [sets, genes] True where cells of the set were measured.
    of_cell
        [cells] Set of each cell, int64.
    """

    genes: np.ndarray
    of_cell: np.ndarray

    @property
    def everywhere(self) -> np.ndarray:
        """[genes] Whether every cell was measured."""
        return np.asarray(self.genes.all(axis=0))

    def take(self, rows: np.ndarray | slice) -> "Measured":
        """Of some of the cells; the sets stay as they are."""
        return Measured(self.genes, self.of_cell[rows])

    def select(self, columns: np.ndarray) -> "Measured | None":
        """Of some of the genes, -1 for one that no cell has; None where all were measured."""
        genes = self.genes[:, columns] & (columns >= 0)
        return None if genes.all() else Measured(genes, self.of_cell)

    def mask(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """[cells, genes] True where a cell was measured; call it on a block of cells."""
        return self.genes[self.of_cell[rows]]

    def sums(self, per_cell: np.ndarray) -> np.ndarray:
        """[genes] Sum of a number of each cell over the cells in which a gene was measured."""
        of_set = np.bincount(self.of_cell, per_cell, minlength=len(self.genes))
        return of_set @ self.genes

    def require_no_others(self, n_molecules: np.ndarray) -> None:
        """Check that no molecules are where nothing was measured.

        Parameters
        ----------
        n_molecules
            [sets, genes] Molecules of all cells of a set.

        Raises
        ------
        InputError
            Some are.
        """
        wrong = (n_molecules > 0) & ~self.genes
        if wrong.any():
            raise InputError(
                f"{int(wrong.any(axis=0).sum())} genes have molecules in samples that are said not "
                f"to measure them (varm[{slots.MEASURED.name!r}]). Merge the samples again."
            )


def measured_in(counts: "AnnData") -> Measured | None:
    """Which genes were measured in the cells of some counts; None where all were in all.

    Raises
    ------
    InputError
        The table is not of the samples that the cells are of.
    """
    if slots.MEASURED.name not in counts.varm:
        return None
    slots.require(counts, slots.MEASURED, slots.SAMPLE)
    table = np.asarray(counts.varm[slots.MEASURED.name])
    names = [str(name) for name in counts.uns.get(slots.RECORD.name, {}).get("sample_names", [])]
    if table.shape[1:] != (len(names),):
        raise InputError(
            f"varm[{slots.MEASURED.name!r}] is of shape {table.shape}, and uns['scpress'] names "
            f"{len(names)} samples. Merge the samples again."
        )
    code = {name: number for number, name in enumerate(names)}
    samples = counts.obs[slots.SAMPLE.name].astype(str)
    unknown = samples[~samples.isin(code)]
    if len(unknown):
        raise InputError(
            f"cell {unknown.index[0]!r} is of sample {unknown.iloc[0]!r}, of which "
            f"varm[{slots.MEASURED.name!r}] does not say what was measured; it knows "
            f"{', '.join(names[:8])}. Merge the samples again."
        )
    of_sample = samples.map(code).to_numpy(dtype=np.int64)
    present = np.unique(of_sample)
    genes, of_present = np.unique(table[:, present].T, axis=0, return_inverse=True)
    if genes.all():
        return None
    return Measured(genes, of_present.ravel()[np.searchsorted(present, of_sample)])


def common_genes(counts: "AnnData", step: str) -> np.ndarray | None:
    """[genes] True for those that every sample measured, for a step that can count no others.

    None, and no word, where all are.
    """
    measured = measured_in(counts)
    if measured is None:
        return None
    common = measured.everywhere
    log.info(
        "%s: %d of %d genes were not measured in all samples and are left out",
        step,
        int((~common).sum()),
        len(common),
    )
    return common


def require_all_measured(counts: "AnnData", step: str) -> None:
    """Check that every gene was measured in every cell, for a step that counts zeros.

    Raises
    ------
    InputError
        Some were not.
    """
    measured = measured_in(counts)
    if measured is not None:
        n_genes = int((~measured.everywhere).sum())
        raise InputError(
            f"`scpress {step}` takes counts in which every sample measured every gene; {n_genes} "
            f"of {counts.n_vars} genes were not measured in all. Set `genes` of merge to "
            "intersection."
        )
