"""Latents and weights are where the posterior is highest, and are rounded as they are stored."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import nbinom

from scpress.archive import latents
from scpress.archive.latents import Fit, Latent, find_z, fit_given, fit_latent


@pytest.fixture(scope="module")
def drawn():
    """Counts of 400 cells and 60 genes with two latents."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 2)).astype("f4")
    w = rng.normal(0, 0.6, (60, 2)).astype("f4")
    offset = np.log(rng.gamma(2, 1, 60))[None] + rng.normal(0, 0.3, 400)[:, None]
    theta = np.full(60, 4.0, "f4")
    mu = np.exp(offset + z @ w.T)
    counts = rng.negative_binomial(4, 4 / (4 + mu)).astype("f4")
    return counts, offset.astype("f4"), theta, z, w


def log_posterior(counts, offset, theta, w, z):
    mu = np.exp(offset + z @ w.T)
    return nbinom.logpmf(counts, theta, theta / (theta + mu)).sum() - (z**2).sum() / 2


def test_no_latent_nearby_is_more_probable(drawn):
    counts, offset, theta, _, w = drawn
    z = np.zeros((1, 2), "f4")
    for _ in range(20):
        z = latents._step_z(counts[:1], offset[:1], theta, w, z)
    best = log_posterior(counts[:1], offset[:1], theta, w, z)
    for step in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
        assert log_posterior(counts[:1], offset[:1], theta, w, z + np.array(step)) < best


def test_weights_to_given_latents_are_near_the_true_ones(drawn):
    counts, offset, theta, z, w = drawn
    fit = fit_given(counts, offset, theta, z)
    assert np.corrcoef(fit.w.ravel(), w.ravel())[0, 1] > 0.97
    assert abs(fit.shift).max() < 0.3
    # A prior of variance 1 draws them to zero, hardly with so many cells.
    assert 0.9 < (fit.w * w).sum() / (w * w).sum() < 1.05


def test_latents_that_were_never_told_explain_what_the_true_ones_do(drawn):
    counts, offset, theta, z, _ = drawn
    fit = fit_latent(counts, offset, theta, 2, seed=0)
    np.testing.assert_allclose(fit.z.std(axis=0), 1, rtol=1e-3)
    design = np.column_stack([fit.z, np.ones(len(z))])
    left = z - design @ np.linalg.lstsq(design, z, rcond=None)[0]
    assert (left.var(axis=0) < 0.15 * z.var(axis=0)).all()


def test_stored_weights_and_steps_multiply_to_sixteenths_of_an_octave():
    fit = Fit(np.array([np.log(2)]), np.array([[np.log(2)]]), np.array([[1.0]]))
    shift, w = latents.whole_weights(fit)
    z = latents.whole_z(fit.z)
    # One standard deviation doubles the mean: an octave.
    assert shift[0] == 16
    assert (z @ w)[0, 0] == 16


def test_steps_and_weights_have_bounds():
    assert latents.whole_z(np.array([[1e6, -1e6]])).tolist() == [[60, -60]]
    _, w = latents.whole_weights(Fit(np.zeros(2), np.array([[1e6], [-1e6]]), np.zeros((1, 1))))
    assert w.tolist() == [[400, -400]]


def test_places_are_those_of_the_steps_and_stay_in_the_table(drawn):
    counts, _, theta, z, w = drawn
    whole = latents.whole_weights(Fit(np.zeros(60), w, z))[1]
    values = [np.arange(-3, 4), np.arange(-9, 10)]
    b = np.full(60, 10)
    levels = np.full(400, 6)
    latent = Latent(np.arange(60), b, theta, whole, values)
    block = sparse.csr_matrix(counts)
    offset = latents.log_means(levels, b)
    exact = find_z(counts, offset, theta, whole)
    places = latent.places(block, levels, 0)
    np.testing.assert_array_equal(places[:, 0], np.clip(exact[:, 0], -3, 3) + 3)
    np.testing.assert_array_equal(places[:, 1], np.clip(exact[:, 1], -9, 9) + 9)
    assert (abs(exact[:, 0]) > 3).any()
    told = latent.given(z * 7 + 2)
    part = told.places(block[100:150], levels[100:150], 100)
    steps = np.rint((z - z.mean(axis=0)) / z.std(axis=0) / 0.5)[100:150]
    assert (abs(part[:, 1] - 9 - steps[:, 1]) <= 1).all()
    assert (part[:, 1] - 9 == steps[:, 1]).mean() > 0.95


def test_a_theta_is_the_power_of_two_that_it_stands_for():
    assert latents.theta_of(np.array([0, 6, 8, 19])).tolist() == [2**-6, 1, 4, 1e9]
