"""Every baseline is fitted without a fold, named, and better than nothing."""

import numpy as np
import pytest
from builders import normalized_of

from scpress.config.options import BaselinesOptions, ThinOptions
from scpress.steps import baselines as step
from scpress.steps.baselines import score_baselines
from scpress.steps.thin import thin

OPTIONS = BaselinesOptions(pca_ranks=(3, 2, 3, 5000), nmf_ranks=(2, 5000))


@pytest.fixture(scope="module")
def table(simulated):
    normalized = normalized_of(simulated)
    folds = thin(simulated, normalized, ThinOptions(folds=2, fraction=0.3))
    return score_baselines(simulated, normalized, folds, OPTIONS)


def test_every_rank_that_can_be_is_there_once(table):
    assert [one.name for one in table.predictors] == [
        "gene means",
        "PCA 2",
        "PCA 3",
        "PCA of Pearson residuals 2",
        "PCA of Pearson residuals 3",
        "NMF 2",
    ]
    assert all(one.seed is None and len(one.folds) == 2 for one in table.predictors)


def test_what_knows_the_types_is_better_than_the_gene_means(table):
    loss = {one.name: np.mean([fold.poisson for fold in one.folds]) for one in table.predictors}
    assert max(loss, key=loss.get) == "gene means"
    assert min(loss[name] for name in loss if name.endswith(" 2")) < loss["gene means"] - 10


def test_the_means_have_the_molecules_of_training(simulated, table):
    # Of gene means alone zeros are expected where there are some, as the counts are NB.
    means = table.predictors[0].folds[0]
    np.testing.assert_allclose(means.expected_zeros, table.observed_zeros, atol=0.05)


def test_no_baseline_is_fitted_to_what_it_predicts(simulated, monkeypatch):
    normalized = normalized_of(simulated)
    folds = thin(simulated, normalized, ThinOptions(folds=1))
    given = {}

    def note(name):
        fit = getattr(step, name)

        def noted(first, *others):
            given[name] = getattr(first, "X", first)
            return fit(first, *others)

        monkeypatch.setattr(step, name, noted)

    names = ("fit_gene_shares", "fit_pca_coders", "fit_pearson_pca", "fit_nmf")
    for name in names:
        note(name)
    score_baselines(simulated, normalized, folds, BaselinesOptions(pca_ranks=(2,), nmf_ranks=(2,)))
    left = simulated.X[:, np.isin(simulated.var_names, folds.var_names)] - folds.X
    assert all((given[name] != left).nnz == 0 for name in names)
