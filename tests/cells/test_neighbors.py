"""Neighbours against all distances, and the same bits with any number of threads."""

import numba
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from scpress.cells import neighbors
from scpress.cells.neighbors import count_late, nearest, nearest_among


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    # Groups of very different widths, far from the origin, and a few points far from all others.
    points = rng.normal(size=(3000, 7)) * rng.choice([0.1, 1, 5], 3000)[:, None] + 50
    points[:20] += rng.normal(size=(20, 7)) * 100
    points.flags.writeable = False
    return points


def of_all(points, n_neighbors):
    distances, rows = NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors()
    return rows, distances


def compare_few(monkeypatch):
    monkeypatch.setattr(neighbors, "_FEWEST_COMPARED", 10)


def test_fewer_points_than_are_compared_have_exact_neighbours(points):
    expected, distances = of_all(points, 15)
    found, far = nearest(points, 15)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(far, distances, rtol=1e-3)
    np.testing.assert_array_equal(count_late(points, 15, 1000), (expected >= 1000).sum(axis=1))


def test_most_neighbours_are_found_where_points_are_many(monkeypatch, points):
    compare_few(monkeypatch)
    expected, distances = of_all(points, 15)
    found, far = nearest(points, 15)
    recall = np.mean([np.isin(*pair).mean() for pair in zip(found, expected, strict=True)])
    assert 0.85 < recall < 1
    assert (np.diff(far, axis=1) >= 0).all()
    assert (far >= distances.astype(np.float32) * (1 - 1e-3)).all()
    steps = points[:, None] - points[found]
    np.testing.assert_allclose(far, np.linalg.norm(steps, axis=2), rtol=1e-3)
    assert (found != np.arange(3000)[:, None]).all()
    assert all(len(set(row)) == 15 for row in found.tolist())


def test_neighbours_among_some_places(monkeypatch, points):
    places = points[::3]
    search = NearestNeighbors(n_neighbors=9).fit(places)
    distances, expected = search.kneighbors(points)
    found, far = nearest_among(places, points, 9)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(far, distances, rtol=1e-3, atol=1e-3)
    assert (far[::3, 0] == 0).all()
    compare_few(monkeypatch)
    found, far = nearest_among(places, points, 9)
    recall = np.mean([np.isin(*pair).mean() for pair in zip(found, expected, strict=True)])
    assert 0.85 < recall < 1
    with pytest.raises(ValueError, match="5 points have no 5 others"):
        nearest_among(places[:5], points, 5)


def test_counts_are_of_the_same_neighbours_some_groups_at_a_time(monkeypatch, points):
    compare_few(monkeypatch)
    found, _ = nearest(points, 15)
    monkeypatch.setattr(neighbors, "_FOUND_AT_A_TIME", 15 * 200)
    np.testing.assert_array_equal(count_late(points, 15, 1000), (found >= 1000).sum(axis=1))
    np.testing.assert_array_equal(nearest(points, 15)[0], found)


def test_groups_that_hold_too_few_points_are_not_all_that_is_looked_at(monkeypatch, points):
    compare_few(monkeypatch)
    monkeypatch.setattr(neighbors, "_COMPARED_PER_NEIGHBOR", 1)
    found, far = nearest(points, 60)
    steps = points[:, None] - points[found]
    np.testing.assert_allclose(far, np.linalg.norm(steps, axis=2), rtol=1e-3)
    assert all(len(set(row)) == 60 for row in found.tolist())


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, points):
    compare_few(monkeypatch)
    several = nearest(points, 15)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = nearest(points, 15)
    finally:
        numba.set_num_threads(before)
    for a, b in zip(one, several, strict=True):
        assert a.tobytes() == b.tobytes()


def test_points_at_one_place_are_neighbours():
    points = np.repeat(np.arange(3.0), 40)[:, None] * np.ones(4)
    found, far = nearest(points, 20)
    assert (far == 0).all()
    assert (found // 40 == np.arange(120)[:, None] // 40).all()


def test_there_must_be_as_many_others():
    with pytest.raises(ValueError, match="5 points have no 5 others"):
        nearest(np.zeros((5, 2)), 5)
    assert nearest(np.eye(5), 4)[0].shape == (5, 4)
