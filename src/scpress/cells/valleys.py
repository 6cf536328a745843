"""Whether there is a valley between two clusters, or they were cut out of one cloud of cells."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

# Points of the grid on which the density between two clusters is measured.
_GRID = 512
# A valley counts when it is lower than the smaller of its two peaks by this many standard
# deviations. Peak and valley are picked as the highest and lowest of a curve, so 2 would be
# passed by chance; benchmarks/simulator.py shows what 3 lets through.
_MIN_DEPTH = 3.0
# ... and by this fraction: with a million cells a ripple of 1 % is significant and no boundary.
_MAX_RATIO = 0.85
# Centres this far apart, in mean standard deviations of the two, are separate without a test of
# the density, which a cluster of 15 cells never passes. A Gaussian cut in two by a plane has 2.7
# to 3.8, a uniform one 3.5.
CLEAR_GAP = 5.5
# Noise cut by Leiden has 1.8 to 2.9; CD4 and CD8 T cells, which touch, have 4.0 to 4.6.
SLIGHT_GAP = 3.2


def merge_unseparated(
    points: np.ndarray, labels: np.ndarray, *, min_gap: float = CLEAR_GAP
) -> np.ndarray:
    """Join clusters into islands, between any two of which there is a valley.

    A community detection cuts any cloud, and a long one, such as a gradient of library size, is
    cut at the same place every time: stability alone calls that a cluster.

    Parameters
    ----------
    points
        [cells, n_latent] Where the cells are.
    labels
        [cells] Cluster, 0 to k - 1.
    min_gap
        Clusters this far apart need no valley: `CLEAR_GAP`, or `SLIGHT_GAP` to join only what a
        cut through one cloud explains.

    Returns
    -------
    [cells] Island: the smallest number of its clusters.
    """
    labels = labels.copy()
    n_clusters = int(labels.max()) + 1
    depth = np.full((n_clusters, n_clusters), np.inf)
    present = np.unique(labels)
    for number, first in enumerate(present):
        for second in present[number + 1 :]:
            depth[first, second] = _separation(points, labels, first, second, min_gap)
    while True:
        first, second = map(int, np.unravel_index(np.argmin(depth), depth.shape))
        if depth[first, second] >= _MIN_DEPTH:
            return labels
        labels[labels == second] = first
        depth[second, :] = depth[:, second] = np.inf
        for other in np.unique(labels):
            if other != first:
                pair = min(first, other), max(first, other)
                depth[pair] = _separation(points, labels, *pair, min_gap)


def _separation(
    points: np.ndarray, labels: np.ndarray, first: int, second: int, min_gap: float
) -> float:
    """Depth of the valley between two clusters in standard deviations; infinite across a gap."""
    members = np.flatnonzero((labels == first) | (labels == second))
    in_second = labels[members] == second
    position = _project(points[members], in_second)
    if position is None:
        return 0.0
    spread = (position[in_second].std() + position[~in_second].std()) / 2
    distance = position[in_second].mean() - position[~in_second].mean()
    if distance > min_gap * spread:
        return np.inf
    return valley_depth(position, in_second)


def _project(points: np.ndarray, in_second: np.ndarray) -> np.ndarray | None:
    """[cells] Place along the axis that best divides two clusters.

    The axis for the even cells comes from the odd ones and the reverse: an axis fitted to the
    cells it divides makes a gap by itself when there are few cells and many dimensions.
    """
    position = np.empty(len(points))
    even = np.zeros(len(points), dtype=bool)
    # Every other cell of each cluster.
    for side in (in_second, ~in_second):
        even[np.flatnonzero(side)[::2]] = True
    for fit, use in ((even, ~even), (~even, even)):
        one, two = points[fit & ~in_second], points[fit & in_second]
        if len(one) < 2 or len(two) < 2:
            return None
        centers = one.mean(axis=0), two.mean(axis=0)
        spread = np.concatenate([one - centers[0], two - centers[1]])
        covariance = spread.T @ spread / len(spread)
        # A tenth of the mean variance on the diagonal keeps the inverse tame.
        ridge = 0.1 * np.trace(covariance) / len(covariance) + 1e-12
        axis = np.linalg.solve(
            covariance + ridge * np.eye(len(covariance)), centers[1] - centers[0]
        )
        along = points @ axis
        low, high = along[fit & ~in_second].mean(), along[fit & in_second].mean()
        if high <= low:
            return None
        # The same scale for both halves: 0 and 1 are the two centres.
        position[use] = (along[use] - low) / (high - low)
    return position


def valley_depth(position: np.ndarray, in_second: np.ndarray) -> float:
    """How much lower the density between two clusters is than at the smaller of their peaks.

    Parameters
    ----------
    position
        [cells] Place along an axis.
    in_second
        [cells] True for the cells of the cluster with the higher places.

    Returns
    -------
    Depth in standard deviations of the estimated densities; 0 where the valley is too shallow to
    be a boundary or absent.
    """
    n_obs = len(position)
    quartiles = np.percentile(position, [25, 75])
    # Silverman's width; the narrower cluster sets it, so that a small one is not smoothed away.
    widths = [position[in_second].std(), position[~in_second].std()]
    width = min(position.std(), (quartiles[1] - quartiles[0]) / 1.34, 1.5 * min(widths))
    width = max(0.9 * width * n_obs**-0.2, 1e-6 * (np.ptp(position) + 1e-12))
    low, high = position.min() - 3 * width, position.max() + 3 * width
    step = max((high - low) / _GRID, width / 8)
    edges = np.arange(low, high + step, step)
    histogram = np.histogram(position, bins=edges)[0].astype(float)
    density = gaussian_filter1d(histogram, width / step, mode="constant")
    middles = (edges[1:] + edges[:-1]) / 2
    start, stop = np.searchsorted(
        middles, [np.median(position[~in_second]), np.median(position[in_second])]
    )
    if stop - start < 2:
        return 0.0
    bottom = start + int(np.argmin(density[start:stop]))
    peak = min(density[: bottom + 1].max(), density[bottom:].max())
    valley = density[bottom]
    if valley > _MAX_RATIO * peak:
        return 0.0
    # The variance of a Gaussian kernel's density f is f / (2 sqrt(pi) width), in counts per step.
    per_cell = step / (2 * np.sqrt(np.pi) * width)
    return float((peak - valley) / np.sqrt((peak + valley) * per_cell))
