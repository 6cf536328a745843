"""What molecules that were held out say of the models: tables of the page, and its first words."""

from collections.abc import Sequence
from typing import Any

from scpress.report.inputs import ReportInputs
from scpress.tables.likelihood import LikelihoodChoice
from scpress.tables.scores import Choice, Ranked


def scores_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """Every model and baseline on the same held-out molecules, and where they differ."""
    choice = inputs.choice
    if choice is None:
        return None
    alone = {one.name: one for one in choice.seeds_apart}
    listed = [
        one
        for together in choice.predictors
        for one in (together, alone.get(together.name))
        if one is not None
    ]
    rows = [
        [
            _name(one, choice) + (" (primary)" if one.name == inputs.primary else ""),
            "model" if one.is_model else "baseline",
            str(one.n_seeds) if one.is_model else "-",
            "best" if one is choice.predictors[0] else _with_error(one),
            f"{one.poisson_per_entry:.4f}",
            f"{one.log_mse:.4f}",
            f"{_mean(one.expected_zeros):.2%}",
        ]
        for one in listed
    ]
    header = [
        "predictor",
        "",
        "seeds",
        f"{_LOSSES[choice.loss]} loss, nats per cell above the best",
        "Poisson loss per count",
        "log1p MSE",
        f"zeros expected (there are {_mean(choice.observed_zeros):.2%})",
    ]
    return {
        "table": {"header": header, "rows": rows},
        "levels": _levels(choice),
        "n_molecules": choice.n_molecules,
        "n_cells": choice.n_cells,
        "n_folds": choice.n_folds,
        "rule": _rule(choice),
    }


def _name(one: Ranked, choice: Choice) -> str:
    """Name of a predictor; where seeds are also scored together, which of the two this is."""
    if one.together:
        return f"{one.name}, {one.n_seeds} seeds together"
    return one.name + (", each seed alone" if one in choice.seeds_apart else "")


# Genes that are named.
_N_GENES = 10
_LOSSES = {"poisson": "Poisson", "nb": "Negative binomial"}


def _levels(choice: Choice) -> dict[str, Any]:
    """Three tables by level of expression: loss, zeros, and error over the expected variance."""
    best = choice.predictors[0].poisson_by_level
    header = ["predictor", *(f"mean {mean:.3g}" for mean in choice.mean_by_level)]

    def rows(values: Any) -> list[list[str]]:
        return [[one.name, *values(one)] for one in choice.predictors]

    return {
        "loss": {
            "header": header,
            "rows": rows(
                lambda one: [
                    f"{a - b:+.2f}" for a, b in zip(one.poisson_by_level, best, strict=True)
                ]
            ),
        },
        "zeros": {
            "header": header,
            "rows": rows(
                lambda one: [
                    f"{a - b:+.2%}"
                    for a, b in zip(one.expected_zeros, choice.observed_zeros, strict=True)
                ]
            ),
        },
        "dispersion": {
            "header": header,
            "rows": rows(lambda one: [f"{value:.2f}" for value in one.dispersion]),
        },
    }


def _rule(choice: Choice) -> str:
    text = f"{choice.best_model} has the lowest loss of the models"
    if choice.chosen != choice.best_model:
        text += (
            f"; {choice.chosen}, which is listed before it, is within {choice.tolerance:g} "
            "standard errors of it"
        )
    if choice.seeds_apart:
        text += (
            "; of a model with several seeds that is what they expect in the mean, as clusters and "
            "denoised values are of all of them"
        )
    return text + f". With primary_model: auto that is {choice.chosen}."


def score_sentences(inputs: ReportInputs) -> list[str]:
    """What the top of the page says; that a baseline is better stands first."""
    choice = inputs.choice
    if choice is None:
        return []
    of = {one.name: one for one in choice.predictors}
    primary = of.get(inputs.primary)
    if primary is None or not primary.is_model:
        return []
    sentences = []
    if choice.beaten_by and primary.name == choice.chosen:
        rival = of[choice.beaten_by[0]]
        sentences.append(
            f"Beware: {rival.name} predicts molecules that were held out better than "
            f"{primary.name}, the model of this page, by "
            f"{_gap(rival.from_chosen, rival.from_chosen_error)}."
        )
    others = [one for one in choice.predictors if one.name != primary.name]
    if not others:
        return sentences
    models = [one for one in others if one.is_model]
    best = of[choice.best_model]
    if best.name == primary.name:
        text = f"Molecules that were held out are predicted best by {primary.name}"
        text += f" of {len(models) + 1} models" if models else ""
    else:
        text = (
            f"Of the models {best.name} predicts molecules that were held out best; "
            f"{primary.name} is worse by {_gap_between(primary, best, choice)}"
        )
    baseline = next((one for one in choice.predictors if not one.is_model), None)
    if baseline is not None and primary.name == choice.chosen:
        better = baseline.from_chosen < 0
        text += (
            f"; the best baseline, {baseline.name}, is {'better' if better else 'worse'} by "
            f"{_gap(baseline.from_chosen, baseline.from_chosen_error)}"
        )
    return [*sentences, text + "."]


def describe_likelihood(choice: LikelihoodChoice) -> str:
    """Which likelihood held-out molecules chose, by how much, and what that says of extra zeros."""
    of = {one.likelihood: one for one in choice.candidates}
    others = [
        f"{one.likelihood} is {'better' if one.difference < 0 else 'worse'} by "
        f"{_gap(one.difference, one.error)}"
        for one in choice.candidates
        if one.likelihood != choice.chosen
    ]
    text = (
        f"The likelihood of {choice.model} is {choice.chosen}, the simplest within one standard "
        f"error of the best on molecules that were held out: {', '.join(others)}."
    )
    if choice.chosen == "zinb":
        gain = of["nb"]
        text += (
            f" Zero inflation is supported: without it {_gap(gain.difference, gain.error)} more."
        )
    else:
        text += " Zero inflation is not supported."
    if choice.inflated_genes:
        n = len(choice.inflated_genes)
        more = f" and {n - _N_GENES} more" if n > _N_GENES else ""
        named = ", ".join(choice.inflated_genes[:_N_GENES])
        text += f" Genes that extra zeros predict clearly better ({n}): {named}{more}."
    return text


def _gap_between(primary: Ranked, best: Ranked, choice: Choice) -> str:
    error = best.from_chosen_error if primary.name == choice.chosen else None
    return _gap(primary.loss - best.loss, error)


def _gap(difference: float, error: float | None) -> str:
    # One digit, or what shows the first digit of a small error.
    digits = 1 if not error or error >= 0.1 else 2
    spread = "" if error is None else f" ± {error:.{digits}f}"
    return f"{abs(difference):.{digits}f}{spread} nats per cell"


def _with_error(one: Ranked) -> dict[str, Any]:
    return {"text": f"{one.difference:.2f}", "range": f"± {one.error:.2f}", "best": False}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
