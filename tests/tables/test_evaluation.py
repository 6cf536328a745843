"""Scores and the settings found beside them."""

from dataclasses import fields

import pytest

from scpress.errors import InputError
from scpress.tables.evaluation import (
    SCORES,
    SETTINGS,
    Evaluation,
    SeedScores,
    Spread,
    summarize_seeds,
)


def test_every_field_is_a_score_or_a_setting():
    assert set(SCORES) | set(SETTINGS) == {item.name for item in fields(SeedScores)}
    assert not set(SCORES) & set(SETTINGS)
    assert not [name for name in SCORES if "resolution" in name or name.startswith("n_")]


def test_what_was_not_scored_is_not_written_and_read_as_none():
    scores = SeedScores(ari_best=0.0, best_resolution=0.4)
    assert scores.as_plain() == {"ari_best": 0.0, "best_resolution": 0.4}
    table = Evaluation(
        model="m",
        n_cells=9,
        n_scored_cells=5,
        has_labels=True,
        has_batches=False,
        message="scored",
        seeds={"1": scores, "0": SeedScores()},
        summary={
            "ari_best": Spread(median=0.0, low=0.0, high=0.0, n_seeds=1),
            "best_resolution": Spread(median=0.4, low=0.4, high=0.4, n_seeds=1),
        },
    )
    read = Evaluation.from_plain(table.as_plain(), "x")
    assert read == table
    assert read.seeds["0"].ilisi is None
    # The same table is the same file, whichever seed was scored first.
    assert list(table.as_plain()["seeds"]) == ["0", "1"]
    # A score that is lost is one that a seed may well not have: the summary knows.
    lost = table.as_plain()
    del lost["seeds"]["1"]["ari_best"]
    for changed in (lost, table.as_plain() | {"summary": {}}):
        with pytest.raises(InputError, match=r"summary in x is not that of its seeds: .* again\."):
            Evaluation.from_plain(changed, "x")


def test_the_middle_seed_stands_for_all():
    scores = [(0.9, None), (0.1, 0.5), (0.8, None)]
    seeds = {str(n): SeedScores(ari_best=a, nmi_best=b) for n, (a, b) in enumerate(scores)}
    found = summarize_seeds(seeds)
    assert found["ari_best"] == Spread(median=0.8, low=0.1, high=0.9, n_seeds=3)
    # A score that a seed does not have is not counted as 0.
    assert found["nmi_best"] == Spread(median=0.5, low=0.5, high=0.5, n_seeds=1)
    assert set(found) == {"ari_best", "nmi_best"}
