"""What the page says of responses that were predicted for who was held out."""

import dataclasses

import pytest

from scpress.report.response import (
    describe_drug_response,
    describe_perturbation,
    drug_response_section,
    perturbation_section,
)


def test_the_best_model_is_held_against_the_rival_of_its_split(donors):
    found = donors["drug_response"]
    assert describe_drug_response(found) == [
        "Of lines held out, ridge of genes saves 40% (35% to 45%) of the drug mean's squared error."
    ]
    none = dataclasses.replace(found.models[1], skill=0.01, skill_low=0.0, skill_high=0.02)
    drugs = dataclasses.replace(none, split="drug", view="", model="ridge+drug_features")
    better = dataclasses.replace(drugs, skill=0.2, skill_low=0.1, skill_high=0.3)
    assert describe_drug_response(dataclasses.replace(found, models=(none, better, drugs))) == [
        "Of lines held out, no model is better than the drug mean: the best saves 1% (0% to 2%) of "
        "its squared error.",
        "Of drugs held out, ridge with drug features saves 20% (10% to 30%) of the line mean's "
        "squared error.",
    ]


def test_every_model_is_a_row_and_the_rival_has_no_p(donors):
    section = drug_response_section(donors["drug_response"])
    rows = section["table"]["rows"]
    assert rows[0] == [
        *("lines", "drug mean", "-", "0.00 (-0.10 to 0.10)", "0.80", "0.0% (-5.0% to 5.0%)", "-")
    ]
    assert rows[2][1:3] == ["shared latent", "components"]
    assert rows[2][-1] == "0.05"
    assert section["of"] == "1,200 lines, 2 drugs, 2,300 pairs"
    assert len({len(row) for row in rows} | {len(section["table"]["header"])}) == 1
    assert drug_response_section(None) is None


@pytest.mark.parametrize(
    ("fdr", "least", "said"),
    [
        (
            0.05,
            0.03,
            "Donors respond alike in 1 of 2 types (6 donors, control and treated): A 0.80.",
        ),
        (0.06, 0.03, "Nothing was found that donors have in common in their responses (6 donors"),
        (0.6, 0.5, "Whether donors respond alike cannot be told of so few (6 donors, control and"),
    ],
)
def test_nothing_found_is_told_from_too_few_donors(donors, fdr, least, said):
    found = donors["perturbation"]
    first, second, *components = (
        dataclasses.replace(one, fdr=fdr if one.cosine > 0.5 else 0.9, least_p=least)
        for one in found.agreement
    )
    first = dataclasses.replace(first, cell_type="A")
    # What is found in components alone is not said to be in genes.
    components = [dataclasses.replace(one, fdr=0.001) for one in components]
    found = dataclasses.replace(found, agreement=(first, second, *components))
    text = describe_perturbation(found)
    assert text.startswith(said)
    if least > 0.05:
        assert text.endswith(
            "no p-value can be below 0.5. The mean cosine of their responses is A 0.80 and B 0.10."
        )


def test_agreement_and_prediction_are_a_row_each(donors):
    section = perturbation_section(donors["perturbation"])
    agreement, prediction = section["agreement"], section["prediction"]
    assert len(agreement["rows"]) == 4
    assert agreement["rows"][1] == [
        *("B", "genes", "6", "0.10 (0.00 to 0.20)", "0.10", "0.6 (least 0.03)", "0.6")
    ]
    assert prediction["rows"] == [
        ["B", "mean response", "genes", "25% (-10% to 50%)", "0.50", "-20%"]
    ]
    for table in (agreement, prediction):
        assert len({len(row) for row in table["rows"]} | {len(table["header"])}) == 1
    assert perturbation_section(None) is None
