"""The likelihood that counts were simulated with is found, and genes with extra zeros named."""

import numpy as np
import pytest
from builders import brief_options, normalized_of

from scpress.config.options import SimulateOptions, ThinOptions
from scpress.steps import likelihood as step
from scpress.steps.likelihood import choose_likelihood, inflated_genes
from scpress.steps.simulate import simulate
from scpress.steps.thin import thin
from scpress.steps.train import train
from scpress.training.checkpoints import Checkpoint


def chosen_of(counts, *, folds=1, checkpoint=lambda: None, **changes):
    n_genes = counts.n_vars
    normalized = normalized_of(counts, n_genes=n_genes)
    parts = thin(counts, normalized, ThinOptions(folds=folds))
    small = {"preset": "scvi", "hidden": (16,), "n_latent": 3, "max_steps": 150}
    options = brief_options(kernels="torch", **small | changes)
    return choose_likelihood(
        counts, normalized, parts, options, name="m", seed=3, device="cpu", checkpoint=checkpoint
    )


@pytest.mark.slow
@pytest.mark.parametrize(("zero_inflation", "expected"), [(0.0, "nb"), (0.2, "zinb")])
def test_the_likelihood_of_simulated_counts_is_found(zero_inflation, expected):
    counts = simulate(
        SimulateOptions(
            n_cells=400, n_genes=60, n_types=2, mean_library_size=800, zero_inflation=zero_inflation
        ),
        seed=0,
    )
    found = chosen_of(counts)
    assert found.chosen == expected
    assert (found.model, found.seed, found.n_folds, found.n_cells) == ("m", 3, 1, 400)
    assert [one.likelihood for one in found.candidates] == ["poisson", "nb", "zinb"]
    poisson, nb, zinb = found.candidates
    assert poisson.difference > 10 * poisson.error > 0
    own = nb if expected == "nb" else zinb
    assert own.difference == own.error == 0
    if expected == "nb":
        assert found.inflated_genes == ()
        assert abs(zinb.difference) < 1
    else:
        assert nb.difference > 5 * nb.error
        assert len(found.inflated_genes) > 15
        assert set(found.inflated_genes) < set(counts.var_names)


def test_each_likelihood_is_trained_on_each_fold_and_resumes_by_itself(
    simulated, monkeypatch, tmp_path
):
    seen = []

    def noted(counts, normalized, options, **keywords):
        seen.append((options.likelihood, counts.X.sum(), keywords["seed"]))
        return train(counts, normalized, options, **keywords)

    monkeypatch.setattr(step, "train", noted)
    made = []

    def checkpoint():
        made.append(Checkpoint(tmp_path, minutes=0))
        return made[-1]

    quick = {"preset": "dca", "max_steps": 20, "likelihood": "zinb"}
    found = chosen_of(simulated, folds=2, checkpoint=checkpoint, **quick)
    assert [one[0] for one in seen] == ["poisson", "nb", "zinb"] * 2
    assert len({one[1] for one in seen}) == 2
    assert {one[2] for one in seen} == {3}
    assert len({one.folder for one in made}) == 6
    assert found.n_folds == 2


@pytest.mark.parametrize(("nb_above_zinb", "chosen"), [(0.01, "nb"), (2.0, "zinb")])
def test_the_simplest_within_an_error_of_the_best_is_chosen(
    simulated, monkeypatch, nb_above_zinb, chosen
):
    rng = np.random.default_rng(0)
    cells = 50 * rng.normal(size=(100, 200))  # far more than what tells likelihoods apart
    noise = rng.normal(size=(100, 200)) / 100
    above = {"poisson": 9.0, "nb": nb_above_zinb, "zinb": 0.0}

    def losses(likelihood, *_):
        found = cells + above[likelihood] / 200
        return found + noise - noise.mean() if likelihood == "nb" else found

    def untrained(counts, normalized, options, **_):
        assert options.n_latent is None  # chosen later; the preset's until then
        return options.likelihood, None

    monkeypatch.setattr(step, "train", untrained)
    monkeypatch.setattr(step, "seen_by", lambda *_: None)
    monkeypatch.setattr(step, "predictive_losses", losses)
    normalized = normalized_of(simulated)
    folds = thin(simulated, normalized)
    options = brief_options(n_latent="auto")
    found = choose_likelihood(simulated, normalized, folds, options, name="m", seed=0)
    assert (found.chosen, found.best) == (chosen, "zinb")
    of = {one.likelihood: one for one in found.candidates}
    assert of["zinb"].loss == pytest.approx(cells.sum() / 100)
    assert of["poisson"].difference == pytest.approx(9.0 - above[chosen])
    # The error of the mean over 100 groups of cells of a sum over 200 genes.
    assert of["zinb" if chosen == "nb" else "nb"].error == pytest.approx(0.014, abs=0.003)


def test_genes_are_named_as_clearly_as_so_many_of_them_ask_for():
    rng = np.random.default_rng(0)
    difference = rng.normal(size=(100, 500)) / 10
    n_cells = 1000
    assert len(inflated_genes(difference, n_cells)) == 0
    difference[:, 7] += 0.1
    difference[:, 3] += 0.2
    difference[:, 5] -= 0.2
    difference[:, 9] = 0.0
    # The same in every block, but next to nothing.
    difference[:, 11] = 1e-6
    # Much, but in one block.
    difference[:, 13] = 0.0
    difference[0, 13] = 50.0
    assert inflated_genes(difference, n_cells).tolist() == [3, 7]
    # Of 50 cells 10 nats are not many, and 5 are too few for 500 genes.
    assert inflated_genes(difference, 50).tolist() == [3]
