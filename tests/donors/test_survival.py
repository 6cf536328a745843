import numpy as np
import pytest
from scipy import sparse

from scpress.donors.survival import (
    concordance,
    concordance_interval,
    count_concordant,
    fit_cox,
    log_rank,
    predict_risk,
    require_times,
    survival_curve,
)
from scpress.errors import InputError

# Weeks of remission of 42 patients with leukemia (Freireich et al. 1963): 6-MP, then placebo.
WEEKS = "6 6 6 6 7 9 10 10 11 13 16 17 19 20 22 23 25 32 32 34 35 " + (
    "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"
)
SEEN = "1 1 1 0 1 0 1 0 0 1 1 0 0 0 1 1 0 0 0 0 0 " + "1 " * 21
TIME, EVENT = (np.array(text.split(), dtype=float) for text in (WEEKS, SEEN))
PLACEBO = np.arange(42) >= 21


def test_what_textbooks_say_of_a_known_trial():
    chi2, p_value = log_rank(TIME, EVENT, PLACEBO)
    assert chi2 == pytest.approx(16.79, abs=0.01)
    assert p_value == pytest.approx(4.17e-5, rel=0.01)
    # Efron's ties; Breslow's are 1.509.
    cox = fit_cox(PLACEBO[:, None].astype(float), TIME, EVENT)
    assert cox.log_ratio[0] == pytest.approx(1.572, abs=1e-3)
    assert cox.error[0] == pytest.approx(0.412, abs=1e-3)
    assert cox.p_value[0] == pytest.approx(1.4e-4, rel=0.05)
    life = survival_curve("6-MP", TIME[~PLACEBO], EVENT[~PLACEBO])
    known = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    np.testing.assert_array_equal(life.time, list(known))
    np.testing.assert_allclose(life.alive, list(known.values()), atol=1e-3)
    assert life.n_at_risk == (21, 17, 15, 12, 11, 7, 6)
    assert (life.n_donors, life.n_events, life.censored[:3]) == (21, 9, (6, 9, 10))
    # On the scale log(-log) (Klein and Moeschberger): 0.620 to 0.952, at the end 0.188 to 0.680.
    np.testing.assert_allclose([life.low[0], life.high[0]], [0.620, 0.952], atol=1e-3)
    np.testing.assert_allclose([life.low[-1], life.high[-1]], [0.188, 0.680], atol=1e-3)
    everyone = survival_curve("all", np.array([1.0, 2.0]), np.ones(2))
    assert (everyone.alive[-1], everyone.low[-1], everyone.high[-1]) == (0, 0, 0)
    assert log_rank(TIME, EVENT, np.zeros(42)) == (0.0, 1.0)


def test_pairs_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    time, event = rng.integers(1, 9, 30).astype(float), (rng.random(30) < 0.6).astype(float)
    risks = rng.integers(0, 4, (2, 30)).astype(float)
    folds = rng.integers(0, 3, (2, 30))
    wins = asked = 0.0
    for risk, fold in zip(risks, folds, strict=True):
        for i in range(30):
            for j in range(30):
                dies_first = time[i] < time[j] or (time[i] == time[j] and event[j] == 0)
                if event[i] and dies_first and fold[i] == fold[j]:
                    asked += 1
                    wins += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    found = count_concordant(risks, folds, time, event)
    assert (found[0].sum(), found[1].sum()) == (wins, asked)
    assert concordance(*found) == wins / asked


def cohort_of(n=120, effect=1.0, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 12))
    values[:, :3] += rng.normal(size=(n, 1)) * 3
    hazard = np.exp(effect * values[:, :3].mean(axis=1))
    end = rng.exponential(3.0, n)
    time = rng.exponential(1 / hazard)
    folds = (np.arange(n) % 4)[None]
    return sparse.csr_matrix(values), np.minimum(time, end), (time <= end).astype(float), folds


def test_a_planted_hazard_is_found_within_its_interval_and_none_is_chance():
    for effect, low, high in ((1.0, 0.6, 1.0), (0.0, 0.4, 0.6)):
        values, time, event, folds = cohort_of(effect=effect)
        risk = predict_risk(values, time, event, folds[0], n_features=12, n_components=3)
        wins, asked = count_concordant(risk[None], folds, time, event)
        assert low < concordance(wins, asked) < high
        least, most = concordance_interval(wins, asked, np.random.default_rng(0))
        assert least < concordance(wins, asked) < most
        assert (least > 0.5) == (effect > 0)


def test_a_donor_does_not_reach_its_own_model():
    values, time, event, folds = cohort_of(40)
    words = {"n_features": 12, "n_components": 2}
    found = predict_risk(values, time, event, folds[0], **words)
    held_out = folds[0] == 0
    other = predict_risk(values, np.where(held_out, 99.0, time), event, folds[0], **words)
    np.testing.assert_array_equal(found[held_out], other[held_out])
    assert not np.array_equal(found[~held_out], other[~held_out])


@pytest.mark.parametrize(
    ("time", "event", "line"),
    [
        (-1.0, 1.0, "times are numbers of 0 and more; found -1 of donor 'd3'"),
        (np.inf, 1.0, "found inf of donor 'd3'"),
        (1.0, 2.0, "events are 1 where one was seen.*found 2 of donor 'd3'"),
    ],
)
def test_times_and_events_that_cannot_be_are_one_line(time, event, line):
    times, events = np.ones(20), np.ones(20)
    times[3], events[3] = time, event
    with pytest.raises(InputError, match=line):
        require_times(times, events, np.array([f"d{one}" for one in range(20)]))


def test_few_events_are_one_line():
    names = np.arange(20).astype(str)
    require_times(np.ones(20), (np.arange(20) < 10).astype(float), names)
    with pytest.raises(InputError, match="9 of 20 donors have an event"):
        require_times(np.ones(20), (np.arange(20) < 9).astype(float), names)
