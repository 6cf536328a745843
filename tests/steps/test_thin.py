"""Folds of real and simulated counts: they add up, and are independent given the truth."""

import anndata as ad
import numpy as np
import pytest
from builders import normalized_of
from scipy import sparse

from scpress import settings
from scpress.config.options import SimulateOptions, ThinOptions
from scpress.counts.simulation import simulate_counts
from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError
from scpress.steps.simulate import simulate
from scpress.steps.thin import group_cells, thin
from scpress.tables.results import FOLDS


@pytest.fixture(scope="module")
def folds(simulated):
    return thin(simulated, normalized_of(simulated))


def test_folds_are_parts_of_the_counts_of_all_genes(simulated, folds):
    normalized = normalized_of(simulated)
    variable = normalized.var["highly_variable"].to_numpy()
    FOLDS.require(folds, "folds")
    assert folds.var_names.tolist() == simulated.var_names[variable].tolist()
    assert folds.obs["fold"].tolist() == [1] * 600 + [2] * 600
    assert folds.obs_names[600] == f"{simulated.obs_names[0]}:2"
    X = simulated.X[:, variable]
    first, second = folds.X[:600], folds.X[600:]
    assert (X - first - second).min() >= 0
    for fold in (first, second):
        assert fold.sum() / X.sum() == pytest.approx(0.2, abs=0.005)
    assert (first != second).nnz > 1000
    # The library is that of all genes, of which two thirds are modelled.
    library = folds.obs["library_size"].to_numpy()[:600]
    assert library.sum() / simulated.X.sum() == pytest.approx(0.2, abs=0.005)
    assert (library >= np.asarray(first.sum(axis=1)).ravel()).all()
    assert library.sum() > first.sum()


def test_the_same_seed_gives_the_same_folds_and_another_one_others(simulated, folds):
    normalized = normalized_of(simulated)
    record = folds.uns["scpress"]["thin"]
    again = thin(simulated, normalized)
    other = thin(simulated, normalized, ThinOptions(seed=1))
    assert (again.X != folds.X).nnz == 0
    assert again.uns["scpress"]["thin"] == record
    assert other.uns["scpress"]["thin"]["digest"] != record["digest"]
    assert (record["n_folds"], record["fraction"], record["seed"]) == (2, 0.2, 0)


def test_residuals_given_the_truth_do_not_correlate_though_types_differ():
    options = SimulateOptions(
        n_cells=1500, n_genes=500, n_types=4, theta=2.0, mean_library_size=9000, marker_fraction=0.2
    )
    truth = simulate_counts(options, seed=0)
    rho = truth.baseline * truth.type_fold_change[truth.cell_type]
    mu = truth.library_size[:, None] * rho / rho.sum(axis=1, keepdims=True)
    counts = simulate(options, seed=0)
    found = thin(counts, normalized_of(counts, n_genes=500))
    first = found.X[:1500].toarray()
    rest = counts.X.toarray() - first
    one, two = (first - 0.2 * mu) / np.sqrt(mu), (rest - 0.8 * mu) / np.sqrt(mu)
    found = [np.corrcoef(one[:, j], two[:, j])[0, 1] for j in range(500)]
    # The standard error of the mean is 0.001; over all cells markers would have -0.2, by a
    # binomial all genes 0.4. Groups that are found take a little of the noise for types.
    assert abs(np.mean(found)) < 0.012
    assert abs(np.mean(np.array(found)[truth.type_fold_change.max(axis=0) > 1])) < 0.02


def test_cells_are_grouped_by_what_they_express(simulated):
    size_factor = size_factors(library_sizes(simulated.X))
    group = group_cells(simulated.X, size_factor, seed=0)
    assert sorted(np.unique(group)) == list(range(group.max() + 1))
    label = simulated.obs["label"].to_numpy()
    of_group = [label[group == one].tolist() for one in range(group.max() + 1)]
    assert sum(max(map(one.count, one)) for one in of_group) > 0.95 * 600
    assert group.max() + 1 == 12  # one for 50 cells
    assert group_cells(simulated.X[:99], size_factor[:99], seed=0).max() == 0


@pytest.mark.parametrize("chunk_bytes", [20_000])
def test_blocks_of_cells_have_molecules_of_their_own(simulated, monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    found = thin(simulated, normalized_of(simulated))
    assert (
        simulated.X[:, np.isin(simulated.var_names, found.var_names)] - found.X[:600]
    ).min() >= 0
    blocks = {tuple(found.X[i].toarray().ravel()) for i in range(600)}
    assert len(blocks) > 590


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (ThinOptions(folds=0), "folds is 0, which divides nothing"),
        (ThinOptions(folds=6), "6 folds of 0.2 of the molecules are more than all of them"),
    ],
)
def test_folds_that_cannot_be_are_refused(simulated, options, says):
    with pytest.raises(InputError, match=says):
        thin(simulated, normalized_of(simulated), options)


def test_all_molecules_may_be_in_folds(simulated):
    found = thin(simulated, normalized_of(simulated), ThinOptions(folds=4, fraction=0.25))
    total = sum(found.X[k * 600 : (k + 1) * 600] for k in range(4))
    assert (total != simulated.X[:, np.isin(simulated.var_names, found.var_names)]).nnz == 0


def test_cells_that_are_alike_are_divided_by_a_chance_of_their_own_and_of_the_seed(monkeypatch):
    monkeypatch.setattr(settings, "chunk_bytes", 4000)  # a few blocks
    X = sparse.csr_matrix(np.full((60, 40), 50, dtype=np.int32))
    counts = ad.AnnData(X)
    normalized = normalized_of(counts, n_genes=40)
    first, other = (thin(counts, normalized, ThinOptions(seed=seed)).X for seed in (0, 1))
    assert len(np.unique(first.toarray(), axis=0)) == 120
    assert (first != other).nnz > 1000
