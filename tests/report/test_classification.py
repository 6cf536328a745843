"""What the page says and draws of donors that are told apart, or not."""

import dataclasses

import pytest

from scpress.report.classification import classification_section, describe_classification

OF = "condition control and case <b>"


def changed(found, **views):
    """With other numbers of some views."""
    made = [dataclasses.replace(one, **views.get(one.name, {})) for one in found.views]
    return dataclasses.replace(found, views=tuple(made))


def test_the_verdict_is_no_more_than_the_interval_and_permutations_allow(donors):
    found = donors["classification"]
    (said,) = describe_classification(found)
    assert said == (
        f"Donors of {OF} are told apart on donors held out: pseudobulk has AUC 0.90 (0.70 to "
        "1.00), p 0.02, and is right for 75% of 12 donors, where the most frequent condition would "
        "be for 50%."
    )
    for worse in ({"auc_low": 0.5}, {"p_value": 0.06}):
        (said,) = describe_classification(changed(found, pseudobulk=worse))
        assert said.startswith(f"Nothing was found that tells donors of {OF} apart: the best on")
        assert "With 12 donors, differences within that interval are not excluded." in said
    known = {"auc": 0.8, "auc_low": 0.6}
    said = describe_classification(changed(found, covariates=known))
    assert said[1].startswith("Beware: covariates alone tell donors of")
    assert len(describe_classification(changed(found, covariates=known | {"auc": 0.65}))) == 1
    alone = dataclasses.replace(found, views=found.views[:1])
    assert describe_classification(alone)[0].endswith("there were no features.")


def test_views_stand_side_by_side_with_the_majority(donors):
    section = classification_section(donors["classification"], donors["weights"])
    rows = section["table"]["rows"]
    assert [row[0] for row in rows][-2:] == ["pseudobulk", "majority alone"]
    assert rows[2][2] == {"text": "0.90", "range": "0.70 to 1.00", "best": True}
    assert not rows[0][2]["best"]
    assert rows[-1][2:] == ["0.50", "-", "-", "0.50", "0.50", "0.250"]
    assert section["weights"]["rows"] == [["Sym1 <i>", "case <b>", "-0.500", "100%"]]
    assert section["conditions"] is None
    assert classification_section(None, None) is None


def test_the_curve_starts_and_ends_in_the_corners_and_has_the_interval_of_the_best(donors):
    section = classification_section(donors["classification"], None)
    shade, *lines = section["roc"]["data"]
    assert [one["name"] for one in lines] == ["covariates", "composition", "pseudobulk"]
    assert lines[2]["x"] == [0.0, 0.25, 0.75, 1.0]
    assert lines[2]["y"] == pytest.approx([0.0, 0.8, 1.0, 1.0])
    assert shade["y"] == [0.0, 0.1, 0.3, 0.3, 1.0, 1.0, 0.9, 0.0]
    (bins,) = section["calibration"]["data"]
    assert (bins["x"], bins["y"]) == ([0.2, 0.7], [0.0, 0.5])
    assert bins["error_y"]["array"] == pytest.approx([0.4, 0.3])
    assert bins["error_y"]["arrayminus"] == pytest.approx([0.0, 0.3])
    assert bins["text"] == ["6 donors", "1 donor"]


def test_several_conditions_have_a_curve_each(donors):
    found = donors["classification"]
    (curve,) = found.views[2].curves
    curves = tuple(dataclasses.replace(curve, condition=name) for name in "abc")
    made = changed(found, pseudobulk={"curves": curves})
    made = dataclasses.replace(made, levels=("a", "b", "c"))
    section = classification_section(made, donors["weights"])
    assert section["several"]
    assert [row[0] for row in section["conditions"]["rows"]] == ["a", "b", "c"]
    assert [one["name"] for one in section["roc"]["data"]] == ["a", "b", "c"]
    assert section["table"]["rows"][-1][6] == "0.33"
