import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from scpress.cells.seeds import confirm_subtypes, match_programs, neighbor_agreement


def _graphs(*latents):
    return [
        NearestNeighbors(n_neighbors=14).fit(one).kneighbors_graph(mode="distance")
        for one in latents
    ]


def _confirm(labels, *latents, sample=None, max_cells=1000):
    sample = np.zeros(len(labels), dtype=np.int64) if sample is None else sample
    rng = np.random.default_rng(0)
    return confirm_subtypes(np.asarray(labels), latents, sample, max_cells=max_cells, rng=rng)


def test_neighbours_of_equal_latents_agree_wholly_also_where_cells_are_at_one_place():
    points = np.random.default_rng(0).normal(size=(200, 5))
    points[:40] = points[0]
    agreement, chance = neighbor_agreement(_graphs(points) * 3)
    np.testing.assert_array_equal(agreement, 1.0)
    assert chance < 0.05
    turned, _ = neighbor_agreement(_graphs(points[40:], 3 * points[40:, ::-1]))
    assert turned.mean() > 0.999


def test_neighbours_of_unrelated_latents_agree_as_by_chance():
    rng = np.random.default_rng(0)
    n_obs, count = 400, 14
    agreement, chance = neighbor_agreement(_graphs(*rng.normal(size=(3, n_obs, 4))))
    # Of 14 neighbours 14 * 14 / 399 are common, of 28 less these.
    common = count**2 / (n_obs - 1)
    assert chance == pytest.approx(common / (2 * count - common), rel=1e-6)
    assert agreement.mean() == pytest.approx(chance, rel=0.15)
    assert agreement.shape == (n_obs,)


def test_agreement_is_of_what_is_common_over_pairs_of_seeds():
    def graph(*near):
        return sparse.csr_matrix((np.zeros(8), np.ravel(near), np.arange(0, 9, 2)), shape=(4, 4))

    first = graph([1, 2], [0, 2], [0, 1], [0, 1])
    second = graph([1, 3], [0, 2], [1, 3], [1, 2])
    agreement, _ = neighbor_agreement([first, second])
    np.testing.assert_allclose(agreement, [1 / 3, 1, 1 / 3, 1 / 3])
    agreement, _ = neighbor_agreement([first, second, first])
    np.testing.assert_allclose(agreement, [5 / 9, 1, 5 / 9, 5 / 9])
    # A cell that is listed as its own neighbour is none.
    own = graph([0, 1], [0, 1], [1, 2], [2, 3])
    agreement, _ = neighbor_agreement([own, own])
    np.testing.assert_allclose(agreement, 1.0)
    np.testing.assert_allclose(neighbor_agreement([own, first])[0], [1 / 2, 1 / 2, 1 / 2, 0])


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_subtype_that_one_seed_alone_has_is_found_in_one_whatever_its_size(share):
    rng = np.random.default_rng(0)
    labels = (rng.random(300) >= share).astype(int)
    has, lacks = rng.normal(size=(2, 300, 5))
    has[:, 2] += 6 * labels
    found = _confirm(labels, has, lacks)
    assert list(found.n_found) == [1, 1]
    assert (found.agreement[0] > 0.9).all()
    assert (found.agreement[1] < 0.2).all()
    # Found again in half of the seeds; the larger one gets nothing for its size.
    assert found.confidence.mean() == pytest.approx(0.5, abs=0.02)
    both = _confirm(labels, has, has[:, ::-1])
    assert list(both.n_found) == [2, 2]
    assert both.confidence.mean() > 0.98


def test_a_subtype_is_found_though_the_latent_varies_more_by_something_else():
    rng = np.random.default_rng(0)
    labels, other = rng.integers(0, 2, size=(2, 400))
    points = rng.normal(size=(400, 3))
    points[:, 0] += 20 * other
    points[:, 1] += 8 * labels
    assert list(_confirm(labels, points, points).n_found) == [2, 2]


def test_each_subtype_answers_for_itself():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    points = rng.normal(size=(300, 4))
    # Two that lie together in this latent, and one apart.
    points[labels == 2, 0] += 8
    found = _confirm(labels, points)
    assert list(found.n_found) == [0, 0, 1] or list(found.n_found) == [1, 0, 1]
    assert found.confidence[labels == 2].mean() == 1
    assert found.confidence[labels == 1].mean() == 0


def test_a_difference_between_samples_hides_no_subtype():
    rng = np.random.default_rng(0)
    labels, sample = rng.integers(0, 2, size=400), rng.integers(0, 9, size=400)
    points = rng.normal(size=(400, 3))
    points[:, 1] += 7 * labels
    # More places than a latent is cut into.
    points += 60 * rng.normal(size=(9, 3))[sample]
    before = points.copy()
    found = _confirm(labels, points, sample=sample)
    assert found.agreement.min() > 0.9
    np.testing.assert_array_equal(points, before)


def test_cells_that_were_not_drawn_are_judged_with_the_others():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=1000)
    points = rng.normal(size=(1000, 3))
    points[:, 1] += 7 * labels
    found = _confirm(labels, points, max_cells=100)
    assert found.agreement.min() > 0.97
    assert found.confidence.mean() > 0.97


def test_programs_are_found_again_whatever_their_order_sign_scale_and_level():
    own = np.random.default_rng(0).normal(size=(3, 500))
    best, spanned = match_programs(own, 7 - 3 * own[[2, 0, 1]])
    np.testing.assert_allclose(best, 1)
    np.testing.assert_allclose(spanned, 1)
    best, spanned = match_programs(own, np.random.default_rng(1).normal(size=(3, 500)))
    assert best.max() < 0.2
    assert spanned.max() < 0.1


def test_programs_that_turned_are_spanned_and_have_no_match():
    a, b = np.linalg.qr(np.random.default_rng(0).normal(size=(500, 2)))[0].T
    a, b = a - a.mean(), b - b.mean()
    best, spanned = match_programs(np.stack([a, b]), np.stack([a + b, a - b]))
    np.testing.assert_allclose(best, np.sqrt(0.5), atol=0.05)
    np.testing.assert_allclose(spanned, 1)
    # What one of the two has is half of the variance.
    np.testing.assert_allclose(match_programs((a + b)[None], a[None])[1], 0.5, atol=0.05)
    # As numpy has it: the best of all correlations.
    of_numpy = np.abs(np.corrcoef(np.stack([a, b, a + b, a - b]))[:2, 2:]).max(axis=1)
    np.testing.assert_allclose(best, of_numpy)


def test_a_program_that_changes_nothing_matches_nothing():
    own = np.array([[0.0] * 5, [1.0, 2, 3, 4, 9]])
    best, spanned = match_programs(own, own[:1])
    assert best.tolist() == spanned.tolist() == [0, 0]
    best, spanned = match_programs(own, own)
    np.testing.assert_allclose((best, spanned), [[0, 1], [0, 1]])
