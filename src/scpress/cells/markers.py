"""Which genes are higher in one group of cells than in the others."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import ndtr

from scpress.counts.matrix import iter_slabs

# Added to both means before their ratio: a gene seen in one cell has no infinite fold change.
# It is in molecules per cell of median size.
_PSEUDO_COUNT = 0.05
# Values that are ranked at a time: a ranking needs some 100 bytes for each of them.
_NONZEROS_AT_A_TIME = 2**21

# The one table of markers, of clusters and of subtypes.
MARKER_COLUMNS = (
    "group",
    "gene",
    "gene_symbol",
    "log2_fold_change",
    "z",
    "p_value",
    "fdr",
    "fraction_in_group",
    "fraction_in_others",
)
# Fewest cells that are drawn of a group that has them.
_MIN_GROUP_CELLS = 100
# Genes that one comparison looks at together: bounds the copies that the ranking makes.
_GENES_AT_A_TIME = 2000


def no_markers() -> pd.DataFrame:
    """Table of `MARKER_COLUMNS` without a row."""
    return pd.DataFrame(columns=list(MARKER_COLUMNS))


def rank_sum_test(values: sparse.spmatrix, in_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilcoxon's rank-sum test of every gene, ties in full, without dense values.

    Parameters
    ----------
    values
        [cells, genes] Non-negative values; what is not stored is 0.
    in_group
        [groups, cells] True for the cells of each group; they are compared with all others.

    Returns
    -------
    z, p_value
        [groups, genes] Positive z: higher in the group. Two-sided normal approximation with
        correction for ties and continuity; 1 where a gene is constant or a side is empty.
    """
    columns = sparse.csc_matrix(values)
    parts = [
        _rank_sums(columns[:, start:stop], in_group)
        # Of no genes there is one part, too: it has their shape.
        for start, stop in list(iter_slabs(columns.indptr, _NONZEROS_AT_A_TIME)) or [(0, 0)]
    ]
    z, p_value = (np.hstack(part) for part in zip(*parts, strict=True))
    return z, p_value


def _rank_sums(values: sparse.csc_matrix, in_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test some genes; as `rank_sum_test`."""
    matrix = values.astype(np.float64, copy=True)
    matrix.eliminate_zeros()
    n_obs, n_genes = matrix.shape
    n_stored = np.diff(matrix.indptr)
    gene = np.repeat(np.arange(n_genes), n_stored)
    order = np.lexsort((matrix.data, gene))
    value, cell = matrix.data[order], matrix.indices[order]

    n_zeros = (n_obs - n_stored).astype(np.float64)
    # Runs of the same value in the same gene share the mean of their ranks.
    is_start = np.ones(len(value), dtype=bool)
    is_start[1:] = (np.diff(value) != 0) | (np.diff(gene) != 0)
    run = np.cumsum(is_start) - 1
    run_starts = np.flatnonzero(is_start)
    run_length = np.diff(np.append(run_starts, len(value))).astype(np.float64)
    run_gene = gene[run_starts]
    before = run_starts - matrix.indptr[run_gene] + n_zeros[run_gene]
    rank = (before + (run_length + 1) / 2)[run]
    ties = n_zeros**3 - n_zeros
    ties += np.bincount(run_gene, run_length**3 - run_length, minlength=n_genes)

    ranks = sparse.csr_matrix((rank, (cell, gene)), shape=(n_obs, n_genes))
    detected = ranks.copy()
    detected.data = np.ones_like(detected.data)
    member = np.asarray(in_group, dtype=np.float64)
    size = member.sum(axis=1, keepdims=True)
    zeros_in_group = size - member @ detected
    rank_sum = member @ ranks + zeros_in_group * (n_zeros + 1) / 2
    difference = rank_sum - size * (n_obs + 1) / 2
    unequal = n_obs + 1 - ties / max(1, n_obs * (n_obs - 1))
    variance = size * (n_obs - size) / 12 * unequal
    deviation = np.sqrt(np.maximum(variance, 0.0))
    shrunk = np.sign(difference) * np.maximum(np.abs(difference) - 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 1e-9, shrunk / deviation, 0.0)
    return z, 2 * ndtr(-np.abs(z))


def adjust_p_values(p_value: np.ndarray) -> np.ndarray:
    """[..., tests] False discovery rates of each row's p-values. Benjamini and Hochberg 1995."""
    p_value = np.asarray(p_value, dtype=np.float64)
    n = p_value.shape[-1]
    order = np.argsort(p_value, axis=-1)
    scaled = np.take_along_axis(p_value, order, axis=-1) * n / np.arange(1, n + 1)
    not_falling = np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(p_value)
    np.put_along_axis(adjusted, order, np.minimum(not_falling, 1.0), axis=-1)
    return adjusted


def log2_fold_changes(
    counts: sparse.csr_matrix, size_factor: np.ndarray, in_group: np.ndarray
) -> np.ndarray:
    """Compare means of counts / size_factor: [groups, genes] log2 of the group over the others.

    The mean is taken before the logarithm: the mean of log1p values depends on the depth.
    """
    scaled = sparse.diags(1.0 / size_factor) @ counts
    member = np.asarray(in_group, dtype=np.float64)
    size = np.maximum(member.sum(axis=1, keepdims=True), 1)
    rest = np.maximum((1 - member).sum(axis=1, keepdims=True), 1)
    inside = (member @ scaled) / size
    outside = ((1 - member) @ scaled) / rest
    return np.log2((inside + _PSEUDO_COUNT) / (outside + _PSEUDO_COUNT))


def find_markers(
    counts: sparse.spmatrix,
    size_factor: np.ndarray,
    labels: np.ndarray,
    genes: np.ndarray,
    *,
    max_fdr: float,
    groups: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    min_log2_fold_change: float = 0.0,
    max_markers: int | None = None,
    against_each: bool = False,
) -> pd.DataFrame:
    """Genes higher in each group than in the other cells, best first.

    The rank-sum test is on counts / size_factor, the fold change that of the means; the false
    discovery rate is within a group. Never computed from denoised values.

    Parameters
    ----------
    counts
        [cells, genes] Molecules.
    size_factor
        [cells] Linear.
    labels
        [cells] Group.
    genes
        [genes] Names.
    groups
        The groups in the order of the table; sorted when not given.
    symbols
        [genes] Symbols; the names when not given.
    min_log2_fold_change
        Smallest log2 fold change of a marker; what is not higher has a false discovery rate of 1.
    max_markers
        Most markers of a group.
    against_each
        A marker must be higher than in every other group by itself (its worst comparison is
        reported), not only than in all other cells together.

    Returns
    -------
    Table of `MARKER_COLUMNS`; z, p_value and fold change are of the group against the others, and
    the fractions those of the cells in the group and of all others with a molecule of the gene.
    """
    names = np.unique(labels) if groups is None else np.asarray(groups)
    member = np.asarray(labels)[None, :] == names[:, None]
    n_others = np.array([(~one).sum() for one in member])
    if len(names) < 2 or not n_others.any():
        return no_markers()
    columns = sparse.csc_matrix(counts)
    if against_each:
        z, p_value, change = _compare_each(columns, size_factor, member)
    else:
        z, p_value, change = _compare(columns, size_factor, member)
    inside, outside = _fractions(columns, member)
    names_of = np.asarray(genes)
    symbols_of = names_of if symbols is None else np.asarray(symbols, dtype=object)
    tables = []
    for number, name in enumerate(names):
        is_higher = (z[number] > 0) & (change[number] > 0)
        fdr = np.where(is_higher, adjust_p_values(p_value[number]), 1.0)
        keep = np.flatnonzero((fdr <= max_fdr) & (change[number] >= min_log2_fold_change))
        keep = keep[np.argsort(-z[number, keep], kind="stable")][:max_markers]
        values = (change, z, p_value, None, inside, outside)
        measured = [fdr[keep] if one is None else one[number, keep] for one in values]
        row = (np.repeat(name, len(keep)), names_of[keep], symbols_of[keep], *measured)
        tables.append(pd.DataFrame(dict(zip(MARKER_COLUMNS, row, strict=True))))
    return pd.concat(tables, ignore_index=True)


def _compare(
    counts: sparse.csc_matrix, size_factor: np.ndarray, member: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[groups, genes] z, p-value and log2 fold change of each group over all other cells."""
    parts = []
    for start in range(0, counts.shape[1], _GENES_AT_A_TIME):
        block = sparse.csr_matrix(counts[:, start : start + _GENES_AT_A_TIME])
        scaled = sparse.csr_matrix(sparse.diags(1.0 / size_factor) @ block)
        change = log2_fold_changes(block, size_factor, member)
        parts.append((*rank_sum_test(scaled, member), change))
    z, p_value, change = (np.hstack(part) for part in zip(*parts, strict=True))
    return z, p_value, change


def _compare_each(
    counts: sparse.csc_matrix, size_factor: np.ndarray, member: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_compare`, the worst over the other groups, one by one.

    The largest p-value tests "higher than in every rival"; the wrong direction has p = 1.
    """
    rows_of = sparse.csr_matrix(counts)
    worst = []
    for number, own in enumerate(member):
        found = []
        for other, rival in enumerate(member):
            if other == number or not rival.any():
                continue
            rows = np.flatnonzero(own | rival)
            part = sparse.csc_matrix(rows_of[rows])
            found.append(_compare(part, size_factor[rows], own[rows][None]))
        z, p_value, change = (np.vstack(one) for one in zip(*found, strict=True))
        p_value = np.where(z > 0, p_value, 1.0)
        worst.append((z.min(axis=0), p_value.max(axis=0), change.min(axis=0)))
    z, p_value, change = (np.vstack(one) for one in zip(*worst, strict=True))
    return z, p_value, change


def _fractions(counts: sparse.csc_matrix, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[groups, genes] Fraction of the cells in each group, and outside, that have the gene."""
    detected = counts.astype(np.float64)
    detected.data = (detected.data > 0).astype(np.float64)
    inside = member.astype(np.float64) @ detected
    outside = np.asarray(detected.sum(axis=0)) - inside
    size = member.sum(axis=1, keepdims=True)
    rest = member.shape[1] - size
    return inside / np.maximum(size, 1), outside / np.maximum(rest, 1)


def draw_cells(code: np.ndarray, max_cells: int, *, seed: int) -> np.ndarray:
    """[drawn] Sorted rows of at most about `max_cells` cells, with some of every group."""
    if len(code) <= max_cells:
        return np.arange(len(code))
    random = np.random.default_rng(seed)
    drawn = []
    for number in range(code.max() + 1):
        rows = np.flatnonzero(code == number)
        wanted = max(_MIN_GROUP_CELLS, round(len(rows) * max_cells / len(code)))
        drawn.append(random.choice(rows, size=min(wanted, len(rows)), replace=False))
    return np.sort(np.concatenate(drawn))
