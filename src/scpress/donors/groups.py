"""Whether donors fall into groups, beyond one group of the same variances and correlations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from scpress.donors.features import with_ones
from scpress.donors.performance import permutation_p

# Of the donors, least that a group holds: fewer are some who stand apart, not a subtype.
_MIN_SHARE = 0.05
# Directions with less variance than this of the first are none.
_FLAT = 1e-9
# Groups that Ward's tree is cut into at most, for each that is wanted.
_DEEPEST = 4
# Steps of k-means: from Ward's groups few donors still move.
_STEPS = 20


@dataclass(frozen=True)
class GroupTest:
    """Numbers of groups, each against the same donors rotated.

    Attributes
    ----------
    numbers
        [numbers] Of groups.
    within, expected
        [numbers] Share of the variance left within them, and its geometric mean in rotated donors.
    z
        [numbers] How many standard deviations of its logarithm less is left; -inf where a group is
        too small.
    p_value
        [numbers] Share of rotated donors in whom any number has as large a one.
    """

    numbers: tuple[int, ...]
    within: np.ndarray
    expected: np.ndarray
    z: np.ndarray
    p_value: np.ndarray

    @property
    def furthest(self) -> int:
        """Place of the number that is furthest from what rotated donors have; -1 of none."""
        best = int(np.argmax(self.z))
        return best if np.isfinite(self.z[best]) else -1


def group_donors(points: np.ndarray, numbers: Sequence[int], min_donors: int) -> list[np.ndarray]:
    """[numbers] of [donors] Group of each donor by k-means from Ward's groups, the largest 0.

    All donors are in one where there are not so many groups of `min_donors` to start from.
    """
    made = []
    for number, centres in zip(numbers, _starts(points, numbers, min_donors), strict=True):
        if centres is None:
            made.append(np.zeros(len(points), dtype=np.int64))
            continue
        label = _move(points, centres)[1]
        size = np.bincount(label, minlength=number)
        made.append(np.argsort(np.argsort(-size, kind="stable"))[label])
    return made


def _starts(points: np.ndarray, numbers: Sequence[int], min_donors: int) -> list[np.ndarray | None]:
    """[numbers] of [groups, directions] Centres of so many of Ward's groups, or none.

    The tree is cut where there are so many groups of `min_donors`; who stands apart from all of
    these, as single donors do in any cohort, is left to the nearest.
    """
    n_donors = len(points)
    tree = linkage(points, "ward")
    joined = tree[:, :2].astype(np.int64)
    size = np.concatenate([np.ones(n_donors, dtype=np.int64), tree[:, 3].astype(np.int64)])
    # In the order of the tree the donors of a group lie side by side, from its `first` on.
    first = np.zeros(2 * n_donors - 1, dtype=np.int64)
    for merge in range(n_donors - 2, -1, -1):
        left, right = joined[merge]
        first[left] = first[n_donors + merge]
        first[right] = first[left] + size[left]
    summed = np.zeros((n_donors + 1, points.shape[1]))
    summed[first[:n_donors] + 1] = points
    summed = np.cumsum(summed, axis=0)

    large = [2 * n_donors - 2]
    merges = iter(range(n_donors - 2, max(-1, n_donors - 2 - _DEEPEST * max(numbers)), -1))
    made: list[np.ndarray | None] = []
    for number in numbers:
        while len(large) < number and (cut := next(merges, None)) is not None:
            parts = [one for one in joined[cut] if size[one] >= min_donors]
            if parts and n_donors + cut in large:
                large.remove(n_donors + cut)
                large += parts
        if len(large) < number:
            made.append(None)
            continue
        chosen = np.array(sorted(large, key=lambda one: -size[one])[:number])
        sums = summed[first[chosen] + size[chosen]] - summed[first[chosen]]
        made.append(sums / size[chosen][:, None])
    return made


def _move(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres after steps of k-means, and the nearest of each point.

    By hand, as this is done for every set of rotated donors and libraries take longer to check
    their input than for these few sums.
    """
    before = np.full(len(points), -1)
    for _ in range(_STEPS):
        # Squared distances but for a term that is the same for all centres.
        label = ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
        if (label == before).all():
            break
        is_of = (label[:, None] == np.arange(len(centres))).astype(float)
        size = is_of.sum(axis=0)[:, None]
        centres = np.where(size > 0, is_of.T @ points / np.maximum(size, 1), centres)
        before = label
    return centres, label


def smallest_group(n_donors: int, min_donors: int) -> int:
    """Fewest donors of a subtype."""
    return max(min_donors, int(np.ceil(_MIN_SHARE * n_donors)))


def count_directions(
    standardized: np.ndarray, nuisance: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> tuple[int, float]:
    """How many principal components are more than those of features that are permuted.

    Horn's parallel analysis (1965): each feature is permuted over the donors by itself, which keeps
    its values and takes its correlations away.

    Parameters
    ----------
    standardized
        [donors, features] Nuisance taken off.

    Returns
    -------
    n_beyond, p_value
        Components with more variance than 95 % of the same component of permuted features; and the
        share of permutations whose first has as much as the first.
    """
    known = np.linalg.qr(with_ones(nuisance))[0]
    norm = np.sqrt((standardized**2).sum(axis=0))
    found = _variances(standardized)
    permuted = np.empty((n_permutations, len(found)))
    for number in range(n_permutations):
        mixed = rng.permuted(standardized, axis=0)
        # The nuisance takes as many degrees of freedom as it took from the features.
        mixed -= known @ (known.T @ mixed)
        left = np.sqrt((mixed**2).sum(axis=0))
        permuted[number] = _variances(mixed * (norm / np.where(left > 0, left, 1.0)))
    is_more = found > np.quantile(permuted, 0.95, axis=0)
    n_beyond = len(is_more) if is_more.all() else int(np.argmin(is_more))
    return n_beyond, permutation_p(found[0], permuted[:, 0])


def _variances(values: np.ndarray) -> np.ndarray:
    """Of the principal components, largest first, times the donors."""
    square = values @ values.T if len(values) < values.shape[1] else values.T @ values
    return np.linalg.eigvalsh(square)[::-1]


def compare_with_rotated(
    points: np.ndarray,
    nuisance: np.ndarray,
    *,
    numbers: tuple[int, ...],
    min_donors: int,
    n_rotations: int,
    rng: np.random.Generator,
) -> GroupTest:
    """Hold groups of every number against those of rotated donors.

    Donors of one group, their features normal with any variances and correlations, are as likely
    turned by any rotation that leaves the mean and the nuisance where they are (Langsrud 2005):
    a permutation in all directions. So a gradient, however long, is no group.

    Parameters
    ----------
    points
        [donors, directions] Principal components, nuisance taken off.
    min_donors
        Fewest donors of a group.
    """
    scale = np.sqrt((points**2).sum(axis=0))
    kept = scale > _FLAT * scale.max()
    points, scale = points[:, kept], scale[kept]
    known = np.linalg.qr(with_ones(nuisance))[0]
    within, is_large = _cut(points, numbers, min_donors)
    rotated = np.empty((n_rotations, len(numbers)))
    is_rotated_large = np.empty((n_rotations, len(numbers)), dtype=bool)
    for number in range(n_rotations):
        drawn = rng.normal(size=points.shape)
        drawn -= known @ (known.T @ drawn)
        turned = np.linalg.qr(drawn)[0] * scale
        rotated[number], is_rotated_large[number] = _cut(turned, numbers, min_donors)
    logs = np.log(rotated)
    mean, deviation = logs.mean(axis=0), np.maximum(logs.std(axis=0), _FLAT)
    z = np.where(is_large, (mean - np.log(within)) / deviation, -np.inf)
    of_rotated = np.where(is_rotated_large, (mean - logs) / deviation, -np.inf).max(axis=1)
    p_values = [permutation_p(one, of_rotated) if np.isfinite(one) else 1.0 for one in z]
    return GroupTest(numbers, within, np.exp(mean), z, np.array(p_values))


def _cut(
    points: np.ndarray, numbers: tuple[int, ...], min_donors: int
) -> tuple[np.ndarray, np.ndarray]:
    """[numbers] Share of the variance left within groups, and whether none is too small."""
    within, is_large = np.ones(len(numbers)), np.zeros(len(numbers), dtype=bool)
    total = (points**2).sum()
    for place, centres in enumerate(_starts(points, numbers, min_donors)):
        if centres is None:
            continue
        centres, label = _move(points, centres)
        left = ((points - centres[label]) ** 2).sum() / total
        within[place] = max(left, np.finfo(float).tiny)
        is_large[place] = np.bincount(label, minlength=len(centres)).min() >= min_donors
    return within, is_large


def match_groups(group: np.ndarray, reference: np.ndarray, n_groups: int) -> np.ndarray:
    """[donors] The same groups under the numbers with which most donors are of the reference's."""
    table = np.zeros((n_groups, n_groups))
    np.add.at(table, (group, reference), 1)
    return linear_sum_assignment(-table)[1][group]


def agreement(one: np.ndarray, two: np.ndarray) -> float:
    """Adjusted Rand index of two groupings of the same donors."""
    return float(adjusted_rand_score(one, two))


def draw_donors(
    n_donors: int, n_draws: int, share_left_out: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """[draws] Rows that stay, sorted, of donors of whom some are left out."""
    n_kept = n_donors - max(1, round(share_left_out * n_donors))
    return [np.sort(rng.permutation(n_donors)[:n_kept]) for _ in range(n_draws)]
