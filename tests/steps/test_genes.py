"""Genes are chosen by held-out molecules of all genes, which neither ranking nor training sees."""

import anndata as ad
import numpy as np
import pytest
from builders import brief_options
from scipy import sparse

from scpress.config.genes import FLAVORS, GenesOptions
from scpress.config.options import NormalizeOptions, SimulateOptions
from scpress.errors import InputError
from scpress.model.molecules import hold_out
from scpress.steps import genes as step
from scpress.steps.genes import all_means, choose_genes, choose_smallest, list_candidates
from scpress.steps.simulate import simulate


@pytest.mark.parametrize(
    ("n_vars", "options", "ranking", "expected", "left_out"),
    [
        (50, {"numbers": (20, 10, 20)}, {"n_top_genes": "auto"}, [10, 20, 50], []),
        (15, {"numbers": (10, 20)}, {"n_top_genes": "auto"}, [10, 15], []),
        (50, {"numbers": (10, 40), "max_genes": 30}, {"n_top_genes": "auto"}, [10], [40, 50]),
        (50, {}, {"n_top_genes": 30}, [30], []),
        (50, {}, {"n_top_genes": 90}, [50], []),
        (50, {}, {"n_top_genes": None}, [50], []),
    ],
)
def test_numbers_are_tried_up_to_all_genes_and_those_beyond_the_limit_named(
    n_vars, options, ranking, expected, left_out
):
    given = NormalizeOptions(flavor="deviance", **ranking)
    found = list_candidates(n_vars, GenesOptions(**options), given)
    assert found == ([(n, "deviance") for n in expected], left_out)


def test_all_rankings_are_tried_but_with_all_genes_one():
    asked = NormalizeOptions(n_top_genes="auto", flavor="auto")
    found, _ = list_candidates(50, GenesOptions(numbers=(10,)), asked)
    assert found == [*((10, flavor) for flavor in FLAVORS), (50, FLAVORS[0])]


def test_a_limit_below_all_numbers_is_refused():
    options = GenesOptions(numbers=(20, 30), max_genes=10)
    with pytest.raises(InputError, match=r"20 genes, .* more than max_genes \(10\)\. Raise"):
        list_candidates(50, options, NormalizeOptions(n_top_genes="auto"))


def _losses(mean, *, noise=0.0, seed=0):
    chance = np.random.default_rng(seed).normal(size=(1, 2, 100))
    return mean + noise * (chance - chance.mean())


def test_the_fewest_genes_within_an_error_are_chosen_with_their_best_ranking():
    losses = {
        (10, "a"): _losses(6.0),
        (20, "a"): _losses(5.03, noise=1.0, seed=1),
        (20, "b"): _losses(5.02, noise=1.0, seed=2),
        (40, "a"): _losses(5.0),
        (50, "a"): _losses(5.3),
    }
    assert choose_smallest(losses) == (20, "b")
    # The same differences without chance in them.
    sure = {one: _losses(found.mean()) for one, found in losses.items()}
    assert choose_smallest(sure) == (40, "a")


@pytest.fixture(scope="module")
def counts():
    """Two types by 40 genes; a cell loses all its molecules to a fold."""
    found = simulate(
        SimulateOptions(n_cells=200, n_genes=40, n_types=2, mean_library_size=300), seed=0
    )
    found.obs["sample"] = "one"
    return found


class _Uniform:
    """A model of two genes, both expected alike, whatever the cell."""

    genes = ("g0", "g2")


def test_genes_that_are_not_modelled_get_what_the_means_give(monkeypatch):
    X = sparse.csr_matrix(np.array([[6, 3, 0, 1], [0, 1, 2, 1], [0, 2, 0, 0]] * 10, dtype=np.int32))
    zero = sparse.csr_matrix(X.shape, dtype=np.int32)
    library = np.asarray(X.sum(axis=1)).ravel()
    fold = hold_out(X, zero, library, fraction=0.2, theta=np.full(4, 5.0))
    names = ad.AnnData(X)
    names.var_names = [f"g{number}" for number in range(4)]
    monkeypatch.setattr(step, "means_of", lambda *_: lambda rows: np.full((30, 2), 7.0)[rows])
    found = all_means(_Uniform(), fold, (names, None))(slice(0, 3))
    # Each part of a cell keeps its molecules; 6 of g1 and 2 of g3 among three cells.
    np.testing.assert_allclose(found[0], [3, 3, 3, 1], rtol=0.02)
    np.testing.assert_allclose(found[1], [1, 1.5, 1, 0.5], rtol=0.02)
    np.testing.assert_allclose(found.sum(axis=1), [10, 4, 2])
    # A cell without modelled molecules: not impossible, a tenth of the means'.
    assert 0 < found[2, 0] < 0.1 * 2 * 6 / 16 + 1e-9


def test_neither_ranking_nor_training_sees_the_fold_and_each_choice_answers_for_all_genes(
    counts, monkeypatch
):
    seen, judged = [], []
    rank, train, score = step.normalize, step.train, step.score_means

    def ranked(given, options):
        seen.append(("ranked", given.X.copy(), options.n_top_genes))
        return rank(given, options)

    def trained(given, normalized, options, **keywords):
        seen.append(("trained", given.X.copy(), int(normalized.var["highly_variable"].sum())))
        assert (options.likelihood, keywords["seed"]) == (None, 4)
        return train(given, normalized, options, **keywords)

    def scored(fold, predict):
        judged.append(fold)
        return score(fold, predict)

    for name, function in (("normalize", ranked), ("train", trained), ("score_means", scored)):
        monkeypatch.setattr(step, name, function)
    options = brief_options(
        kernels="torch", preset="scvi", hidden=(8,), n_latent=2, max_steps=40, likelihood="auto"
    )
    found = choose_genes(
        counts,
        GenesOptions(numbers=(10,), max_cells=150, fraction=0.3),
        NormalizeOptions(n_top_genes="auto", flavor="deviance"),
        options,
        name="m",
        seed=4,
        device="cpu",
    )
    assert [(what, n) for what, _, n in seen] == [
        ("ranked", 10),
        ("trained", 10),
        ("ranked", None),
        ("trained", 40),
    ] * 2
    for number, (_, X, _) in enumerate(seen):
        fold = judged[number // 2]
        assert X.shape == (150, 40) == fold.molecules.shape
        # What is left and the fold are of the same counts, and share nothing.
        whole = (X + fold.molecules).sum()
        assert X.sum() == pytest.approx(0.7 * whole, rel=0.02)
        assert (X != fold.training.X).nnz == 0
    first, second = judged[0].molecules, judged[2].molecules
    assert (first.multiply(second)).nnz < first.nnz
    assert (found.model, found.n_all, found.n_cells, found.n_folds) == ("m", 40, 150, 2)
    few, everything = found.candidates
    assert (few.n_genes, everything.n_genes, everything.share) == (10, 40, 1.0)
    assert 0.1 < few.share < 0.9
    assert min(few.difference, everything.difference) == 0


def test_more_folds_than_molecules_are_refused(counts):
    options = GenesOptions(folds=4, fraction=0.3)
    with pytest.raises(InputError, match=r"4 folds of 0\.3 of the molecules are more than all"):
        choose_genes(
            counts,
            options,
            NormalizeOptions(n_top_genes="auto"),
            brief_options(),
            name="m",
            seed=0,
        )
