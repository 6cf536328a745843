"""What all cells of one donor and one type add up to, in one walk over the counts."""

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.counts.matrix import iter_chunks
from scpress.errors import InputError


def sum_counts(X: object, group: np.ndarray, n_groups: int) -> sparse.csr_matrix:
    """[groups, genes] Molecules of each group of cells, int64.

    Parameters
    ----------
    X
        [cells, genes] Raw counts, in memory or on disk, as for `iter_chunks`.
    group
        [cells] 0 to n_groups - 1; -1 is no group.

    Raises
    ------
    InputError
        A value is no count.
    """
    total = None
    for start, stop, block in iter_chunks(X):
        require_counts(block)
        of_block = group[start:stop]
        rows = np.flatnonzero(of_block >= 0)
        members = sparse.csr_matrix(
            (np.ones(len(rows), dtype=np.int64), (of_block[rows], rows)),
            shape=(n_groups, stop - start),
        )
        part = members @ block.astype(np.int64)
        total = part if total is None else total + part
    total = sparse.csr_matrix(total)
    total.sort_indices()
    return total


def require_counts(block: sparse.csr_matrix) -> None:
    """Check that values are whole numbers of 0 and more.

    Raises
    ------
    InputError
        One is not.
    """
    values = block.data
    good = np.isfinite(values) & (values >= 0) & (values == np.rint(values))
    if not good.all():
        raise InputError(
            f"donors are summed up over raw counts, whole numbers of 0 and more; found "
            f"{values[~good][0]:g}. Give the counts, not normalized or denoised values."
        )


def draw_cells(unit: np.ndarray, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """[draws, cells] How often each cell is drawn from those of its unit, with replacement.

    Parameters
    ----------
    unit
        [cells] -1 is no unit, whose cells are never drawn.
    """
    drawn = np.zeros((n_draws, len(unit)), dtype=np.int32)
    for one in range(int(unit.max()) + 1):
        rows = np.flatnonzero(unit == one)
        for draw in drawn:
            draw[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
    return drawn


def sum_drawn(
    X: object, group: np.ndarray, n_groups: int, genes: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum up drawn cells of each group, all draws in one walk over the counts.

    Parameters
    ----------
    X, group
        As for `sum_counts`.
    genes
        Columns that are summed up.
    drawn
        [draws, cells] How often each cell counts.

    Returns
    -------
    counts, total
        [draws, groups, genes], [draws, groups] Molecules of these genes, and of all; int64.
    """
    n_draws = len(drawn)
    sums = np.zeros((n_draws * n_groups, len(genes) + 1), dtype=np.int64)
    for start, stop, block in iter_chunks(X):
        of_block = group[start:stop]
        draw, row = np.nonzero((drawn[:, start:stop] > 0) & (of_block >= 0))
        members = sparse.csr_matrix(
            (drawn[draw, start + row].astype(np.int64), (draw * n_groups + of_block[row], row)),
            shape=(n_draws * n_groups, stop - start),
        )
        total = sparse.csr_matrix(np.asarray(block.sum(axis=1, dtype=np.int64)).reshape(-1, 1))
        columns = sparse.hstack([block[:, genes].astype(np.int64), total], format="csr")
        sums += (members @ columns).toarray()
    cube = sums.reshape(n_draws, n_groups, -1)
    return cube[..., :-1], cube[..., -1]


def mean_rows(
    values: np.ndarray, group: np.ndarray, n_groups: int, drawn: np.ndarray | None = None
) -> np.ndarray:
    """[groups, columns] Mean over the rows of each group, float64; NaN where a group has none.

    Parameters
    ----------
    drawn
        [rows] How often each counts; once when not given.
    """
    kept = group >= 0
    weight = np.ones(len(group)) if drawn is None else drawn.astype(np.float64)
    members = sparse.csr_matrix(
        (weight[kept], (group[kept], np.flatnonzero(kept))), shape=(n_groups, len(group))
    )
    n = np.bincount(group[kept], weights=weight[kept], minlength=n_groups)[:, None]
    sums = members @ np.asarray(values, dtype=np.float64)
    return np.divide(sums, n, out=np.full_like(sums, np.nan), where=n > 0)


def describe_units(
    obs: pd.DataFrame, unit: np.ndarray, names: np.ndarray
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Which columns of the cells are a property of a unit.

    Parameters
    ----------
    unit
        [cells] Number of the unit of each cell, each of them there.

    Returns
    -------
    table, varying
        [units, columns] The value of each that has one in all cells of every unit; and of the
        others an example, {column: "unit has 'a' and 'b'"}.
    """
    first = np.unique(unit, return_index=True)[1]
    table, varying = pd.DataFrame(index=pd.Index(names.astype(str))), {}
    for column in obs:
        codes, _ = pd.factorize(obs[column])
        is_same = codes == codes[first][unit]
        if is_same.all():
            table[str(column)] = obs[column].iloc[first].set_axis(table.index)
            continue
        other = int(np.flatnonzero(~is_same)[0])
        one, two = obs[column].iloc[first[unit[other]]], obs[column].iloc[other]
        varying[str(column)] = f"{names[unit[other]]} has {str(one)!r} and {str(two)!r}"
    return table, varying
