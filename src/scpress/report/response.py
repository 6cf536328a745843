"""How well responses to drugs and to a treatment are told of who was held out, on the page."""

from typing import Any

from scpress.donors.drug_response import RIVALS
from scpress.report.words import count, join
from scpress.tables.response import DrugModel, DrugResponse, Perturbation, ResponseAgreement

_MOST_FDR = 0.05
_HELD_OUT = {"line": "lines", "drug": "drugs", "both": "lines and drugs"}


def drug_response_section(found: DrugResponse | None) -> dict[str, Any] | None:
    """Every model in every split beside its rival."""
    if found is None:
        return None
    rows = [
        [
            _HELD_OUT[one.split],
            _words(one.model),
            one.view or "-",
            f"{one.r:.2f} ({one.r_low:.2f} to {one.r_high:.2f})",
            f"{one.pooled_r:.2f}",
            f"{one.skill:.1%} ({one.skill_low:.1%} to {one.skill_high:.1%})",
            "-" if one.model == RIVALS[one.split] else f"{one.p_value:.2g}",
        ]
        for one in found.models
    ]
    header = [
        "held out",
        "predicted by",
        "from",
        "r within drugs",
        "r of all pairs",
        "error saved",
        "p",
    ]
    return {
        "said": describe_drug_response(found),
        "of": f"{count(found.n_lines, 'line')}, {count(found.n_drugs, 'drug')}, "
        f"{count(found.n_pairs, 'pair')}",
        "n_permutations": found.n_permutations,
        "left_out": list(found.left_out),
        "table": {"header": header, "rows": rows},
    }


def describe_drug_response(found: DrugResponse) -> list[str]:
    """By how much the best model of each split beats its rival, or that none does."""
    said = []
    for split, rival in RIVALS.items():
        models = [one for one in found.models if one.split == split and one.model != rival]
        if models:
            said.append(_verdict(max(models, key=lambda one: one.skill), _words(rival)))
    return said


def _verdict(best: DrugModel, rival: str) -> str:
    where = f"Of {_HELD_OUT[best.split]} held out"
    saved = f"{best.skill:.0%} ({best.skill_low:.0%} to {best.skill_high:.0%})"
    if best.skill_low <= 0:
        return (
            f"{where}, no model is better than the {rival}: the best saves {saved} of its squared "
            "error."
        )
    of = f" of {best.view}" if best.view else ""
    return f"{where}, {_words(best.model)}{of} saves {saved} of the {rival}'s squared error."


def perturbation_section(found: Perturbation | None) -> dict[str, Any] | None:
    """How alike donors respond in each type, and how well that of another donor is told."""
    if found is None:
        return None
    agreement = [
        [
            one.cell_type,
            one.view,
            f"{one.n_donors:,}",
            f"{one.cosine:.2f} ({one.cosine_low:.2f} to {one.cosine_high:.2f})",
            f"{one.other_types:.2f}",
            f"{one.p_value:.2g} (least {one.least_p:.2g})",
            f"{one.fdr:.2g}",
        ]
        for one in found.agreement
    ]
    prediction = [
        [
            one.cell_type,
            _words(one.model),
            one.view or "-",
            f"{one.explained:.0%} ({one.explained_low:.0%} to {one.explained_high:.0%})",
            f"{one.cosine:.2f}",
            f"{one.permuted_explained:.0%}",
        ]
        for one in found.prediction
    ]
    return {
        "said": describe_perturbation(found),
        "levels": join(list(found.levels)),
        "condition_key": found.condition_key,
        "left_out": list(found.left_out),
        "agreement": {
            "header": ["type", "in", "donors", "cosine", "with other types", "p", "FDR"],
            "rows": agreement,
        },
        "prediction": {
            "header": ["type", "predicted by", "from", "explained", "cosine", "exchanged"],
            "rows": prediction,
        },
    }


def describe_perturbation(found: Perturbation) -> str:
    """In how many types donors respond alike, in genes."""
    genes = [one for one in found.agreement if one.view == "genes"]
    alike = [one for one in genes if one.fdr <= _MOST_FDR]
    where = f"{count(len(found.donors), 'donor')}, {join(list(found.levels))}"
    if alike:
        return (
            f"Donors respond alike in {len(alike)} of {count(len(genes), 'type')} ({where}): "
            f"{join([_cosine(one) for one in alike])}."
        )
    least = min((one.least_p for one in genes), default=1.0)
    if least > _MOST_FDR:
        return (
            f"Whether donors respond alike cannot be told of so few ({where}): no p-value can be "
            f"below {least:.2g}. The mean cosine of their responses is "
            f"{join([_cosine(one) for one in genes])}."
        )
    return f"Nothing was found that donors have in common in their responses ({where})."


def _cosine(one: ResponseAgreement) -> str:
    return f"{one.cell_type} {one.cosine:.2f}"


def _words(name: str) -> str:
    return name.replace("+", " with ").replace("_", " ")
