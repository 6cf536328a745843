import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions, SurvivalOptions
from scpress.errors import InputError
from scpress.steps.cohort import cohort
from scpress.steps.survival import survival
from scpress.tables.survival import Survival

WORDS = {"n_repeats": 1, "n_components": 2, "n_folds": 3, "n_permutations": 4}
OPTIONS = SurvivalOptions(time_key="days", event_key="dead", **WORDS)


@pytest.fixture(scope="module")
def donors():
    """60 bulk samples, in whom a third of the genes go with the hazard."""
    rng = np.random.default_rng(0)
    level = rng.normal(size=60)
    mean = np.full((60, 30), 100.0)
    mean[:, :10] *= np.exp(0.8 * level)[:, None]
    time, end = rng.exponential(np.exp(-1.5 * level)), rng.exponential(4.0, 60)
    obs = pd.DataFrame({"days": np.minimum(time, end), "dead": (time <= end).astype(int)})
    obs["donor"] = obs.index = [f"d{one:02d}" for one in range(60)]
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(mean)), obs=obs)
    return cohort(cells, options=CohortOptions(type_key=None, min_cells=1, min_type_cells=1))


def test_a_planted_hazard_is_told_on_donors_held_out(donors):
    risks, record = survival(donors, OPTIONS)
    assert record.concordance_low > 0.6
    assert record.p_value == pytest.approx(1 / 5)
    assert record.permuted == pytest.approx(0.5, abs=0.15)
    assert record.log_rank_p < 0.01
    assert record.n_events == donors.obs["dead"].sum()
    lower, higher = record.curves
    assert (lower.n_donors, higher.n_donors) == (30, 30)
    assert np.interp(1.0, lower.time, lower.alive) > np.interp(1.0, higher.time, higher.alive)
    assert lower.n_at_risk[0] <= 30
    assert len(lower.censored) == lower.n_donors - lower.n_events
    assert all(np.less_equal(lower.low, lower.alive) & np.less_equal(lower.alive, lower.high))
    half, slope = record.hazards
    assert half.log_ratio > 2 * half.error > 0
    assert slope.p_value < 0.01
    assert Survival.from_plain(record.as_plain(), "it") == record
    assert risks["donor"].tolist() == donors.obs_names.tolist()


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("days", -3.0, "times are numbers of 0 and more; found -3 of donor 'd05'"),
        ("dead", 2, "events are 1 where one was seen.*found 2 of donor 'd05'"),
        ("days", np.nan, "time or event is missing for 1 of 60 donors, 'd05' the first"),
        ("dead", "yes", "event_key names 'dead', which holds 'yes' and not a number"),
    ],
)
def test_what_cannot_be_is_one_line(donors, column, value, line):
    made = donors.copy()
    made.obs[column] = made.obs[column].astype(object)
    made.obs.loc["d05", column] = value
    with pytest.raises(InputError, match=line):
        survival(made, OPTIONS)
    if column == "days" and value != -3.0:
        dropped = SurvivalOptions(**vars(OPTIONS) | {"missing": "drop"})
        assert survival(made, dropped)[1].n_donors == 59


def test_a_column_that_is_not_there_is_one_line(donors):
    with pytest.raises(InputError, match="event_key names None, and the donors have days"):
        survival(donors, SurvivalOptions(time_key="days"))
