"""Scores and the settings found beside them."""

from dataclasses import fields

from scpress.tables.evaluation import SCORES, SETTINGS, Evaluation, SeedScores, Spread


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
        summary={"ari_best": Spread(median=0.0, low=0.0, high=0.0, n_seeds=1)},
    )
    read = Evaluation.from_plain(table.as_plain(), "x")
    assert read == table
    assert read.seeds["0"].ilisi is None
    # The same table is the same file, whichever seed was scored first.
    assert list(table.as_plain()["seeds"]) == ["0", "1"]
