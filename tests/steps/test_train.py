"""What training is given and says: split by sample, divided rows, the verdict, theta."""

import numpy as np
import pandas as pd
import pytest
from builders import modelled, normalized_of, untrained
from scipy import sparse

from scpress import settings
from scpress.config.options import TrainOptions
from scpress.errors import FitFailedError, InputError
from scpress.steps import train as step
from scpress.steps.train import describe_theta, divide_rows, gene_theta, judge_fit, train
from scpress.tables.training import HeldOut
from scpress.training.loop import Fit

PCA = TrainOptions(preset="pca", n_latent=5, batch_key=None)


@pytest.fixture(scope="module")
def fitted(simulated):
    return train(simulated, normalized_of(simulated), PCA, seed=3)


def test_model_knows_its_genes_seed_and_cells(simulated, fitted):
    model, history = fitted
    normalized = normalized_of(simulated)
    variable = normalized.var["highly_variable"].to_numpy()
    assert model.genes == simulated.var_names[variable].tolist()
    assert model.median_library_size == np.median(normalized.obs["library_size"])
    record = model.record
    assert record.seed == 3
    assert record.n_validation_cells == len(model.validation_cells) == 60
    assert record.n_training_cells == 540
    assert record.held_out.n_cells == 60
    assert isinstance(history, pd.DataFrame)
    assert len(history) > 0


def test_cells_are_held_out_by_sample_whatever_the_models_batch(simulated, fitted):
    counts = simulated.copy()
    counts.obs["sample"] = np.where(np.arange(600) < 100, "small", "large")
    model, _ = train(counts, normalized_of(counts), PCA)
    held_out = counts.obs["sample"].iloc[model.validation_cells]
    assert (held_out == "small").sum() == 10
    # Without samples they are one stratum.
    bare = simulated.copy()
    del bare.obs["sample"]
    alone, _ = train(bare, normalized_of(bare), PCA)
    assert len(alone.validation_cells) == 60


@pytest.mark.parametrize("chunk_bytes", [1_000, 10**8])
@pytest.mark.parametrize("memory_mb", [0, 1024])
def test_divided_rows_are_those_of_the_matrix(monkeypatch, chunk_bytes, memory_mb):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    rng = np.random.default_rng(0)
    X = rng.poisson(0.7, (90, 12))
    columns = np.array([7, 0, 3])
    held_out = np.sort(rng.permutation(90)[:20])
    kept = np.setdiff1d(np.arange(90), held_out)
    parts = divide_rows(sparse.csr_matrix(X), columns, (kept, held_out), memory_mb)
    for part, rows in zip(parts, (kept, held_out), strict=True):
        np.testing.assert_array_equal(part.toarray(), X[np.ix_(rows, columns)])


def _held_out(nll, reconstruction):
    return HeldOut(
        n_cells=5, n_draws=100, nll=nll, reconstruction_nll=reconstruction, likelihood="zinb"
    )


FIT = Fit(history=[{"step": 20}, {"step": 40}], best_step=20, best_loss=7.5, stopped="patience")


@pytest.mark.parametrize(
    ("nll", "reconstruction", "judged"), [(9.0, 20.0, 9.0), (None, 8.0, 8.0), (0.0, 20.0, 0.0)]
)
def test_a_fit_is_judged_by_its_evidence_where_there_is_one(nll, reconstruction, judged):
    verdict = judge_fit(FIT, _held_out(nll, reconstruction), 10.0)
    assert (verdict.status, verdict.score) == ("ok", judged)
    assert (verdict.best_step, verdict.n_steps, verdict.stopped) == (20, 40, "patience")
    assert verdict.gene_mean_nll == 10.0


@pytest.mark.parametrize("score", [10.0, 10.5, float("nan")])
def test_a_fit_no_better_than_the_gene_means_fails(score, caplog):
    held_out = _held_out(score, 0.0)
    with pytest.raises(FitFailedError, match=r"the fit failed.*gives 10\.000"):
        judge_fit(FIT, held_out, 10.0)
    assert judge_fit(FIT, held_out, 10.0, allow_failed=True).status == "failed"
    assert "allow_failed_fit is set" in caplog.text


def test_theta_is_the_geometric_mean_over_batches(simulated):
    data = modelled(simulated)
    model = untrained(data, TrainOptions(dispersion="gene-batch", batch_key="b"), ("x", "y"))
    log_theta = model.network.log_theta
    log_theta.data[:] = 0.0
    log_theta.data[0, 0], log_theta.data[1, 0] = np.log(2.0), np.log(8.0)
    theta = gene_theta(model)
    assert theta[0] == pytest.approx(4.0)
    assert theta[1:] == pytest.approx(1.0)


def test_theta_of_every_cell_is_the_geometric_mean_over_cells(simulated):
    data = modelled(simulated)
    model = untrained(data, TrainOptions(dispersion="gene-cell", batch_key=None))
    cells = data.cells_of(model)
    expected = np.exp(model.log_theta(cells, model.encode(cells)[0]).mean(axis=0))
    np.testing.assert_allclose(gene_theta(model, data), expected, rtol=1e-4)


def test_genes_at_the_bound_of_theta_are_named(simulated):
    data = modelled(simulated)
    model = untrained(data, TrainOptions(batch_key=None))
    log_theta = model.network.log_theta
    log_theta.data[:] = np.log(3.0)
    log_theta.data[0, 4] = step.LOG_THETA_MIN
    log_theta.data[0, 7] = step.LOG_THETA_MAX
    described = describe_theta(model, data)
    assert described.genes_at_bound == ("4", "7")
    assert described.median == pytest.approx(3.0)
    assert described.min == pytest.approx(np.exp(step.LOG_THETA_MIN), rel=1e-4)
    assert described.max == pytest.approx(np.exp(step.LOG_THETA_MAX), rel=1e-4)


def test_a_model_without_counts_has_no_theta(fitted):
    assert fitted[0].record.theta is None


def test_parts_that_do_not_belong_together_are_refused(simulated):
    normalized = normalized_of(simulated)
    with pytest.raises(InputError, match="600 cells and normalized 599"):
        train(simulated, normalized[1:].copy(), PCA)
    with pytest.raises(InputError, match="300 genes and normalized 300, not the same"):
        train(simulated, normalized[:, ::-1].copy(), PCA)
    few = normalized.copy()
    few.var["highly_variable"] = np.arange(300) == 5
    with pytest.raises(InputError, match="at least 2 genes; found 1 highly variable"):
        train(simulated, few, PCA)


def test_a_large_held_out_set_is_scored_on_a_draw_that_is_the_same_each_time(
    simulated, fitted, monkeypatch
):
    # The default was bound when the module was read; its constant is not looked at again.
    monkeypatch.setattr(step._draw, "__defaults__", (25,))
    first, second = (
        train(simulated, normalized_of(simulated), PCA, seed=seed)[0] for seed in (0, 1)
    )
    assert first.record.held_out.n_cells == 25
    assert first.record.n_validation_cells == 60
    assert first.record.held_out == second.record.held_out
    assert first.record.held_out != fitted[0].record.held_out
