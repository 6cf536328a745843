"""A model is trained on nested parts of the cells; what twice as many bring follows from a law."""

import dataclasses

import numpy as np
import pytest
from builders import brief_options, normalized_of

from scpress.config.options import LearningCurveOptions, ThinOptions
from scpress.errors import InputError
from scpress.steps import learning_curve as step
from scpress.steps.learning_curve import curve_sizes, fit_law, learning_curve, look_ahead
from scpress.steps.score import held_out_folds, score
from scpress.steps.thin import thin
from scpress.steps.train import train

PCA = brief_options(preset="pca", n_latent=3)
SIZES = [250, 500, 1000, 2000]


def losses_of(gains, *, noise=0.0, n_runs=4, seed=0):
    """[sizes, runs, blocks] Losses that fall by these gains, in cells that differ by far more."""
    rng = np.random.default_rng(seed)
    level = -np.concatenate([[0.0], np.cumsum(gains)])[:, None, None]
    cells = 50 * rng.normal(size=(n_runs, 100)) + rng.normal(size=(len(level), n_runs, 100))
    return level + cells + noise * rng.normal(size=(len(level), n_runs, 1))


def test_parts_are_halves_of_halves_and_none_is_too_small():
    assert curve_sizes(1999, 3) == [249, 499, 999, 1999]
    assert curve_sizes(1999, 2) == [499, 999, 1999]
    assert curve_sizes(1599, 9) == [399, 799, 1599]
    assert curve_sizes(150, 3) == [150]


@pytest.mark.parametrize(
    ("gains", "next_gain", "exponent"),
    [
        ([6, 6, 6], 6.0, 0.0),  # each doubling brings the same
        ([8, 4, 2], 1.0, 1.0),  # each half of the last one
        ([8, 8 * 2**-0.5, 4], 4 * 2**-0.5, 0.5),
        ([2, 4, 8], None, 0.0),  # gains that grow are not believed to go on growing
        ([9, 1, 0.1], None, 1.0),
    ],
)
def test_the_law_goes_on_as_the_doublings_did(gains, next_gain, exponent):
    curve = -np.concatenate([[0.0], np.cumsum(gains)])
    (gain,), (found,) = fit_law(SIZES, np.stack([curve + 7]))
    assert found == exponent
    if next_gain is not None:
        assert gain == pytest.approx(next_gain)
    else:
        assert gain < max(gains)


def test_a_loss_that_rises_is_no_gain():
    (gain,), _ = fit_law(SIZES, np.array([[0.0, 1.0, 2.0, 3.0]]))
    assert gain == pytest.approx(-1)


def test_the_interval_holds_what_the_law_allows_and_widens_with_the_trainings_chance():
    sure = look_ahead(SIZES, losses_of([8, 4, 2]), 50.0)
    assert 0 < sure.low < 1 < sure.high < 3
    unsure = look_ahead(SIZES, losses_of([8, 4, 2], noise=6.0), 50.0)
    assert unsure.high - unsure.low > 2 * (sure.high - sure.low)
    # Two runs tell less of their chance than eight.
    few, many = (look_ahead(SIZES, losses_of([8, 4, 2], noise=6.0, n_runs=n), 50.0) for n in (2, 8))
    assert few.high - few.low > many.high - many.low
    assert sure.over_gene_means == 50


def test_cells_alone_make_an_interval_though_all_runs_agree():
    rng = np.random.default_rng(0)
    losses = np.array([14.0, 6.0, 2.0, 0.0])[:, None, None] + rng.normal(size=(4, 1, 100))
    found = look_ahead(SIZES, np.tile(losses, (1, 4, 1)), 50.0)
    assert found.low < 1 < found.high
    assert 0.05 < found.high - found.low < 2
    # A hundred times the cells in each block are ten times as sure.
    losses = losses + 0.9 * (losses.mean(axis=2, keepdims=True) - losses)
    surer = look_ahead(SIZES, np.tile(losses, (1, 4, 1)), 50.0)
    assert surer.high - surer.low < 0.3 * (found.high - found.low)


def test_the_interval_is_right_nine_times_of_ten():
    truth = 2 * 2**-0.5 * 2**-0.5
    found = [
        look_ahead(SIZES, losses_of([4, 4 * 2**-0.5, 2], noise=1.0, seed=i), 50.0)
        for i in range(60)
    ]
    inside = sum(one.low <= truth * 2**0.5 <= one.high for one in found)
    assert inside >= 50


@pytest.fixture
def seen(monkeypatch):
    """What each training was given."""
    given = []

    def noted(counts, normalized, options, **keywords):
        given.append((counts.obs_names, options, keywords))
        return train(counts, normalized, options, **keywords)

    monkeypatch.setattr(step, "train", noted)
    monkeypatch.setattr(step, "MIN_CELLS", 100)
    return given


@pytest.fixture(scope="module")
def folds(simulated):
    return thin(simulated, normalized_of(simulated))


def test_the_parts_are_nested_and_the_same_cells_are_scored(simulated, folds, seen, monkeypatch):
    scored = []

    def noted(fold, predict):
        scored.append((fold.molecules, len(fold.training)))
        return score_means(fold, predict)

    score_means = step.score_means
    monkeypatch.setattr(step, "score_means", noted)
    options = LearningCurveOptions(halvings=2, repeats=2)
    arguments = (simulated, normalized_of(simulated), folds, PCA)
    found = learning_curve(*arguments, options, name="m", seed=5, device="cpu")
    names = [set(one[0]) for one in seen]
    assert [len(one) for one in names] == [150, 300, 600] * 4
    for first in range(0, 12, 3):
        assert names[first] < names[first + 1] < names[first + 2]
        # Three models and the gene means, on the same molecules.
        molecules = [one[0] for one in scored[first // 3 * 4 : first // 3 * 4 + 4]]
        assert all((one != molecules[0]).nnz == 0 for one in molecules)
        assert molecules[0].shape == (150, 200)
    # Each fold and repeat draws other cells.
    assert len({frozenset(one) for one in names[::3]}) == 4
    assert [one[2]["seed"] for one in seen] == [5, 5, 5, 6, 6, 6] * 2
    assert all(one[1].allow_failed_fit for one in seen)
    assert (found.model, found.seed, found.n_scored) == ("m", 5, 150)
    assert (found.n_cells, found.n_folds, found.repeats) == (600, 2, 2)
    assert [point.n_cells for point in found.points] == [150, 300, 600]
    assert (found.points[-1].difference, found.points[-1].error) == (0, 0)
    assert found.points[0].error > 0
    assert found.outlook.over_gene_means > 0
    # More cells are better for PCA of simulated types, by what all know of it.
    assert found.points[0].difference > 0


def test_of_all_cells_the_fold_of_a_part_is_the_fold(simulated, folds):
    (fold, *_) = held_out_folds(simulated, normalized_of(simulated), folds)
    same = step.fold_of_cells(fold, np.arange(600), fold.scored)
    for item in dataclasses.fields(fold):
        value, other = (getattr(one, item.name) for one in (fold, same))
        if item.name == "training":
            value, other = value.X.toarray(), other.X.toarray()
        if item.name == "molecules":
            value, other = value.toarray(), other.toarray()
        np.testing.assert_array_equal(value, other)


def test_the_loss_of_all_cells_is_that_of_score(simulated, folds, monkeypatch):
    """With one size alone, which scores all cells in one order."""
    monkeypatch.setattr(step, "MIN_CELLS", 100)
    monkeypatch.setattr(step, "MIN_SIZES", 1)
    monkeypatch.setattr(step, "curve_sizes", lambda n, halvings: [n])
    monkeypatch.setattr(step, "look_ahead", lambda *_: None)
    arguments = (simulated, normalized_of(simulated), folds, PCA)
    options = LearningCurveOptions(halvings=2, repeats=1)
    found = learning_curve(*arguments, options, name="m", seed=0, device="cpu")
    table = score(*arguments, name="m", seed=0, device="cpu")
    expected = np.mean([fold.poisson for fold in table.predictors[0].folds])
    assert found.points[0].loss == pytest.approx(expected)


def test_too_few_cells_have_no_curve_and_one_training_no_error(simulated, folds):
    normalized = normalized_of(simulated)
    arguments = (simulated, normalized, folds, PCA)
    found = learning_curve(*arguments, LearningCurveOptions(halvings=3), name="m", seed=0)
    assert (found.points, found.outlook) == ((), None)
    for halvings in (0, 1):
        options = LearningCurveOptions(halvings=halvings)
        with pytest.raises(InputError, match=f"halvings is {halvings}, .*set halvings to 2 or"):
            learning_curve(*arguments, options, name="m", seed=0)


def test_one_fold_and_one_repeat_give_no_error(simulated, monkeypatch):
    monkeypatch.setattr(step, "MIN_CELLS", 100)
    normalized = normalized_of(simulated)
    one = thin(simulated, normalized, ThinOptions(folds=1))
    options = LearningCurveOptions(halvings=2, repeats=1)
    with pytest.raises(InputError, match="raise repeats, or thin's folds"):
        learning_curve(simulated, normalized, one, PCA, options, name="m", seed=0)
