"""Whether a clustering comes back when some of the cells are left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# The interval holds the middle 90 % of the subsamples: its lower end is what 19 of 20 reach.
_PERCENTILES = (5, 95)


@dataclass(frozen=True)
class Agreement:
    """Adjusted Rand indices of clusterings of subsamples: their mean and the middle 90 %."""

    mean: float
    low: float
    high: float


def adjusted_rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """Agreement of two clusterings of the same cells: 1 the same, 0 as by chance.

    Two clusterings with one cluster each agree (1). Hubert and Arabie 1985.
    """
    _, rows = np.unique(first, return_inverse=True)
    _, columns = np.unique(second, return_inverse=True)
    if not len(rows):
        return 1.0
    n_columns = int(columns.max()) + 1
    together = _n_pairs(np.bincount(rows * n_columns + columns))
    in_first = _n_pairs(np.bincount(rows))
    in_second = _n_pairs(np.bincount(columns))
    n_pairs = len(rows) * (len(rows) - 1) / 2
    expected = in_first * in_second / n_pairs if n_pairs else 0.0
    largest = (in_first + in_second) / 2
    if largest == expected:
        return 1.0
    return float((together - expected) / (largest - expected))


def normalized_mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Information that two clusterings share, over the mean of their entropies: 1 the same."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(first, second))


def draw_subsamples(
    n_obs: int, *, n_subsamples: int, fraction: float, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Sorted row numbers of each subsample, drawn without replacement."""
    # A neighbours graph needs 3 cells.
    size = min(n_obs, max(3, round(fraction * n_obs)))
    for _ in range(n_subsamples):
        yield np.sort(rng.choice(n_obs, size=size, replace=False))


def summarize_agreement(values: Sequence[float]) -> Agreement:
    """Mean and interval of the adjusted Rand indices of several subsamples."""
    low, high = np.percentile(values, _PERCENTILES)
    return Agreement(mean=float(np.mean(values)), low=float(low), high=float(high))


def match_clusters(reference: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[cells] Each cluster renamed to the reference cluster that most of its cells are in."""
    _, number = np.unique(labels, return_inverse=True)
    table = np.zeros((int(number.max()) + 1, int(reference.max()) + 1), dtype=np.int64)
    np.add.at(table, (number, reference), 1)
    return table.argmax(axis=1)[number]


def found_again(
    labels: np.ndarray, subsamples: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """[cells] Share of the subsamples with the cell that put it with most of its cluster.

    NaN for a cell that no subsample has. `subsamples`: as of `merge_unstable`.
    """
    n_drawn, n_found = np.zeros(len(labels)), np.zeros(len(labels))
    for rows, found in subsamples:
        n_drawn[rows] += 1
        n_found[rows] += match_clusters(labels[rows], found) == labels[rows]
    return np.divide(n_found, n_drawn, out=np.full(len(labels), np.nan), where=n_drawn > 0)


def merge_unstable(
    labels: np.ndarray,
    islands: np.ndarray,
    subsamples: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    min_stability: float,
) -> np.ndarray:
    """Join neighbouring clusters whose boundary does not come back when cells are left out.

    Parameters
    ----------
    labels
        [cells] Cluster, 0 to k - 1.
    islands
        [cells] Groups of clusters; boundaries between two groups stand without a test.
    subsamples
        For each: its row numbers, and the clusters found in them alone.
    min_stability
        Smallest lower end of the adjusted Rand index of two clusters that stay apart.

    Returns
    -------
    [cells] Cluster, numbered by falling size.
    """
    labels = labels.copy()
    island = np.zeros(int(labels.max()) + 1, dtype=np.int64)
    island[labels] = islands
    support = np.full((len(island), len(island)), np.inf)
    changed = set(range(len(island)))
    while True:
        matched = [match_clusters(labels[rows], found) for rows, found in subsamples]
        present = np.unique(labels)
        for first in present:
            for second in present:
                together = island[first] == island[second]
                if first < second and together and {first, second} & changed:
                    support[first, second] = _pair_support(
                        labels, subsamples, matched, first, second
                    )
        first, second = map(int, np.unravel_index(np.argmin(support), support.shape))
        if support[first, second] >= min_stability:
            return sort_by_size(labels)
        labels[labels == second] = first
        support[second, :] = support[:, second] = np.inf
        changed = {first}


def _pair_support(
    labels: np.ndarray,
    subsamples: Sequence[tuple[np.ndarray, np.ndarray]],
    matched: Sequence[np.ndarray],
    first: int,
    second: int,
) -> float:
    """Lower end of the agreement on the cells of two clusters."""
    values = []
    for (rows, _), found in zip(subsamples, matched, strict=True):
        before = labels[rows]
        pair = (before == first) | (before == second)
        values.append(adjusted_rand_index(before[pair], found[pair]))
    return summarize_agreement(values).low


def sort_by_size(labels: np.ndarray) -> np.ndarray:
    """[cells] The same clusters, numbered 0, 1, ... from the largest to the smallest."""
    _, number, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[number]


def _n_pairs(sizes: np.ndarray) -> float:
    return float((sizes * (sizes - 1)).sum() / 2)
