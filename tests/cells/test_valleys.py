import numpy as np
import pytest

from scpress.cells.valleys import CLEAR_GAP, SLIGHT_GAP, merge_unseparated, valley_depth


@pytest.mark.parametrize("shape", ["normal", "lognormal", "uniform"])
@pytest.mark.parametrize("n_cells", [60, 1000])
def test_one_cloud_cut_in_two_has_no_valley(shape, n_cells):
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(40):
        draw = {"normal": rng.normal, "lognormal": lambda size: rng.lognormal(0, 0.6, size)}
        position = draw.get(shape, rng.random)(size=n_cells)
        cut = np.quantile(position, rng.uniform(0.1, 0.9))
        passed += valley_depth(position, position > cut) >= 3
    assert passed <= 2


@pytest.mark.parametrize("fraction", [0.5, 0.1])
def test_two_clouds_have_a_valley(fraction):
    rng = np.random.default_rng(0)
    second = rng.random(600) < fraction
    position = rng.normal(size=600) + 6 * second
    assert valley_depth(position, second) >= 3


def test_fragments_of_a_cloud_are_one_island_and_two_clouds_are_two():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 5))
    points[300:, 0] += 9
    # Each cloud is cut in three along another axis.
    fragment = np.digitize(points[:, 1], [-0.4, 0.4]) + 3 * (np.arange(600) >= 300)
    islands = merge_unseparated(points, fragment)
    assert len(set(islands[:300])) == 1
    assert len(set(islands[300:])) == 1
    assert islands[0] != islands[-1]


def test_a_few_cells_far_away_are_an_island():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 5))
    points[:12] += 12
    islands = merge_unseparated(points, (np.arange(500) < 12).astype(int))
    assert len(set(islands)) == 2


def test_axis_fitted_to_few_cells_in_many_dimensions_makes_no_gap():
    rng = np.random.default_rng(0)
    for _ in range(10):
        points = rng.normal(size=(80, 50))
        labels = (points[:, 0] > 0).astype(int)
        assert len(set(merge_unseparated(points, labels))) == 1


@pytest.mark.parametrize(("dip", "is_boundary"), [(0.1, False), (0.4, True)])
def test_a_ripple_that_many_cells_make_significant_is_no_boundary(dip, is_boundary):
    rng = np.random.default_rng(0)
    position = rng.random(200_000)
    middle = np.abs(position - 0.5) < 0.05
    position = position[~middle | (rng.random(200_000) >= dip)]
    assert (valley_depth(position, position > 0.5) >= 3) is is_boundary


def test_clusters_that_touch_are_joined_at_a_wide_gap_and_kept_at_a_slight_one():
    rng = np.random.default_rng(0)
    # Too few cells for the density to show a valley; 4.4 deviations from centre to centre.
    labels = np.repeat([0, 1], 14)
    points = rng.normal(size=(28, 1)) + 4.4 * labels[:, None]
    assert len(set(merge_unseparated(points, labels, min_gap=CLEAR_GAP))) == 1
    assert len(set(merge_unseparated(points, labels, min_gap=SLIGHT_GAP))) == 2
