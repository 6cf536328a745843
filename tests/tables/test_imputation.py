"""The record of scores on hidden counts comes back, also without any cell to recall in."""

import math

import pytest

from scpress.errors import InputError
from scpress.tables.imputation import ImputationRecord

FOUND = ImputationRecord(
    n_cells=30,
    n_genes=10,
    k=5,
    predictors=("model", "gene means"),
    explained=(-0.1, 0.0),
    recall=(0.5, float("nan")),
)


def test_a_record_comes_back():
    found = ImputationRecord.from_plain(FOUND.as_plain(), "x")
    assert found.explained == FOUND.explained
    assert math.isnan(found.recall[1])


def test_a_predictor_without_its_scores_is_refused():
    with pytest.raises(InputError, match=r"scpress recommend"):
        ImputationRecord.from_plain(FOUND.as_plain() | {"recall": [0.5]}, "x")
