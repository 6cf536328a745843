import numpy as np
import pytest
from scipy import sparse

from scpress.donors.perturbation import (
    DeviationRidge,
    Pairs,
    Profiles,
    Scores,
    cosines,
    draw_donors,
    exchanges,
    in_latent,
    learn_latent,
    mean_cosine,
    score_held_out,
)

N_DONORS, N_GENES = 6, 12


@pytest.fixture(scope="module")
def profiles():
    """Six donors of two types; donors' responses in a type are alike, and follow their control."""
    rng = np.random.default_rng(0)
    donor, cell_type = np.repeat(np.arange(N_DONORS), 2), np.tile([0, 1], N_DONORS)
    control = rng.normal(0, 0.2, (12, N_GENES)) + 3
    level = rng.normal(size=N_DONORS)
    control[:, 0] += level[donor]
    response = rng.normal(size=(2, N_GENES))[cell_type] + rng.normal(0, 0.1, (12, N_GENES))
    response[:, 1] += 2 * level[donor]
    stacked = np.concatenate([control, control + response])
    return Profiles(sparse.csr_matrix(stacked), donor, cell_type)


def test_cosines_are_of_rows():
    found = cosines(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[6.0, 8.0], [-4.0, 3.0]]))
    np.testing.assert_allclose(found, [[1, 0], [0, 0]], atol=1e-12)


def test_the_mean_is_over_pairs_of_donors():
    cosine = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.4], [0.2, -0.4, 1.0]])
    once, signed, drawn = mean_cosine(cosine, np.array([[1, 1, 1], [1, -1, 1], [2, 1, 0.0]]))
    assert once == pytest.approx(0.1)
    assert signed == pytest.approx((-0.5 + 0.2 + 0.4) / 3)
    # Donor 0 twice: no pair of the two.
    assert drawn == pytest.approx((0.5 + 0.5) * 2 / (9 - 5))


def test_exchanges_of_few_donors_are_all_that_differ():
    signs = exchanges(3, 4, np.random.default_rng(0))
    assert {tuple(one) for one in signs} == {(1, 1, -1), (1, -1, 1), (1, -1, -1)}
    assert len(signs) == 3
    assert exchanges(4, 7, np.random.default_rng(0)).shape == (7, 4)


def test_drawn_donors_are_two_or_more():
    drawn = draw_donors(2, np.random.default_rng(0))
    assert len(drawn) > 100
    assert (drawn == 1).all()


def test_an_exchange_turns_the_response_of_its_donors(profiles):
    swapped = np.arange(N_DONORS) == 2
    rows = np.arange(12)
    genes = profiles.choose_genes(rows, N_GENES)
    before, after = (
        one.take(rows, genes).response for one in (profiles, profiles.exchange(swapped))
    )
    sign = np.where(profiles.donor == 2, -1.0, 1.0)[:, None]
    np.testing.assert_allclose(after, sign * before)


def test_genes_are_chosen_by_the_variance_of_the_pairs(profiles):
    rows = np.array([0, 3, 5])
    values = profiles.stacked.toarray()[np.concatenate([rows, rows + 12])]
    wanted = np.sort(np.argsort(-values.var(axis=0))[:4])
    assert profiles.choose_genes(rows, 4).tolist() == wanted.tolist()


def test_a_latent_of_all_components_keeps_every_cosine(profiles):
    pairs = profiles.take(np.arange(12), np.arange(N_GENES))
    points = in_latent(pairs, learn_latent(pairs, 50))
    np.testing.assert_allclose(
        cosines(points.response, points.response), cosines(pairs.response, pairs.response)
    )
    few = in_latent(pairs, learn_latent(pairs, 3))
    assert few.control.shape == (12, 3)


def test_donors_are_predicted_by_the_others(profiles):
    """The mean is that of the other donors, and the ridge finds what the control says."""
    found = score_held_out(profiles, n_features=N_GENES, n_components=8)
    assert found["no_response", ""].explained() == 0
    mean, ridge = found["mean_response", "genes"], found["ridge", "genes"]
    assert 0.3 < mean.explained() < ridge.explained() - 0.05
    assert found["ridge", "components"].explained() > mean.explained()
    response = profiles.take(np.arange(12), np.arange(N_GENES)).response
    row = 7  # donor 3, type 1
    others = (profiles.cell_type == 1) & (profiles.donor != 3)
    left = np.square(response[row] - response[others].mean(axis=0)).sum()
    place = int(np.flatnonzero((mean.donor == 3) & (mean.cell_type == 1))[0])
    assert mean.left[place] == pytest.approx(left)
    assert mean.whole[place] == pytest.approx(np.square(response[row]).sum())
    low, high = mean.interval(np.random.default_rng(0))
    assert low < mean.explained() < high


def test_what_is_held_out_changes_no_prediction(profiles):
    """The leak test: with another treated sample of a donor, the same is predicted of it."""
    changed = profiles.stacked.toarray()
    changed[12 + 2] *= -5.0
    other = Profiles(sparse.csr_matrix(changed), profiles.donor, profiles.cell_type)
    before, after = (
        score_held_out(one, n_features=5, n_components=3)["mean_response", "genes"]
        for one in (profiles, other)
    )
    # Predicted as before: what is left of -5 times the sample is known from that.
    donor = 1
    train = np.flatnonzero(profiles.donor != donor)
    genes = profiles.choose_genes(train, 5)
    known = profiles.take(train, genes)
    wanted = known.response[known.cell_type == 0].mean(axis=0)
    truth = other.take(np.array([2]), genes).response[0]
    place = int(np.flatnonzero((after.donor == donor) & (after.cell_type == 0))[0])
    assert after.left[place] == pytest.approx(np.square(truth - wanted).sum())
    assert after.left[place + 1] == pytest.approx(before.left[place + 1])


def test_a_type_of_one_donor_is_not_scored(profiles):
    lone = Profiles(
        profiles.stacked, profiles.donor, np.where(np.arange(12) == 0, 7, profiles.cell_type)
    )
    found = score_held_out(lone, n_features=5, n_components=3)["no_response", ""]
    assert len(found.donor) == 11
    assert not len(found.of_type(7).donor)


def test_exchanged_labels_predict_nothing(profiles):
    signs = exchanges(N_DONORS, 40, np.random.default_rng(0))
    found = [
        score_held_out(profiles.exchange(one < 0), n_features=5, n_components=3)
        for one in signs[[5, 9, 14]]
    ]
    for view in ("genes", "components"):
        assert np.mean([one["mean_response", view].explained() for one in found]) < 0.1


def test_without_a_response_the_control_by_chance_is_what_is_explained():
    """Half of a difference of two samples is the control's; a ridge explains no more than that."""
    rng = np.random.default_rng(0)
    donor, cell_type = np.arange(8), np.zeros(8, int)
    none = Profiles(sparse.csr_matrix(rng.normal(size=(16, 30)) + 9), donor, cell_type)
    found = score_held_out(none, n_features=30, n_components=5)
    assert found["mean_response", "genes"].explained() < 0
    treated = found["mean_treated", "genes"].explained()
    assert treated == pytest.approx(0.45, abs=0.12)
    assert found["ridge", "genes"].explained() < treated


def test_the_ridge_of_a_type_alone_is_its_mean():
    """One donor has nothing to deviate from; a type that was not there is the mean of all."""
    control = np.array([[1.0, 2.0], [3.0, 4.0]])
    known = Pairs(control, control + np.array([[5.0, 1], [7, 3]]), np.zeros(2, int), np.arange(2))
    asked = Pairs(control + 6, control, np.ones(2, int), np.array([0, 2]))
    found = DeviationRidge(1.0, known).predict(asked)
    np.testing.assert_allclose(found, [[5.0, 1.0], [6.0, 2.0]])


def test_shares_of_no_response_are_zero():
    nothing = np.zeros(2)
    one = Scores(np.array([0, 1]), np.zeros(2, int), nothing, nothing, nothing)
    assert one.explained() == 0
    assert Pairs(np.ones((1, 2)), np.ones((1, 2)), nothing, nothing).response.tolist() == [[0, 0]]
