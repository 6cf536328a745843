"""A learning curve is read as it was written, and its points are in their order."""

import pytest

from scpress.errors import InputError
from scpress.tables.learning_curve import CurvePoint, LearningCurve, Outlook

CURVE = LearningCurve(
    model="m",
    seed=0,
    n_cells=400,
    n_folds=2,
    repeats=2,
    n_scored=200,
    points=(
        CurvePoint(n_cells=200, loss=5.0, difference=2.0, error=0.5),
        CurvePoint(n_cells=400, loss=3.0, difference=0.0, error=0.0),
    ),
    outlook=Outlook(gain=1.0, low=0.5, high=1.5, exponent=0.5, over_gene_means=20.0),
)


def test_a_curve_is_read_as_it_was_written():
    assert LearningCurve.from_plain(CURVE.as_plain(), "x") == CURVE


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(0, 1), [1, 1]])
def test_points_are_in_order_and_end_with_all_cells(order):
    points = CURVE.as_plain()["points"]
    chosen = [points[i] for i in order] if isinstance(order, list) else points[order]
    with pytest.raises(InputError, match=r"x has points at .*learning_curve` again"):
        LearningCurve.from_plain(CURVE.as_plain() | {"points": chosen}, "x")


def test_a_curve_has_an_outlook_and_without_a_curve_there_is_none():
    plain = CURVE.as_plain()
    for lacking in ({"points": []}, {"outlook": {}}):
        with pytest.raises(InputError, match="not the outlook that they give"):
            LearningCurve.from_plain(plain | lacking, "x")
    neither = LearningCurve.from_plain(plain | {"points": [], "outlook": {}}, "x")
    assert (neither.points, neither.outlook) == ((), None)
