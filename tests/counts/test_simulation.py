import numpy as np
import pytest
from scipy import sparse

from scpress.cli import main
from scpress.config.options import SimulateOptions
from scpress.counts import simulation
from scpress.counts.simulation import simulate_counts
from scpress.io.h5ad import read_h5ad
from scpress.steps.simulate import simulate


def test_counts_are_negative_binomial_with_the_stated_mean_and_dispersion():
    options = SimulateOptions(
        n_cells=20_000, n_genes=40, n_types=1, library_size_sd=0.0, mean_library_size=200, theta=2.0
    )
    truth = simulate_counts(options, seed=0)
    counts = truth.counts.toarray()
    rho = truth.baseline * truth.type_fold_change[0]
    mu = 200 * rho / rho.sum()
    # 20,000 draws: 2 % of the mean and 10 % of the variance are more than 4 standard errors.
    np.testing.assert_allclose(counts.mean(axis=0), mu, rtol=0.05)
    np.testing.assert_allclose(counts.var(axis=0), mu + mu**2 / 2.0, rtol=0.15)


def test_an_extra_zero_has_the_stated_probability():
    options = SimulateOptions(
        n_cells=4000, n_genes=30, n_types=1, mean_library_size=3000, zero_inflation=0.3, theta=50.0
    )
    counts = simulate_counts(options, seed=0).counts
    # 100 molecules per gene: a zero of the NB itself is rare.
    expressed = np.argsort(-np.asarray(counts.sum(axis=0)).ravel())[:5]
    zeros = 1 - (counts[:, expressed] > 0).mean()
    assert zeros == pytest.approx(0.3, abs=0.02)


def test_fold_changes_show_in_the_counts():
    options = SimulateOptions(
        n_cells=3000, n_genes=200, n_types=2, n_subtypes=2, n_batches=2, subtype_fold_change=3.0
    )
    truth = simulate_counts(options, seed=1)
    scaled = truth.counts.toarray() / truth.library_size[:, None]
    in_first = truth.cell_type == 0
    means = [scaled[in_first & (truth.subtype == s)].mean(axis=0) for s in (0, 1)]
    measured = means[0] / means[1]
    expected = truth.subtype_fold_change[0] / truth.subtype_fold_change[1]
    # The profiles are normalized, so only ratios of genes are known.
    measured *= np.median(expected / measured)
    assert np.abs(np.log(measured / expected)).max() < 0.4
    assert set(truth.subtype[~in_first]) == {0}
    assert ((truth.subtype_fold_change > 1).sum(axis=0) <= 1).all()
    assert (truth.batch_fold_change != 1).any()


def test_same_seed_same_counts_and_another_seed_others():
    options = SimulateOptions(n_cells=50, n_genes=30)
    first = simulate_counts(options, seed=3).counts
    assert (first != simulate_counts(options, seed=3).counts).nnz == 0
    assert (first != simulate_counts(options, seed=4).counts).nnz > 0


def test_blocks_of_cells_have_streams_of_their_own(monkeypatch):
    monkeypatch.setattr(simulation, "_BLOCK_ENTRIES", 10 * 30)
    options = SimulateOptions(n_cells=45, n_genes=30, n_types=1, library_size_sd=0.0)
    counts = simulate_counts(options, seed=0).counts
    assert counts.shape == (45, 30)
    assert counts.has_sorted_indices
    assert (counts[:10] != counts[10:20]).nnz > 0


def test_every_cell_of_every_block_has_its_own_size_and_profile(monkeypatch):
    monkeypatch.setattr(simulation, "_BLOCK_ENTRIES", 10 * 60)
    options = SimulateOptions(
        n_cells=95,
        n_genes=60,
        n_types=3,
        n_subtypes=2,
        n_batches=2,
        theta=1e6,
        mean_library_size=20_000,
        library_size_sd=1.0,
    )
    truth = simulate_counts(options, seed=2)
    # One cell at a time, as the docstring says it; so large a theta leaves a Poisson.
    for cell in range(95):
        profile = truth.baseline * truth.type_fold_change[truth.cell_type[cell]]
        profile = profile * truth.batch_fold_change[truth.batch[cell]]
        if truth.cell_type[cell] == 0:
            profile = profile * truth.subtype_fold_change[truth.subtype[cell]]
        mu = truth.library_size[cell] * profile / profile.sum()
        counts = truth.counts[cell].toarray().ravel()
        assert ((counts - mu) ** 2 / mu).mean() < 3  # 1 is expected, 60 genes scatter by 0.2
    assert len(set(truth.subtype[truth.cell_type == 0])) == 2


def test_types_are_balanced_and_batches_are_all_there():
    options = SimulateOptions(n_cells=31, n_genes=5, n_types=3, n_batches=2)
    truth = simulate_counts(options, seed=0)
    assert sorted(np.bincount(truth.cell_type)) == [10, 10, 11]
    assert set(truth.batch) == {0, 1}
    assert (np.diff(truth.cell_type) < 0).any()  # shuffled


def test_two_types_share_no_marker_while_genes_last():
    options = SimulateOptions(n_cells=9, n_genes=40, n_types=4, marker_fraction=0.25)
    folds = simulate_counts(options, seed=0).type_fold_change
    assert ((folds > 1).sum(axis=1) == 10).all()
    assert ((folds > 1).sum(axis=0) == 1).all()
    more = simulate_counts(
        SimulateOptions(n_cells=9, n_genes=40, n_types=5, marker_fraction=0.25), seed=0
    ).type_fold_change
    assert ((more > 1).sum(axis=1) == 10).all()
    assert set(np.unique(more)) == {1.0, options.type_fold_change}


def test_one_subtype_and_one_batch_are_none():
    truth = simulate_counts(SimulateOptions(n_cells=20, n_genes=10), seed=0)
    assert (truth.subtype_fold_change == 1).all()
    assert (truth.batch_fold_change == 1).all()
    assert truth.subtype_fold_change.shape == truth.batch_fold_change.shape == (1, 10)
    assert (truth.subtype == 0).all()
    assert truth.baseline.sum() == pytest.approx(1)


def test_step_carries_the_truth():
    adata = simulate(SimulateOptions(n_cells=80, n_genes=20, n_subtypes=2, n_batches=2), seed=0)
    assert sparse.issparse(adata.X)
    assert adata.X.dtype == np.int32
    assert set(adata.obs["label"]) == {"type1", "type2", "type3", "type4"}
    assert set(adata.obs["true_subtype"]) == {"type1.1", "type1.2", "type2", "type3", "type4"}
    assert set(adata.obs["sample"]) == {"batch1", "batch2"}
    assert adata.uns["simulation"]["type_fold_change"].shape == (4, 20)
    assert (adata.var["true_theta"] == 5.0).all()


def test_verb_writes_a_file(tmp_path):
    path = tmp_path / "simulated.h5ad"
    assert main(["simulate", "--seed", "2", "--n-cells", "30", "--output", str(path)]) == 0
    read = read_h5ad(path)
    assert read.n_obs == 30
    assert read.uns["simulation"]["seed"] == 2


def test_smallest_simulation():
    counts = simulate_counts(SimulateOptions(n_cells=1, n_genes=1), seed=0).counts
    assert counts.shape == (1, 1)
