"""What is said of losses that part, of ones that do not, and of trainings that were too short."""

import pandas as pd
import pytest

from scpress.report.overfitting import describe_overfitting
from scpress.report.sections import training_section
from scpress.tables.training import Verdict


def said_of(held_out, training, *, kl_weight=1.0, kl=3.0, gene_mean=200.0):
    history = pd.DataFrame(
        {
            "step": [500 * (i + 1) for i in range(len(held_out))],
            "validation_loss": held_out,
            "train_loss": training,
            "kl_weight": kl_weight,
            "validation_kl": kl,
        }
    )
    verdict = Verdict(
        status="ok",
        score=90.0,
        best_loss=min(held_out),
        best_step=0,
        n_steps=0,
        stopped="patience",
        rollbacks=0,
        gene_mean_nll=gene_mean,
    )
    return describe_overfitting(history, verdict)


def test_losses_that_part_are_named_with_the_step():
    assert said_of([120.0, 100.0, 110.0, 130.0], [118.0, 95.0, 80.0, 60.0]) == (
        "It overfits from step 1,000 on: until step 2,000 training cells got better by 35.0 nats "
        "per cell and held-out cells worse by 30.0, 30% of what the model gains over gene means. "
        "At step 1,000, whose weights are used, they are 5.0 apart. More cells would help most; a "
        "larger epsilon or a smaller network may."
    )


def test_losses_with_a_part_of_the_kl_term_are_not_compared():
    text = said_of([100.0, 130.0], [90.0, 60.0], kl_weight=0.5)
    assert "At step 500 the weights are the used ones. More" in text
    text = said_of([100.0, 130.0], [90.0, 60.0], kl_weight=0.5, kl=0.0)
    assert "At step 500, whose weights are used, they are 10.0 apart. More" in text


def test_a_little_is_no_overfitting():
    assert said_of([100.0, 105.0], [95.0, 80.0]) == (
        "No overfitting to speak of: after step 500 held-out cells got worse by 5.0 nats per cell, "
        "5% of what the model gains over gene means."
    )


def test_a_model_that_gained_nothing_is_no_share_of_it():
    text = said_of([100.0, 105.0], [95.0, 80.0], gene_mean=90.0)
    assert "worse by 5.0. At" in text


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [([120.0, 100.0], "Held-out cells were still getting better at the end: raise"), ([9.0], "")],
)
def test_a_training_that_was_too_short_says_what_to_do(held_out, expected):
    assert said_of(held_out, held_out).startswith(expected)
    assert bool(said_of(held_out, held_out)) == bool(expected)


def test_the_page_says_it_of_the_seed_whose_latent_is_used(full):
    record = full.models["m"]
    expected = describe_overfitting(full.histories["m", str(record.seed)], record.verdict)
    (shown,) = (one for one in training_section(full)["models"] if one["model"] == "m")
    assert expected
    assert shown["text"].endswith(expected)
