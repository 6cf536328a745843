"""Which model is chosen, and how sure that is."""

import numpy as np
import pytest

from scpress.config.options import ChooseOptions
from scpress.errors import InputError
from scpress.steps.choose import choose, paired_error, paired_errors
from scpress.tables.scores import FoldScore, Predictor, Scores

N_BLOCKS = 50


def fold_score(poisson, nb=None):
    return FoldScore(
        poisson=tuple(poisson),
        nb=tuple(poisson if nb is None else nb),
        log_mse=1.0,
        poisson_by_level=(1.0, 2.0),
        expected_zeros=(0.9, 0.5),
        dispersion=(1.0, 1.1),
    )


def scores(name, *folds, seed=0, digest="a"):
    """A table of one predictor, one row of blocks for each fold."""
    return Scores(
        digest=digest,
        n_cells=500,
        n_genes=10,
        n_molecules=1000,
        observed_zeros=(0.9, 0.5),
        mean_by_level=(0.1, 1.0),
        predictors=(
            Predictor(name=name, seed=seed, folds=tuple(fold_score(row) for row in folds)),
        ),
    )


@pytest.fixture
def cells():
    """[blocks] Loss that all share, which is far larger than what tells them apart."""
    return 100 + 50 * np.random.default_rng(0).normal(size=N_BLOCKS)


def noise(scale, seed):
    return scale * np.random.default_rng(seed).normal(size=N_BLOCKS)


def test_the_error_is_that_of_the_difference_in_the_same_cells(cells):
    # A difference of cells alone, in two folds alike.
    one, two = (np.tile(cells + noise(1.0, seed), (1, 2, 1)) for seed in (1, 2))
    of_cells = (one - two)[0, 0].std(ddof=1) / np.sqrt(N_BLOCKS)
    assert paired_error(one, two) == pytest.approx(of_cells)
    assert of_cells < 0.5  # and not 50 / sqrt(50)
    assert paired_error(one, one) == 0


def test_the_error_counts_how_trainings_differ(cells):
    runs = cells + np.array([[-1.0, 1.0], [3.0, 5.0]])[:, :, None]  # [seeds, folds, blocks]
    baseline = np.tile(cells, (1, 2, 1))
    # Four trainings of -1, 1, 3, 5: a variance of 20 / 3 over 4.
    assert paired_error(runs, baseline) == pytest.approx(np.sqrt(20 / 3 / 4))
    assert paired_error(baseline, runs) == paired_error(runs, baseline)


def test_how_trainings_differ_is_known_from_all_settings_together(cells):
    """One seed and two folds: two differences of a setting say next to nothing of their spread."""
    rng = np.random.default_rng(0)
    n, spread = 400, 2.0
    runs = {number: cells + spread * rng.normal(size=(1, 2, 1)) for number in range(n)}
    runs["best"] = np.tile(cells, (1, 2, 1))
    errors = paired_errors(runs, "best")
    assert errors.pop("best") == 0
    assert list(errors) == list(range(n))
    of_one = np.array([paired_error(runs[number], runs["best"]) for number in range(n)])
    assert np.mean(of_one < 0.2 * spread / np.sqrt(2)) > 0.1
    np.testing.assert_allclose(list(errors.values()), spread / np.sqrt(2), rtol=0.15)
    # A setting that trains wildly makes no other one's error.
    wild = runs | {0: cells + np.array([[[-500.0], [500.0]]])}
    assert paired_errors(wild, "best")[1] == pytest.approx(errors[1], rel=0.02)
    # With two alone, and with one fold, nothing is to be pooled.
    two = {0: runs[0], "best": runs["best"]}
    assert paired_errors(two, "best")[0] == pytest.approx(of_one[0] / np.sqrt(0.4549), rel=1e-3)
    one_fold = {name: loss[:, :1] for name, loss in two.items()}
    assert paired_errors(one_fold, "best")[0] == pytest.approx(0, abs=1e-9)
    assert paired_errors({"best": cells[None, None]}, "best") == {"best": 0}


@pytest.mark.parametrize(
    ("behind", "tolerance", "chosen"),
    [(0.05, 1.0, "first"), (5.0, 1.0, "second"), (0.05, 0.0, "second"), (-5.0, 1.0, "first")],
)
def test_the_first_of_the_list_that_is_within_the_error_is_chosen(cells, behind, tolerance, chosen):
    first = cells + behind + noise(1.0, 1) - noise(1.0, 1).mean()
    found = choose(
        [scores("first", first, first), scores("second", cells, cells)],
        scores("gene means", cells + 50, cells + 50),
        ChooseOptions(tolerance=tolerance),
    )
    assert found.chosen == chosen
    assert found.best_model == ("first" if behind < 0 else "second")
    assert found.beaten_by == ()


def test_seeds_of_a_model_are_one_predictor_and_the_ranks_are_by_the_mean(cells):
    tables = [
        scores("a", cells + 4, cells + 4, seed=0),
        scores("a", cells, cells, seed=1),
        scores("b", cells + 3, cells + 3),
    ]
    found = choose(tables, scores("gene means", cells - 9, cells - 9, seed=None))
    assert [one.name for one in found.predictors] == ["gene means", "a", "b"]
    best, a, b = found.predictors
    assert (a.n_seeds, b.n_seeds, a.is_model, best.is_model) == (2, 1, True, False)
    assert a.loss == pytest.approx(cells.mean() + 2)
    assert (a.difference, b.difference, best.difference) == pytest.approx((11, 12, 0))
    assert best.from_chosen == pytest.approx(-11)
    assert a.from_chosen == a.from_chosen_error == best.error == 0
    assert a.poisson_per_entry == pytest.approx(a.loss / 10)
    assert found.n_folds == 2
    # Better by 11, with an error of 2 / sqrt(3): that is said.
    assert found.beaten_by == ("gene means",)


def test_the_loss_of_a_model_is_that_of_all_its_seeds_together(cells):
    tables = [
        scores("a", cells + 4, cells + 4, seed=0),
        scores("a", cells, cells, seed=1),
        scores("b", cells + 1, cells + 1),
    ]
    baseline = scores("PCA", cells - 1, cells - 1, seed=None)
    assert choose(tables, baseline).best_model == "b"
    together = scores("a", cells - 3, cells - 3, seed=None)
    found = choose(tables, baseline, ensembles=[together])
    assert [one.name for one in found.predictors] == ["a", "PCA", "b"]
    a, pca, b = found.predictors
    assert (a.n_seeds, a.together, b.together) == (2, True, False)
    assert (found.best_model, found.chosen) == ("a", "a")
    assert (pca.from_chosen, b.from_chosen) == pytest.approx((2, 4))
    # How trainings differ is known from the seeds alone: differences of 5, 5, 1, 1.
    assert pca.from_chosen_error == pytest.approx(np.sqrt(16 / 3 / 4))
    (alone,) = found.seeds_apart
    assert (alone.name, alone.n_seeds, alone.together) == ("a", 2, False)
    assert (alone.loss, alone.from_chosen) == pytest.approx((cells.mean() + 2, 5))
    with pytest.raises(InputError, match="all seeds of 'a' are scored together, and none"):
        choose(tables[2:], baseline, ensembles=[together])
    other = scores("a", cells, seed=None, digest="b")
    with pytest.raises(InputError, match="the scores of a are of other held-out molecules"):
        choose(tables, baseline, ensembles=[other])


def test_a_baseline_that_may_be_better_by_chance_does_not_beat(cells):
    rival = cells - 0.1 + noise(1.0, 1) - noise(1.0, 1).mean()
    found = choose([scores("m", cells, cells)], scores("PCA 10", rival, rival))
    assert found.predictors[0].name == "PCA 10"
    assert found.beaten_by == ()


def test_the_loss_is_the_one_that_was_asked_for(cells):
    tables = []
    for name, poisson, nb in (("a", 1.0, 2.0), ("b", 2.0, 1.0)):
        table = scores(name, cells)
        fold = fold_score(cells + poisson, cells + nb)
        tables.append(
            Scores(**vars(table) | {"predictors": (Predictor(name=name, seed=0, folds=(fold,)),)})
        )
    baseline = scores("gene means", cells + 9)
    assert choose(tables, baseline).chosen == "a"
    assert choose(tables, baseline, ChooseOptions(loss="nb")).chosen == "b"


def test_scores_on_other_molecules_are_refused(cells):
    with pytest.raises(InputError, match="the scores of m are of other held-out molecules"):
        choose([scores("m", cells, digest="b")], scores("gene means", cells))
