import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cut_tree, linkage

from scpress.donors.groups import (
    _starts,
    agreement,
    compare_with_rotated,
    count_directions,
    draw_donors,
    group_donors,
    match_groups,
    smallest_group,
)

NOTHING = np.empty((30, 0))


def blobs(distance, sizes=(16, 14), seed=0, n_directions=3):
    """Donors in groups along the first direction, all of which vary by 1."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = rng.normal(size=(len(truth), n_directions))
    points[:, 0] += distance * truth
    return points - points.mean(axis=0), truth


def compare(points, nuisance=NOTHING, n_rotations=99, seed=0, numbers=(2, 3)):
    return compare_with_rotated(
        points,
        nuisance,
        numbers=numbers,
        min_donors=3,
        n_rotations=n_rotations,
        rng=np.random.default_rng(seed),
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(8, 20))
def test_groups_are_a_minimum_of_k_means_the_largest_first(seed, n_donors):
    points = np.random.default_rng(seed).normal(size=(n_donors, 3))
    for number, group in zip((2, 3), group_donors(points, (2, 3), 1), strict=True):
        centres = np.array([points[group == one].mean(axis=0) for one in range(number)])
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert (group == nearest).all()
        assert (np.diff(np.bincount(group)) <= 0).all()


def test_the_groups_to_start_from_are_wards():
    points = np.random.default_rng(0).normal(size=(20, 3))
    for number, found in zip((2, 3, 4), _starts(points, (2, 3, 4), 1), strict=True):
        cut = cut_tree(linkage(points, "ward"), n_clusters=number).ravel()
        centres = [points[cut == one].mean(axis=0) for one in range(number)]
        np.testing.assert_allclose(sorted(map(tuple, found)), sorted(map(tuple, centres)))


def test_who_stands_apart_makes_no_group():
    points, truth = blobs(8.0)
    points[0] = [0.0, 25.0, 0.0]
    (group,) = group_donors(points, (2,), 3)
    assert np.bincount(group).min() >= 13
    assert agreement(group[1:], truth[1:]) == 1
    # Nor where there are not so many donors.
    (one,) = group_donors(points[:7], (3,), 3)
    assert one.tolist() == [0] * 7


def test_two_groups_are_found_and_a_gradient_is_none():
    points, _ = blobs(6.0)
    test = compare(points)
    assert test.p_value[0] == 1 / 100
    assert test.furthest == 0
    assert test.within[0] < test.expected[0]
    gradient, _ = blobs(0.0, seed=3)
    gradient[:, 0] *= 20
    assert compare(gradient).p_value.min() > 0.05


def test_p_values_of_one_group_are_no_smaller_than_they_say():
    found = []
    for seed in range(25):
        points, _ = blobs(0.0, seed=seed)
        found.append(compare(points * [5, 2, 1], n_rotations=19, seed=seed).p_value.min())
    assert np.mean(np.array(found) <= 0.2) < 0.4
    assert np.mean(np.array(found) <= 0.5) < 0.75


def test_rotated_donors_keep_what_is_taken_off(monkeypatch):
    from scpress.donors import groups

    seen = []
    cut = groups._cut
    monkeypatch.setattr(groups, "_cut", lambda *words: (seen.append(words[0]), cut(*words))[1])
    batch = (np.arange(30) % 2).astype(float)[:, None]
    points, _ = blobs(0.0)
    points -= batch @ np.linalg.lstsq(batch, points, rcond=None)[0]
    points -= points.mean(axis=0)
    points = np.linalg.svd(points, full_matrices=False)[0] * [9.0, 3.0, 1.0]
    compare(points, batch, n_rotations=3)
    for rotated in seen:
        np.testing.assert_allclose(rotated.T @ rotated, points.T @ points, atol=1e-9)
    for rotated in seen[1:]:
        np.testing.assert_allclose(rotated[::2].mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(rotated[1::2].mean(axis=0), 0, atol=1e-9)


def test_directions_beyond_those_of_permuted_features_are_counted():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 60))
    assert count_directions(values - values.mean(axis=0), NOTHING, 59, rng)[1] > 0.02
    for n in (1, 2):
        values[:, n * 10 : n * 10 + 10] += 2 * rng.normal(size=(30, 1))
        n_beyond, p_value = count_directions(values - values.mean(axis=0), NOTHING, 59, rng)
        assert (n_beyond, p_value) == (n, 1 / 60)


def test_a_group_is_of_so_many_donors_or_a_twentieth():
    assert smallest_group(24, 3) == 3
    assert smallest_group(1000, 3) == 50


def test_groups_are_matched_by_their_donors():
    reference = np.array([0, 0, 0, 1, 1, 2, 2])
    other = np.array([2, 2, 0, 0, 0, 1, 1])
    assert match_groups(other, reference, 3).tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_a_fifth_of_the_donors_is_left_out():
    drawn = draw_donors(30, 4, 0.2, np.random.default_rng(0))
    assert [len(rows) for rows in drawn] == [24] * 4
    assert all((np.diff(rows) > 0).all() for rows in drawn)
    assert len({tuple(rows) for rows in drawn}) == 4
