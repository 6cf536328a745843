"""Groups of donors on the page."""

import dataclasses

import pytest

from scpress.report.donor_subtypes import donor_subtypes_section
from scpress.tables.donor_subtypes import DonorSubtypes

VIEW = {
    "name": "composition",
    "types": ["B", "T"],
    "n_features": 3,
    "n_directions": 2,
    "n_beyond_permuted": 1,
    "permutation_p": 0.01,
    "tried": [],
    "n_groups": 2,
    "p_value": 0.01,
    "adjusted_p": 0.03,
    "donors_stability": 0.95,
    "cells_stability": None,
    "redrawn": "cells",
    "explanations": [],
    "is_supported": True,
    "reason": "stable",
    "group": ["1", "2", "1"],
    "x": [0.5, 1.0, 0.25],
    "y": [1.0, 2.0, 3.0],
}
ASSOCIATION = {"of": "donor_subtype", "test": "chi-square", "n_donors": 3, "effect": 0.5}


@pytest.fixture
def found(donors):
    curves = [one.as_plain() for one in donors["survival"].curves]
    survival = {"time_key": "days", "event_key": "dead", "n_donors": 12, "n_events": 8}
    plain = {
        "donor_key": "donor",
        "n_donors": 3,
        "verdict": "2 donor subtypes in composition.",
        "view": "composition",
        "donor": ["d1", "d2 <i>", "d3"],
        "donor_subtype": ["1", "2", "1"],
        "confidence": [1.0, 0.5, 0.75],
        "views": [VIEW, VIEW | {"name": "pseudobulk", "n_groups": 0, "is_supported": False}],
        "associations": [
            ASSOCIATION | {"column": "age", "p_value": 0.2, "fdr": 0.2},
            ASSOCIATION | {"column": "sex", "p_value": 0.01, "fdr": 0.02},
        ],
        "survival": survival | {"log_rank_chi2": 4.0, "log_rank_p": 0.045, "curves": curves},
    }
    return DonorSubtypes.from_plain(plain, "it")


def test_views_groups_and_what_goes_with_them_are_shown(found):
    section = donor_subtypes_section(found)
    assert section["said"] == "2 donor subtypes in composition."
    assert [row[2:7] for row in section["table"]["rows"]] == [
        ["2", "0.030", "0.95", "-", "yes"],
        ["-", "0.030", "0.95", "-", "no"],
    ]
    one, two = section["map"]["data"]
    assert (one["x"], one["y"], two["x"]) == ([0.5, 0.25], [1.0, 3.0], [1.0])
    assert (one["text"][1], two["text"]) == (
        "d3, confidence 0.75",
        ["d2 &lt;i&gt;, confidence 0.50"],
    )
    assert [row[1] for row in section["associations"]["rows"]] == ["sex", "age"]
    assert "log-rank p 0.045, 8 events of 12 donors" in section["survival"]["said"]
    assert len(section["survival"]["figure"]["data"]) == 6


def test_nothing_found_is_an_answer_without_a_map(found):
    none = dataclasses.replace(
        found, view="", verdict="no supported donor subtypes.", associations=(), survival=None
    )
    section = donor_subtypes_section(none)
    assert section["said"] == "No supported donor subtypes."
    assert section["map"] is section["associations"] is section["survival"] is None
    assert donor_subtypes_section(None) is None
