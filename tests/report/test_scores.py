"""What the page says of scores on held-out molecules, and what it says first."""

import dataclasses
from types import SimpleNamespace

import pytest

from scpress.config.options import ReportOptions
from scpress.report.page import build_report
from scpress.report.scores import describe_likelihood, score_sentences, scores_section
from scpress.tables.likelihood import Candidate, LikelihoodChoice
from scpress.tables.scores import Choice, Ranked


def ranked(name, loss, *, is_model=True, chosen=-10.0):
    return Ranked(
        name=name,
        is_model=is_model,
        n_seeds=2 if is_model else 1,
        loss=loss,
        difference=loss + 12.0,
        error=0.0 if loss == -12 else 0.75,
        from_chosen=loss - chosen,
        from_chosen_error=0.0 if loss == chosen else 0.5,
        poisson_per_entry=loss / 100,
        log_mse=1.5,
        poisson_by_level=(loss / 4, loss / 2),
        expected_zeros=(0.9, 0.75),
        dispersion=(1.0, 1.25),
    )


def choice_of(*predictors, best_model, beaten_by=()):
    return Choice(
        loss="poisson",
        tolerance=1.0,
        chosen="m",
        best_model=best_model,
        beaten_by=beaten_by,
        n_cells=500,
        n_genes=100,
        n_molecules=12345,
        n_folds=2,
        observed_zeros=(0.92, 0.7),
        mean_by_level=(0.01, 0.5),
        predictors=predictors,
    )


BEATEN = choice_of(
    ranked("PCA 10", -12.0, is_model=False),
    ranked("m", -10.0),
    ranked("other", -8.0),
    best_model="m",
    beaten_by=("PCA 10",),
)
BEHIND = choice_of(
    ranked("other", -12.0),
    ranked("m", -10.0),
    ranked("gene means", 5.0, is_model=False),
    best_model="other",
)


def test_seeds_together_stand_above_each_alone():
    predictors = (
        dataclasses.replace(ranked("m", -12.0), together=True),
        ranked("PCA 10", -10.0, is_model=False),
    )
    choice = choice_of(*predictors, best_model="m")
    choice = dataclasses.replace(choice, seeds_apart=(ranked("m", -9.0),))
    section = scores_section(inputs_of(choice))
    rows = section["table"]["rows"]
    assert [row[0] for row in rows] == [
        "m, 2 seeds together (primary)",
        "m, each seed alone (primary)",
        "PCA 10",
    ]
    assert (rows[0][3], rows[1][3]["text"]) == ("best", "3.00")
    assert "that is what they expect in the mean" in section["rule"]
    assert "in the mean" not in scores_section(inputs_of(BEATEN))["rule"]


def inputs_of(choice, primary="m"):
    return SimpleNamespace(choice=choice, primary=primary)


def test_that_a_baseline_is_better_stands_first():
    first, second = score_sentences(inputs_of(BEATEN))
    assert first == (
        "Beware: PCA 10 predicts molecules that were held out better than m, the model of this "
        "page, by 2.0 ± 0.5 nats per cell."
    )
    assert second == (
        "Molecules that were held out are predicted best by m of 2 models; the best baseline, "
        "PCA 10, is better by 2.0 ± 0.5 nats per cell."
    )


def test_a_model_that_is_not_the_best_says_by_how_much():
    assert score_sentences(inputs_of(BEHIND)) == [
        "Of the models other predicts molecules that were held out best; m is worse by "
        "2.0 ± 0.5 nats per cell; the best baseline, gene means, is worse by 15.0 ± 0.5 nats per "
        "cell."
    ]
    # One that was named by hand has no error from the best one.
    third = dataclasses.replace(BEHIND, predictors=(*BEHIND.predictors, ranked("x", -7.0)))
    assert score_sentences(inputs_of(third, "x")) == [
        "Of the models other predicts molecules that were held out best; x is worse by "
        "5.0 nats per cell."
    ]


@pytest.mark.parametrize("inputs", [inputs_of(None), inputs_of(BEHIND, "gone")])
def test_nothing_is_said_of_what_was_not_scored(inputs):
    assert score_sentences(inputs) == []


def test_the_table_has_every_predictor_with_its_error():
    section = scores_section(inputs_of(BEHIND))
    header, rows = section["table"]["header"], section["table"]["rows"]
    assert header[3] == "Poisson loss, nats per cell above the best"
    assert header[6] == "zeros expected (there are 81.00%)"
    assert rows[0] == ["other", "model", "2", "best", "-0.1200", "1.5000", "82.50%"]
    assert rows[1][:3] == ["m (primary)", "model", "2"]
    assert rows[1][3] == {"text": "2.00", "range": "± 0.75", "best": False}
    assert rows[2][:3] == ["gene means", "baseline", "-"]
    levels = section["levels"]
    assert levels["loss"]["header"] == ["predictor", "mean 0.01", "mean 0.5"]
    assert levels["loss"]["rows"][1] == ["m", "+0.50", "+1.00"]
    assert levels["zeros"]["rows"][0] == ["other", "-2.00%", "+5.00%"]
    assert levels["dispersion"]["rows"][0] == ["other", "1.00", "1.25"]
    assert section["rule"] == (
        "other has the lowest loss of the models; m, which is listed before it, is within 1 "
        "standard errors of it. With primary_model: auto that is m."
    )
    assert "listed" not in scores_section(inputs_of(BEATEN))["rule"]
    assert scores_section(inputs_of(None)) is None


def test_the_page_shows_the_scores_and_the_warning_above_all(full, unlinked):
    assert full.primary == "m"
    without, metrics = build_report(full, ReportOptions())
    assert metrics["choice"] is None
    assert "that it has not seen" not in without
    full.choice = BEATEN
    page, metrics = build_report(full, ReportOptions())
    assert metrics["choice"] == BEATEN.as_plain()
    page = unlinked(page)
    summary = page[page.index('id="summary"') :]
    assert summary.index("Beware: PCA 10") < summary.index("quality control")
    assert "12,345 molecules of 500 cells" in page
    # Without evaluations there are scores still.
    full.evaluations = []
    assert "Models side by side" in build_report(full, ReportOptions())[0]


def likelihood_of(chosen, **differences):
    return LikelihoodChoice(
        model="m",
        seed=0,
        n_cells=9,
        n_folds=2,
        chosen=chosen,
        best=chosen,
        candidates=tuple(
            Candidate(likelihood=name, loss=1.0, difference=difference, error=error)
            for name, (difference, error) in differences.items()
        ),
        inflated_genes=tuple(f"G{i}" for i in range(12)) if chosen == "zinb" else (),
    )


def test_the_page_says_whether_zero_inflation_is_supported():
    nb = likelihood_of("nb", poisson=(9.0, 1.0), nb=(0.0, 0.0), zinb=(0.05, 0.02))
    assert describe_likelihood(nb) == (
        "The likelihood of m is nb, the simplest within one standard error of the best on "
        "molecules that were held out: poisson is worse by 9.0 ± 1.0 nats per cell, zinb is worse "
        "by 0.05 ± 0.02 nats per cell. Zero inflation is not supported."
    )
    zinb = likelihood_of("zinb", poisson=(9.0, 1.0), nb=(3.0, 0.5), zinb=(0.0, 0.0))
    assert describe_likelihood(zinb).endswith(
        "Zero inflation is supported: without it 3.0 ± 0.5 nats per cell more. Genes that extra "
        "zeros predict clearly better (12): G0, G1, G2, G3, G4, G5, G6, G7, G8, G9 and 2 more."
    )
    better = likelihood_of("nb", poisson=(9.0, 1.0), nb=(0.0, 0.0), zinb=(-0.3, 0.4))
    assert "zinb is better by 0.3 ± 0.4 nats" in describe_likelihood(better)


def test_the_page_shows_the_likelihoods_where_they_were_chosen(full, unlinked):
    full.likelihoods = [likelihood_of("nb", poisson=(9.0, 1.0), nb=(0.0, 0.0), zinb=(0.1, 0.2))]
    page, metrics = build_report(full, ReportOptions())
    assert "The likelihood of m is nb" in unlinked(page)
    assert metrics["likelihoods"] == [full.likelihoods[0].as_plain()]
