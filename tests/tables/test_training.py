"""What a training says of itself, as it stands in a model's file and in an h5ad."""

import numpy as np
import pytest

from scpress.errors import InputError
from scpress.tables.training import HeldOut, ThetaRange, TrainingRecord, Verdict

VERDICT = Verdict(
    status="ok",
    score=5.0,
    best_loss=5.5,
    best_step=20,
    n_steps=40,
    stopped="patience",
    rollbacks=0,
    gene_mean_nll=9.0,
)
RECORD = TrainingRecord(
    options={"hidden": [128], "batch_key": None},
    seed=3,
    device="cpu",
    n_training_cells=90,
    n_validation_cells=10,
    verdict=VERDICT,
    held_out=HeldOut(n_cells=10, n_draws=0, nll=None, reconstruction_nll=6.0, likelihood="nb"),
    theta=ThetaRange(min=0.1, median=2.0, max=9.0, genes_at_bound=("a",)),
)


def test_a_record_is_what_it_was_and_has_no_name_before_it_is_given_one():
    values = RECORD.as_plain()
    assert "model" not in values
    assert values["held_out"]["nll"] is None
    assert TrainingRecord.from_plain(values, "x") == RECORD
    assert RECORD.n_cells == 100


def test_what_h5ad_makes_of_it_is_read():
    values = RECORD.as_plain()
    del values["held_out"]["nll"]  # it has no None
    values["seed"] = np.int64(3)
    values["theta"]["genes_at_bound"] = np.array(["a"], dtype=object)
    values["options"]["hidden"] = np.array([128])
    assert TrainingRecord.from_plain(values, "x") == RECORD


def test_a_model_without_a_theta_and_one_that_was_not_trained():
    record = TrainingRecord(verdict=VERDICT)
    assert record.as_plain()["theta"] == {}
    assert TrainingRecord.from_plain(record.as_plain(), "x").theta is None
    assert TrainingRecord.from_plain({}, "x") == TrainingRecord()
    assert TrainingRecord().n_cells == 0


def test_a_verdict_that_lacks_a_number_is_none():
    values = VERDICT.as_plain()
    del values["gene_mean_nll"]
    with pytest.raises(InputError, match="the record of 'm' lacks 'gene_mean_nll'"):
        TrainingRecord.from_plain({"verdict": values}, "the record of 'm'")


@pytest.mark.parametrize(("nll", "score"), [(4.0, 4.0), (0.0, 0.0), (None, 6.0)])
def test_a_fit_is_judged_by_its_evidence_where_there_is_one(nll, score):
    scores = HeldOut(n_cells=1, n_draws=1, nll=nll, reconstruction_nll=6.0, likelihood="nb")
    assert scores.score == score
