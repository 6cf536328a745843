import re
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions, DonorSubtypesOptions
from scpress.donors.subtypes import Background, Grouping, choose, explains, judge
from scpress.donors.views import make_view
from scpress.steps.cohort import cohort
from scpress.tables.cohort import cohort_record
from scpress.tables.donor_subtypes import Explanation, TriedView

OPTIONS = DonorSubtypesOptions(
    max_subtypes=3, n_rotations=99, n_permutations=19, n_resamples=4, n_features=40
)
KIND = np.arange(24) % 2
BATCH = np.arange(24) // 2 % 2


def donors_of(group, effect=0.0, depth=1.0, seed=0):
    """24 bulk samples, a fourth of whose 40 genes go with the group; and its depth."""
    rng = np.random.default_rng(seed)
    log_mean = rng.normal(0.0, 0.15, (24, 40))
    log_mean[:, :5] += effect * group[:, None]
    log_mean[:, 5:10] -= effect * group[:, None]
    mean = 200 * np.exp(log_mean) * np.exp(rng.normal(0, 0.2, (24, 1)))
    mean *= depth ** group[:, None]
    obs = pd.DataFrame({"donor": [f"d{one:02d}" for one in range(24)], "batch": BATCH})
    obs.index = obs["donor"].to_numpy()
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(mean)), obs=obs)
    return cohort(cells, options=CohortOptions(type_key=None, min_cells=1, min_type_cells=1))


def attempt(donors, batch=None, options=OPTIONS):
    nothing = np.empty((24, 0))
    batch = nothing if batch is None else batch.astype(float)[:, None]
    record = cohort_record(donors)
    grouping = Grouping(
        make_view(donors, record, "pseudobulk", ()),
        Background(donors, record, batch, nothing, None),
        options,
        np.random.default_rng(0),
    )
    return grouping, grouping.attempt()


def test_planted_groups_are_found_and_kept():
    grouping, view = attempt(donors_of(KIND, 0.7), BATCH)
    assert view.n_groups == 2
    assert len({*zip(view.group, KIND, strict=True)}) == 2
    assert view.p_value == 1 / 100
    assert min(view.donors_stability, view.cells_stability) > 0.9
    assert min(grouping.confidence) > 0.7
    assert view.redrawn == "molecules"
    (kept,) = judge([view], OPTIONS)
    assert kept.is_supported
    assert choose([kept]) == 0
    # Two groups, told apart along the first component.
    assert (np.sign(view.x) == np.sign(view.x[0])).tolist() == (KIND[0] == KIND).tolist()


def test_without_groups_none_are_kept():
    _, view = attempt(donors_of(KIND, 0.0))
    (judged,) = judge([view], OPTIONS)
    assert not judged.is_supported
    assert "are no better than those of donors of one group" in judged.reason
    assert choose([judged]) is None


def test_groups_of_a_batch_are_gone_with_it_and_the_batch_is_named():
    _, view = attempt(donors_of(BATCH, 0.7), BATCH)
    (judged,) = judge([view], OPTIONS)
    assert not judged.is_supported
    assert "before 'batch' was taken off there were groups of it" in judged.reason
    assert [one.name for one in view.explanations if explains(one)] == ["batch"]


def test_groups_that_are_depth_are_explained_by_it():
    _, view = attempt(donors_of(KIND, 0.7, depth=4.0))
    (judged,) = judge([view], OPTIONS)
    assert judged.reason.startswith("'molecules' explains the groups")
    assert not judged.is_supported


def test_groups_of_which_one_is_deeper_by_chance_are_kept():
    _, view = attempt(donors_of(KIND, 0.7, depth=1.2))
    (molecules,) = [one for one in view.explanations if one.name == "molecules"]
    assert molecules.p_value < 0.05
    assert molecules.agreement > 0.9
    (judged,) = judge([view], OPTIONS)
    assert judged.is_supported


@pytest.fixture(scope="module")
def kept():
    return TriedView(
        name="pseudobulk",
        types=(),
        n_features=9,
        n_directions=1,
        n_beyond_permuted=1,
        permutation_p=0.01,
        tried=(),
        n_groups=2,
        p_value=0.01,
        adjusted_p=0.01,
        donors_stability=0.9,
        cells_stability=0.9,
        redrawn="cells",
        explanations=(),
        is_supported=False,
        reason="",
        group=(),
        x=(),
        y=(),
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "2 groups, fewer than one in 100 cohorts"),
        ({"n_groups": 0}, "sets apart fewer donors than a subtype"),
        ({"p_value": 0.06}, r"no better than those of donors of one group \(p 0.060\)"),
        ({"permutation_p": 0.06}, "go together no more than permuted ones"),
        ({"permutation_p": 0.06, "name": "composition"}, "2 groups, fewer"),
        ({"donors_stability": 0.59}, r"where donors are left out \(stability 0.59\)"),
        ({"cells_stability": 0.59}, r"where cells are drawn anew \(stability 0.59\)"),
        ({"cells_stability": None}, "cells could not be drawn anew"),
    ],
)
def test_a_view_is_kept_where_nothing_speaks_against_it(kept, change, reason):
    (judged,) = judge([replace(kept, **change)], OPTIONS)
    assert judged.is_supported == reason.startswith("2 groups, fewer")
    assert re.search(reason, judged.reason)


def test_p_values_are_of_all_views(kept):
    views = judge([replace(kept, p_value=0.03), replace(kept, p_value=0.04)], OPTIONS)
    assert [one.adjusted_p for one in views] == pytest.approx([0.06, 0.06])
    assert choose(views) is None


def test_the_surest_and_then_the_most_stable_view_is_taken(kept):
    one, two = replace(kept, donors_stability=0.7), replace(kept, cells_stability=0.8)
    assert choose(judge([one, two], OPTIONS)) == 1
    sure = replace(one, p_value=0.001)
    assert choose(judge([sure, two], OPTIONS)) == 0


@pytest.mark.parametrize(
    ("p_value", "agreement", "share", "expected"),
    [
        (0.2, 0.0, 0.9, False),
        (0.01, 0.9, 0.2, False),
        (0.01, 0.4, 0.2, True),
        (0.01, 1.0, 0.6, True),
    ],
)
def test_what_explains_groups_takes_them_with_it_or_says_most_of_them(
    p_value, agreement, share, expected
):
    one = Explanation(name="n_cells", share=share, p_value=p_value, agreement=agreement)
    assert explains(one) is expected
