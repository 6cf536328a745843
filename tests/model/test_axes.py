"""Presets, DCA's names, and axes that do not go together."""

import dataclasses

import pytest

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import PRESETS, resolve_config


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_what_is_not_said_otherwise(preset):
    config = resolve_config(TrainOptions(preset=preset), n_genes=50)
    axes = dataclasses.asdict(PRESETS[preset])
    assert {name: getattr(config, name) for name in axes} == axes
    assert config.n_genes == 50
    assert config.is_variational == (preset in ("scvi", "ldvae"))


def test_the_users_axes_come_first_even_where_they_are_nothing():
    options = TrainOptions(preset="scvi", dropout_rate=0.0, hidden=(), n_latent=4, input="zscore")
    config = resolve_config(options, n_genes=50)
    assert (config.dropout_rate, config.hidden, config.n_latent) == (0.0, (), 4)
    assert (config.input, config.norm) == ("zscore", "batch")


def test_dca_names_are_accepted():
    config = resolve_config(TrainOptions(preset="dca", likelihood="nb-conddisp"), n_genes=50)
    assert (config.likelihood, config.dispersion) == ("nb", "gene-cell")
    config = resolve_config(TrainOptions(preset="scvi", likelihood="zinb-conddisp"), n_genes=50)
    assert (config.likelihood, config.dispersion) == ("zinb", "gene-cell")
    config = resolve_config(TrainOptions(preset="dca", likelihood="normal"), n_genes=50)
    assert (config.likelihood, config.dispersion) == ("gaussian", "gene")
    options = TrainOptions(preset="scvi", likelihood="nb-conddisp", dispersion="gene-batch")
    assert resolve_config(options, n_genes=50).dispersion == "gene-batch"


@pytest.mark.parametrize(
    ("changes", "prior"),
    [
        ({"preset": "scvi", "encoder": "deterministic"}, "none"),
        ({"preset": "dca", "encoder": "variational"}, "kl"),
        ({"preset": "dca", "encoder": "variational", "prior": "none"}, "none"),
        ({"preset": "scvi"}, "kl"),
        ({"preset": "dca"}, "none"),
    ],
)
def test_the_prior_follows_the_encoder(changes, prior):
    assert resolve_config(TrainOptions(**changes), n_genes=50).prior == prior


def test_a_gaussian_has_no_library_to_share_out():
    config = resolve_config(TrainOptions(preset="scvi", likelihood="gaussian"), n_genes=50)
    assert config.library == "size_factor"
    assert resolve_config(TrainOptions(preset="scvi"), n_genes=50).library == "observed"


def test_one_batch_is_none():
    for batches, n_batches, key in (((), 0, None), (("a",), 0, "donor"), (("a", "b"), 2, "donor")):
        config = resolve_config(TrainOptions(batch_key="donor"), n_genes=50, batches=batches)
        assert (config.batches, config.n_batches, config.batch_key) == (batches, n_batches, key)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_latent": 51}, "n_latent must be at most"),
        ({"preset": "dca", "prior": "kl"}, "prior kl needs encoder variational"),
        ({"preset": "pca", "likelihood": "zinb"}, "preset pca fixes likelihood"),
        ({"preset": "pca", "engine": "scvi-tools"}, "preset pca takes neither"),
        ({"preset": "pca", "continuous_covariates": ("age",)}, "preset pca takes neither"),
        ({"likelihood": "gaussian", "library": "observed"}, "takes library size_factor"),
    ],
)
def test_axes_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        resolve_config(TrainOptions(**options), n_genes=50)


def test_as_many_dimensions_as_genes_are_taken():
    assert resolve_config(TrainOptions(n_latent=50), n_genes=50).n_latent == 50
    pca = resolve_config(TrainOptions(preset="pca", n_latent=7), n_genes=50)
    assert pca.n_latent == 7
