"""A model is trained without a fold and scored on it, by means of all its parts."""

import numpy as np
import pytest
from builders import brief_options, normalized_of, panels_of

from scpress.config.options import SimulateOptions, ThinOptions
from scpress.counts.measured import measured_in
from scpress.errors import InputError
from scpress.model.molecules import score_means
from scpress.steps import score as step
from scpress.steps.baselines import predict_gene_means, score_baselines
from scpress.steps.score import held_out_folds, score, without_fold
from scpress.steps.simulate import simulate
from scpress.steps.thin import thin
from scpress.steps.train import train
from scpress.training.checkpoints import Checkpoint

PCA = brief_options(preset="pca", n_latent=3)


@pytest.fixture(scope="module")
def folds(simulated):
    return thin(simulated, normalized_of(simulated))


def test_each_training_lacks_the_molecules_it_is_scored_on(simulated, folds, monkeypatch):
    normalized = normalized_of(simulated)
    seen = []

    def noted(counts, normalized, options, **keywords):
        seen.append((counts, normalized, options, keywords))
        return train(counts, normalized, options, **keywords)

    monkeypatch.setattr(step, "train", noted)
    table = score(simulated, normalized, folds, PCA, name="mine", seed=5, device="cpu")
    variable = normalized.var["highly_variable"].to_numpy()
    assert len(seen) == 2
    for k, (counts, size, options, keywords) in enumerate(seen):
        molecules = folds.X[k * 600 : (k + 1) * 600]
        assert (counts.X + molecules != simulated.X[:, variable]).nnz == 0
        assert counts.obs.equals(simulated.obs)
        left = normalized.obs["library_size"].to_numpy()
        left = left - folds.obs["library_size"].to_numpy()[k * 600 : (k + 1) * 600]
        np.testing.assert_array_equal(size.obs["library_size"], left)
        assert size.var["highly_variable"].all()
        assert options.allow_failed_fit
        assert keywords["seed"] == 5
    (predictor,) = table.predictors
    assert (predictor.name, predictor.seed, len(predictor.folds)) == ("mine", 5, 2)
    assert table.digest == folds.uns["scpress"]["thin"]["digest"]
    assert (table.n_cells, table.n_genes) == (600, 200)
    assert table.n_molecules == folds.X.sum()


@pytest.mark.parametrize("preset", ["scvi", "pca"])
def test_means_are_those_of_the_molecules_of_training(simulated, folds, preset):
    normalized = normalized_of(simulated)
    fold = next(held_out_folds(simulated, normalized, folds))
    options = brief_options(
        preset=preset, n_latent=3, allow_failed_fit=True, batch_key="sample", kernels="torch"
    )
    left = without_fold(simulated, fold, folds.var_names)
    model, _ = train(*left, options, device="cpu")
    predict = step.means_of(model, fold, left)
    mu = np.concatenate([predict(slice(0, 400)), predict(slice(400, 600))])
    seen = fold.training.X.toarray()
    assert mu.sum() / seen.sum() == pytest.approx(1, abs=0.05)
    block = model.cells(
        fold.training.X,
        model.size_factors(fold.library_size),
        model.batch_codes(simulated.obs),
    )
    z = model.encode(block)[0]
    plain = model.mean_counts(block, z)
    if preset == "scvi":
        np.testing.assert_allclose(mu, plain * (1 - model.extra_zero_fraction(block, z)), rtol=1e-4)
        assert mu.sum() < plain.sum()
    else:
        # An exponential of a mean logarithm is too small, and no mean is next to nothing.
        assert plain.sum() < 0.9 * seen.sum()
        np.testing.assert_allclose(mu.sum(axis=0), seen.sum(axis=0), rtol=0.1)
        size = model.size_factors(fold.library_size)
        rate = seen.sum(axis=0) / size.sum()
        assert (mu >= 0.0999 * np.outer(size, rate)).all()


def test_a_network_that_learned_types_is_better_than_one_that_did_not():
    options = SimulateOptions(
        n_cells=500, n_genes=100, n_types=3, marker_fraction=0.2, type_fold_change=8.0
    )
    counts = simulate(options, seed=0)
    normalized = normalized_of(counts, n_genes=100)
    folds = thin(counts, normalized, ThinOptions(folds=1))
    losses = {}
    for steps in (1, 300):
        quick = brief_options(preset="scvi", hidden=(16,), max_steps=steps, kernels="torch")
        table = score(counts, normalized, folds, quick, name="m", seed=0, device="cpu")
        losses[steps] = np.mean(table.predictors[0].folds[0].poisson)
    assert losses[300] < losses[1] - 5


def test_each_fold_has_a_checkpoint_of_its_own(simulated, folds, tmp_path):
    made = []

    def checkpoint():
        made.append(Checkpoint(tmp_path, minutes=0))
        return made[-1]

    options = brief_options(preset="dca", hidden=(8,), max_steps=20, kernels="torch")
    arguments = (simulated, normalized_of(simulated), folds, options)
    first = score(*arguments, name="m", seed=0, device="cpu", checkpoint=checkpoint)
    assert len({one.folder for one in made}) == 2
    assert all((one.folder / "current.safetensors").exists() for one in made)
    # The same again from where it stopped, which is its end.
    again = score(*arguments, name="m", seed=0, device="cpu", checkpoint=checkpoint)
    assert again == first == score(*arguments, name="m", seed=0, device="cpu")


def test_folds_of_other_counts_are_refused(simulated, folds):
    normalized = normalized_of(simulated)
    fewer = simulated[:300]
    with pytest.raises(InputError, match="not the same ones"):
        next(held_out_folds(fewer, normalized_of(fewer), folds))
    with pytest.raises(InputError, match="150 genes and folds 200"):
        next(held_out_folds(simulated, normalized_of(simulated, n_genes=150), folds))
    other = simulated.copy()
    other.X = other.X.copy()
    other.X.data[:] = 1
    with pytest.raises(InputError, match="molecules that the counts do not"):
        next(held_out_folds(other, normalized, folds))


def test_what_was_not_measured_is_in_no_score(simulated):
    counts, normalized = panels_of(simulated)
    folds = thin(counts, normalized)
    fold = next(held_out_folds(counts, normalized, folds))
    mask = fold.mask(slice(0, 600))
    np.testing.assert_array_equal(mask, measured_in(counts).mask())
    mean = np.full(mask.shape, 0.5)
    one, other = (
        score_means(fold, lambda rows, mean=mean: mean[rows])
        for mean in (mean, np.where(mask, mean, 99.0))
    )
    assert one == other
    assert fold.entries().sum() == mask.sum()
    assert np.sum(fold.entries() * one.expected_zeros) < mask.sum()
    # Sizes are of genes that all measured, and what is left says what was measured.
    everywhere = mask.all(axis=0)
    np.testing.assert_array_equal(
        folds.obs["library_size"][:600], folds.X[:600][:, everywhere].sum(axis=1).A1
    )
    left, _ = without_fold(counts, fold, folds.var_names)
    np.testing.assert_array_equal(measured_in(left).mask(), mask)


def test_gene_means_alone_are_the_baseline_where_genes_were_not_measured(simulated, caplog):
    counts, normalized = panels_of(simulated)
    folds = thin(counts, normalized)
    with caplog.at_level("INFO", logger="scpress"):
        table = score_baselines(counts, normalized, folds)
    assert [one.name for one in table.predictors] == ["gene means"]
    assert "PCA and NMF, which would take them for zeros, are left out" in caplog.text
    fold = next(held_out_folds(counts, normalized, folds))
    mean = predict_gene_means(fold)(slice(0, 600))
    mask, seen = fold.mask(slice(0, 600)), fold.seen.X.toarray()
    np.testing.assert_allclose((mean * mask).sum(axis=1), np.maximum(seen.sum(axis=1), 1))
