import numpy as np
import pytest

from scpress.donors.response_scores import (
    HeldOut,
    draw_weights,
    median_interval,
    skill,
    skill_interval,
)

N_LINES, N_DRUGS = 12, 3


@pytest.fixture(scope="module")
def held_out():
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(N_LINES, N_DRUGS))
    responses[2, 1] = np.nan
    predicted = np.nan_to_num(responses) * 0.5 + rng.normal(0, 0.6, (2, N_LINES, N_DRUGS))
    fold = np.array([np.arange(N_LINES) % 3, np.arange(N_LINES) // 4])
    return HeldOut(responses=responses, predicted=predicted, line_fold=fold)


def within(predicted, responses, fold):
    """Correlation of what is left when each fold's mean is taken off, by hand."""
    known = ~np.isnan(responses)
    p, y, f = predicted[known].copy(), responses[known].copy(), fold[known]
    for one in set(f):
        p[f == one] -= p[f == one].mean()
        y[f == one] -= y[f == one].mean()
    return p @ y / np.sqrt(p @ p * (y @ y))


def test_correlations_are_within_folds_and_weights_are_copies(held_out):
    wanted = [
        np.mean(
            [
                within(p[:, drug], held_out.responses[:, drug], fold)
                for p, fold in zip(held_out.predicted, held_out.line_fold, strict=True)
            ]
        )
        for drug in range(N_DRUGS)
    ]
    np.testing.assert_allclose(held_out.correlation(), wanted)
    times = np.random.default_rng(1).integers(0, 3, N_LINES)
    rows = np.repeat(np.arange(N_LINES), times)
    copied = HeldOut(
        responses=held_out.responses[rows],
        predicted=held_out.predicted[:, rows],
        line_fold=held_out.line_fold[:, rows],
    )
    np.testing.assert_allclose(held_out.correlations(times[None])[0], copied.correlation())


def test_means_of_the_other_folds_correlate_with_nothing(held_out):
    """Pooled over folds they would correlate negatively."""
    fold = held_out.line_fold[0]
    y = np.nan_to_num(held_out.responses)
    means = np.array([y[fold != one].mean(axis=0) for one in fold])
    assert np.corrcoef(means[:, 0], y[:, 0])[0, 1] < -0.2
    one = HeldOut(responses=y, predicted=means[None], line_fold=fold[None])
    assert (one.correlation() == 0).all()


def test_the_rounding_of_constants_correlates_with_nothing():
    rng = np.random.default_rng(0)
    constant = np.repeat(rng.normal(size=(1, 1, 50)), 7, axis=1)
    one = HeldOut(
        responses=rng.normal(size=(7, 50)), predicted=constant, line_fold=np.zeros((1, 7), int)
    )
    assert (one.correlation() == 0).all()


def test_errors_are_of_pairs_with_a_response(held_out):
    known = ~np.isnan(held_out.responses)
    difference = (held_out.predicted - held_out.responses)[:, known]
    assert held_out.rmse() == pytest.approx(np.sqrt(np.mean(difference**2)))
    wanted = [
        np.corrcoef(one[known], held_out.responses[known])[0, 1] for one in held_out.predicted
    ]
    assert held_out.pooled_correlation() == pytest.approx(np.mean(wanted))
    constant = HeldOut(
        responses=held_out.responses,
        predicted=np.full((1, N_LINES, N_DRUGS), 2.0),
        line_fold=held_out.line_fold[:1],
    )
    assert constant.pooled_correlation() == 0


@pytest.mark.parametrize(("split", "n"), [("line", "lines"), ("drug", "drugs"), ("both", "both")])
def test_what_is_held_out_is_drawn(split, n):
    group = np.array([0, 0, 1, 2])
    lines, drugs = draw_weights(split, group, 3, np.random.default_rng(0))
    assert (lines[:, 0] == lines[:, 1]).all()
    assert (np.ptp(lines) > 0) == (n != "drugs")
    assert (np.ptp(drugs) > 0) == (n != "lines")
    if n != "lines":
        assert (drugs.sum(axis=1) == 3).all()


def test_skill_is_the_share_of_the_error_that_is_saved():
    rng = np.random.default_rng(0)
    of_rival = rng.uniform(1, 2, (40, 5))
    assert skill(of_rival * 0.25, of_rival) == pytest.approx(0.75)
    assert skill(of_rival, of_rival * 0) == 0
    lines, drugs = draw_weights("line", np.arange(40), 5, rng)
    assert skill_interval(of_rival * 0.25, of_rival, lines, drugs) == pytest.approx((0.75, 0.75))
    ours = rng.uniform(0, 2, (40, 5))
    low, high = skill_interval(ours, of_rival, lines, drugs)
    assert low < skill(ours, of_rival) < high
    shares = [
        1 - ours[rows].sum() / of_rival[rows].sum() for rows in rng.integers(0, 40, (400, 40))
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])), abs=0.05)


def test_the_median_is_of_the_drawn_drugs():
    correlations = np.tile([0.1, 0.2, 0.9], (200, 1))
    _, drugs = draw_weights("drug", np.arange(2), 3, np.random.default_rng(0))
    low, high = median_interval(correlations, drugs)
    assert (low, high) == (0.1, 0.9)
    assert median_interval(correlations, np.ones((200, 3), int)) == (0.2, 0.2)
