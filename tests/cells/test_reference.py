"""Names from labelled cells: right ones, sure ones, and none for what is like no labelled cell."""

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from scpress.cells.reference import (
    LinearNames,
    _distance,
    _unit_within,
    conformal_p,
    find_alike,
    name_cells,
)

# Types lie on the axes of one plane; the unknown one at its middle, off it.
CENTERS = np.array([[6, 0, 0], [0, 6, 0], [-6, -6, 0], [0, 0, 6]], dtype=float)


def drawn(n, types, rng, spread=1.0):
    code = np.resize(types, n)
    return CENTERS[code] + spread * rng.normal(size=(n, 3)), code


def own(n):
    return np.arange(n)[:, None]


def alike_by(code, rng, n=8):
    return np.stack([rng.choice(np.flatnonzero(code == c), n) for c in code])


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    reference, code = drawn(240, [0, 1, 2], rng)
    matched = reference + 0.3 * rng.normal(size=reference.shape)
    cells, truth = drawn(400, [0, 1, 2, 3], rng)
    names = name_cells(
        reference,
        matched,
        np.array(["b", "c", "a"])[code],
        cells,
        matched_alike=alike_by(code, rng),
        alike=alike_by(truth, rng),
        rate=0.05,
        seed=0,
    )
    return names, np.array(["b", "c", "a", "new"])[truth]


def test_known_types_are_named_and_sure(found):
    names, truth = found
    named = np.array(names.types)[names.best]
    assert names.types == ("a", "b", "c")
    known = truth != "new"
    assert (named[known] == truth[known]).mean() > 0.98
    assert names.confidence[known].mean() > 0.9
    assert names.confidence.max() <= 1


def test_what_no_label_is_like_is_told_at_the_rate(found):
    names, truth = found
    is_new = truth == "new"
    assert (names.p[is_new] <= 0.05).mean() > 0.95
    assert (names.p[~is_new] <= 0.05).mean() < 0.12
    assert 0.01 < names.held_out_rate < 0.12


def test_labelled_cells_are_scored_held_out(found):
    names, _ = found
    assert set(names.accuracy) == {"knn", "linear", "both"}
    assert min(names.accuracy.values()) > 0.95
    assert abs(names.accuracy["both"] - names.mean_confidence) < 0.03
    n, right, unlike = names.by_type.T
    assert n.tolist() == [80, 80, 80]
    assert np.average(right, weights=n) == pytest.approx(names.accuracy["both"])
    assert np.average(unlike, weights=n) == pytest.approx(names.held_out_rate)


def test_confidence_is_calibrated_where_types_overlap():
    rng = np.random.default_rng(1)
    parts = [drawn(n, [0, 1], rng, spread=5.0) for n in (400, 1500)]
    (reference, code), (cells, truth) = parts
    names = name_cells(
        reference,
        reference,
        code.astype(str),
        cells,
        matched_alike=own(400),
        alike=own(1500),
        rate=0.05,
        seed=0,
    )
    right = names.best == truth
    for low, high in ((0.6, 0.8), (0.8, 0.95)):
        inside = (names.confidence >= low) & (names.confidence < high)
        assert inside.sum() > 100
        assert abs(right[inside].mean() - names.confidence[inside].mean()) < 0.08


def test_noise_alone_gives_uniform_p_values():
    rng = np.random.default_rng(2)
    reference, code = drawn(300, [0, 1], rng)
    cells, _ = drawn(1000, [0, 1], rng)
    names = name_cells(
        reference,
        reference,
        code.astype(str),
        cells,
        matched_alike=own(300),
        alike=own(1000),
        rate=0.1,
        seed=0,
    )
    assert stats.kstest(names.p, "uniform").statistic < 0.1
    assert 0.05 < names.held_out_rate < 0.15


def test_within_types_covariance_is_one():
    rng = np.random.default_rng(3)
    code = np.repeat([0, 1], 500)
    mixed = rng.normal(size=(1000, 2)) @ np.array([[2.0, 0.5], [0.0, 0.7]]) + 9 * code[:, None]
    white = mixed @ _unit_within(mixed, code)
    covariance = np.cov(np.vstack([white[code == c] - white[code == c].mean(0) for c in (0, 1)]).T)
    np.testing.assert_allclose(covariance, np.eye(2), atol=0.1)
    # A dimension that says nothing is no division by zero.
    assert np.isfinite(_unit_within(np.column_stack([mixed, np.zeros(1000)]), code)).all()


def test_a_cell_is_no_neighbour_of_its_own():
    points = np.array([[0.0], [1], [3], [7], [8], [9], [20]])
    near = _distance(points, points, np.arange(7))
    assert near[0] == pytest.approx((1 + 3 + 7 + 8 + 9) / 5)
    # One that is none of the points has the same number of neighbours.
    other = _distance(points, np.array([[0.0]]), np.array([-1]))
    assert other[0] == pytest.approx((0 + 1 + 3 + 7 + 8) / 5)


def test_p_values_count_what_is_as_far_and_itself():
    null = np.array([1.0, 2, 2, 5])
    assert conformal_p(np.array([0.0, 2, 5, 6]), null).tolist() == [1, 4 / 5, 2 / 5, 1 / 5]


def test_cells_alike_are_of_one_kind_and_the_first_is_itself():
    rng = np.random.default_rng(4)
    code = np.repeat([0, 1], 40)
    values = rng.poisson(np.where(code[:, None] == np.arange(30) % 2, 3.0, 0.3))
    alike = find_alike(sparse.csr_matrix(np.log1p(values)), seed=0)
    assert alike.shape == (80, 15)
    assert (alike[:, 0] == np.arange(80)).all()
    assert (code[alike] == code[:, None]).mean() > 0.95


def test_probabilities_are_scikit_learns_and_of_the_genes_that_are_there():
    rng = np.random.default_rng(5)
    counts = sparse.csr_matrix(rng.poisson(2.0, (60, 12)))
    library_size = np.asarray(counts.sum(axis=1)).ravel()
    logs = np.log1p(counts.toarray() / library_size[:, None] * 1e4)
    scaler = StandardScaler().fit(logs)
    one = LogisticRegression().fit(scaler.transform(logs), rng.integers(3, size=60))
    parts = one.coef_, one.intercept_, scaler.mean_, scaler.scale_
    model = LinearNames(("a", "b", "c"), tuple(map(str, range(12))), *parts)
    expected = 1 / (1 + np.exp(-one.decision_function(scaler.transform(logs))))
    found = model.probabilities(counts, library_size, np.arange(12))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    few = np.array([0, 3, 11])
    scaled = scaler.transform(logs)[:, few] @ one.coef_[:, few].T + one.intercept_
    found = model.probabilities(counts[:, few], library_size, few)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scaled)), rtol=1e-9)
