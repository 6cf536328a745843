"""The nearest points of every point, among those of the groups around it.

An exact search compares all pairs. Here the points lie in groups, and each is compared with those
of the groups whose centres are nearest. Each point is one thread's, and all arithmetic is in the
loops below and not in BLAS, so the bits do not depend on the number of threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
from numba import njit

# Points that each is compared with: so many, and so many for each neighbour that is looked for.
# Of the true neighbours 99 of 100 are then found in latents and in components of counts
# (benchmarks/neighbors.py).
_FEWEST_COMPARED, _COMPARED_PER_NEIGHBOR = 4_000, 30
_SMALLEST_GROUP, _GROUPS_PER_ROOT = 50, 4
# A point chooses its groups among this many times as many that are near its own group.
_SHORTLISTED = 4
_MEANS, _SAMPLED_PER_GROUP = 2, 50
# Dimensions that are added at a time.
_UNROLLED = 5
_FOUND_AT_A_TIME, _ASSIGNED_AT_A_TIME = 1 << 18, 1 << 12

_loop = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)
# Threads run such functions side by side: numba's own parallel loops compile three times as long.
_alone = njit(fastmath={"contract"}, error_model="numpy", nogil=True, cache=True)


class Groups(NamedTuple):
    """Points in the order of their groups."""

    order: np.ndarray
    """[points] Row of each before it was ordered."""
    columns: np.ndarray
    """[dimensions, points] float32; dimensions of zeros are added."""
    starts: np.ndarray
    """[groups + 1]"""
    centers: np.ndarray
    """[groups, dimensions] float32"""
    near: np.ndarray
    """[groups, shortlist] The groups with the nearest centres, the group itself first."""
    n_probed: int
    """Groups that a point is compared with."""


def nearest(points: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """[points, n_neighbors] The nearest others of every point, nearest first, and how far they are.

    Raises
    ------
    ValueError
        There are not as many other points.
    """
    return _nearest(points, None, n_neighbors)


def nearest_among(
    places: np.ndarray, points: np.ndarray, n_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """[points, n_neighbors] As `nearest`, the nearest of some places, of which a point may be one.

    Raises
    ------
    ValueError
        There are not more places than neighbours.
    """
    return _nearest(points, places, n_neighbors)


def count_late(points: np.ndarray, n_neighbors: int, first: int) -> np.ndarray:
    """[points] How many of the nearest others of a point are `first` or come after it."""
    count = np.empty(len(points), np.int64)

    def keep(at: np.ndarray, rows: np.ndarray, squares: np.ndarray) -> None:
        count[at] = (rows >= first).sum(axis=1)

    _search_all(points, n_neighbors, keep)
    return count


def _nearest(
    points: np.ndarray, places: np.ndarray | None, n_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    found = np.empty((len(points), n_neighbors), np.int32)
    distances = np.empty(found.shape, np.float32)

    def keep(at: np.ndarray, rows: np.ndarray, squares: np.ndarray) -> None:
        order = np.lexsort((rows, squares), axis=1)
        found[at] = np.take_along_axis(rows, order, axis=1)
        distances[at] = np.sqrt(np.take_along_axis(squares, order, axis=1))

    _search_all(points, n_neighbors, keep, places)
    return found, distances


def _search_all(
    points: np.ndarray,
    n_neighbors: int,
    keep: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    places: np.ndarray | None = None,
) -> None:
    """Hand over [some] points, [some, n_neighbors] their nearest and squared distances.

    They are looked for among the places, or where there are none among the other points.
    """
    among = points if places is None else places
    middle = among.mean(axis=0)
    with ThreadPoolExecutor(numba.get_num_threads()) as threads:
        groups = _group(_as_columns(among, middle), n_neighbors, threads)
        columns, order, starts = groups.columns, groups.order, groups.starts
        if places is not None:
            columns = _as_columns(points, middle)
            centers = np.ascontiguousarray(groups.centers.T)
            order, starts = _sort(_assign_all(columns, centers, threads), len(groups.near))
            columns = columns[:, order]

        def search(begin: int, end: int) -> None:
            shape = starts[end] - starts[begin], n_neighbors
            rows, squares = np.empty(shape, np.int32), np.empty(shape, np.float32)
            _search(groups, columns, starts, places is None, begin, end, rows, squares)
            keep(order[starts[begin] : starts[end]], groups.order[rows], squares)

        wanted = np.arange(0, len(points), max(1, _FOUND_AT_A_TIME // n_neighbors))
        bounds = np.unique(np.append(np.searchsorted(starts, wanted), len(starts) - 1))
        list(threads.map(search, bounds[:-1], bounds[1:]))


def _as_columns(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    n, n_dimensions = points.shape
    columns = np.zeros((-(-n_dimensions // _UNROLLED) * _UNROLLED, n), np.float32)
    columns[:n_dimensions] = (points - middle).T
    return columns


def _sort(group: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """[points] The rows of the groups one after the other, and [groups + 1] where each starts."""
    order = np.argsort(group, kind="stable").astype(np.int32)
    return order, np.searchsorted(group[order], np.arange(n_groups + 1))


def _group(columns: np.ndarray, n_neighbors: int, threads: ThreadPoolExecutor) -> Groups:
    n = columns.shape[1]
    if n <= n_neighbors:
        raise ValueError(f"{n} points have no {n_neighbors} others")
    size = max(n_neighbors, _SMALLEST_GROUP, np.sqrt(n) / _GROUPS_PER_ROOT)
    n_groups = max(1, int(n / size))
    compared = max(_FEWEST_COMPARED, _COMPARED_PER_NEIGHBOR * n_neighbors)
    rng = np.random.default_rng(0)
    n_sampled = min(n, _SAMPLED_PER_GROUP * n_groups)
    sample = np.ascontiguousarray(columns[:, rng.choice(n, n_sampled, replace=False)])
    centers = np.ascontiguousarray(sample[:, :n_groups])
    for _ in range(_MEANS):
        of_sample = _assign_all(sample, centers, threads)
        total = np.bincount(of_sample, minlength=n_groups)
        sums = [np.bincount(of_sample, one, minlength=n_groups) for one in sample]
        centers = np.where(total > 0, np.array(sums) / np.maximum(total, 1), centers)
        centers = centers.astype(np.float32)
    order, starts = _sort(_assign_all(columns, centers, threads), n_groups)
    n_probed = min(n_groups, -(-compared * n_groups // n))
    centers = np.ascontiguousarray(centers.T)
    near = np.empty((n_groups, min(n_groups, _SHORTLISTED * n_probed)), np.int32)
    for one in range(n_groups):
        distances = ((centers - centers[one]) ** 2).sum(axis=1)
        distances[one] = -1
        near[one] = np.argsort(distances, kind="stable")[: near.shape[1]]
    return Groups(order, columns[:, order], starts, centers, near, n_probed)


def _assign_all(
    columns: np.ndarray, centers: np.ndarray, threads: ThreadPoolExecutor
) -> np.ndarray:
    """[points] The nearest centre of each."""
    found = np.empty(columns.shape[1], np.int32)

    def assign(at: int) -> None:
        _assign(columns, centers, at, found[at : at + _ASSIGNED_AT_A_TIME])

    list(threads.map(assign, range(0, len(found), _ASSIGNED_AT_A_TIME)))
    return found


# loops -------------------------------------------------------------------------------------------


@_loop
def _squares(columns, start, stop, point, out):  # type: ignore[no-untyped-def]
    """Squared distances of columns `start` to `stop` from a point."""
    n = stop - start
    for d in range(0, len(point), 5):
        a, b, c = columns[d, start:stop], columns[d + 1, start:stop], columns[d + 2, start:stop]
        e, f = columns[d + 3, start:stop], columns[d + 4, start:stop]
        x, y, z, v, w = point[d], point[d + 1], point[d + 2], point[d + 3], point[d + 4]
        if d == 0:
            for j in range(n):
                out[j] = (
                    (a[j] - x) * (a[j] - x)
                    + (b[j] - y) * (b[j] - y)
                    + (c[j] - z) * (c[j] - z)
                    + (e[j] - v) * (e[j] - v)
                    + (f[j] - w) * (f[j] - w)
                )
        else:
            for j in range(n):
                out[j] += (
                    (a[j] - x) * (a[j] - x)
                    + (b[j] - y) * (b[j] - y)
                    + (c[j] - z) * (c[j] - z)
                    + (e[j] - v) * (e[j] - v)
                    + (f[j] - w) * (f[j] - w)
                )


@_alone
def _assign(columns, centers, at, found):  # type: ignore[no-untyped-def]
    """Fill in the nearest centres of the points from `at` on."""
    n_groups = centers.shape[1]
    point, out = np.empty(len(columns), np.float32), np.empty(n_groups, np.float32)
    for i in range(len(found)):
        point[:] = columns[:, at + i]
        _squares(centers, 0, n_groups, point, out)
        found[i] = np.argmin(out)


@njit(cache=True, nogil=True)
def _select(values, rows, n, k):  # type: ignore[no-untyped-def]
    """Put the k smallest of n values, with their rows, before the others; return the largest."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                rows[i], rows[j] = rows[j], rows[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    return values[k - 1]


@_loop
def _choose(group, groups, ids, to_center, point):  # type: ignore[no-untyped-def]
    """The groups whose centres are nearest to a point of a group, its own group first."""
    ids[:] = groups.near[group]
    if groups.n_probed < len(ids):
        for s in range(len(ids)):
            total = np.float32(0)
            for d in range(len(point)):
                total += (groups.centers[ids[s], d] - point[d]) ** 2
            to_center[s] = total
        _select(to_center[1:], ids[1:], len(ids) - 1, groups.n_probed - 1)
    return ids[: groups.n_probed]


@_loop
def _find(i, chosen, groups, point, out, squares, rows):  # type: ignore[no-untyped-def]
    """Put the nearest points of the chosen groups first; return how many there are."""
    k = len(rows) // 2
    n, limit = 0, np.float32(np.inf)
    for one in chosen:
        start, stop = groups.starts[one], groups.starts[one + 1]
        _squares(groups.columns, start, stop, point, out)
        for j in range(stop - start):
            if out[j] < limit and start + j != i:
                squares[n], rows[n] = out[j], start + j
                n += 1
                if n == 2 * k:
                    limit = _select(squares, rows, n, k)
                    n = k
    if n > k:
        _select(squares, rows, n, k)
    return min(n, k)


@_alone
def _search(groups, columns, starts, is_own, begin, end, rows, squares):  # type: ignore[no-untyped-def]
    """Fill [points of groups `begin` to `end`, neighbours] where the nearest are and how far.

    Columns and starts are of the points in the order of their groups, the groups' own or others.
    """
    n_neighbors = rows.shape[1]
    everything = np.arange(len(starts) - 1).astype(np.int32)
    largest = np.max(groups.starts[1:] - groups.starts[:-1])
    ids = np.empty(groups.near.shape[1], np.int32)
    to_center = np.empty(len(ids), np.float32)
    point, out = np.empty(len(columns), np.float32), np.empty(largest, np.float32)
    near, where = np.empty(2 * n_neighbors, np.float32), np.empty(2 * n_neighbors, np.int32)
    for group in range(begin, end):
        for i in range(starts[group], starts[group + 1]):
            point[:] = columns[:, i]
            chosen = _choose(group, groups, ids, to_center, point)
            itself = i if is_own else -1
            while _find(itself, chosen, groups, point, out, near, where) < n_neighbors:
                chosen = everything
            rows[i - starts[begin]] = where[:n_neighbors]
            squares[i - starts[begin]] = near[:n_neighbors]
