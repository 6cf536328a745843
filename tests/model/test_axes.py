"""Presets, DCA's names, and axes that do not go together."""

import dataclasses

import pytest

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import LATER_AXES, PRESETS, resolve_config


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
        ({"preset": "aae", "encoder": "variational"}, "adversarial"),
        ({"preset": "aae", "encoder": "variational", "prior": "kl"}, "kl"),
    ],
)
def test_the_prior_follows_the_encoder(changes, prior):
    assert resolve_config(TrainOptions(**changes), n_genes=50).prior == prior


def test_a_gaussian_has_no_library_to_share_out():
    config = resolve_config(TrainOptions(preset="scvi", likelihood="gaussian"), n_genes=50)
    assert config.library == "size_factor"
    assert resolve_config(TrainOptions(preset="scvi"), n_genes=50).library == "observed"


@pytest.mark.parametrize("likelihood", ["multinomial", "bernoulli"])
def test_what_is_shared_out_needs_a_softmax(likelihood):
    config = resolve_config(TrainOptions(preset="dca", likelihood=likelihood), n_genes=50)
    assert config.library == "observed"


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
        ({"likelihood": "laplace", "library": "observed"}, "laplace .* takes library size_factor"),
        ({"likelihood": "bernoulli", "library": "size_factor"}, "bernoulli .* library size_factor"),
        ({"likelihood": "multinomial", "library": "size_factor"}, "says nothing of a cell's size"),
        ({"preset": "aae", "prior": "kl"}, "prior kl needs encoder variational"),
        (
            {"preset": "aae", "kl_warmup_steps": 50},
            "kl_warmup_steps is of prior kl; found prior adv",
        ),
        ({"prior_weight": 3.0}, "found prior_weight 3.0 and prior kl"),
        ({"preset": "dca", "prior_shape": "ball"}, "found prior_shape ball and prior none"),
        (
            {"prior": "mmd", "prior_shape": "mixture"},
            "evidence of encoder variational .* found prior_shape mixture",
        ),
        ({"contractive": 1.0}, "found norm batch and dropout_rate 0.1. Set norm: none"),
        ({"preset": "contractive", "dropout_rate": 0.1}, "found norm none and dropout_rate 0.1"),
        ({"tied_weights": True, "preset": "ldvae"}, "tied_weights mirror .* decoder linear"),
        (
            {"tied_weights": True, "continuous_covariates": ("age",)},
            "no room for covariates .* 'age'",
        ),
        ({"residual": True}, "residual needs neighbouring .* found hidden 128"),
        ({"residual": True, "hidden": (8, 4, 8)}, "found hidden 8 4 8"),
        ({"likelihood": "nb", "pi_ridge": 1.0}, "pi_ridge is on .* found likelihood nb"),
        ({"preset": "pca", "gene_mask": 0.5}, "preset pca fixes gene_mask"),
    ],
)
def test_axes_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        resolve_config(TrainOptions(**options), n_genes=50)


def test_tied_weights_leave_no_room_for_batches():
    options = TrainOptions(tied_weights=True, batch_key="donor")
    assert resolve_config(options, n_genes=50, batches=("a",)).tied_weights
    with pytest.raises(InputError, match=r"found 'donor'.*batch_key: null"):
        resolve_config(options, n_genes=50, batches=("a", "b"))


def test_a_prior_brings_its_weight_and_leaves_no_other():
    weights = [
        resolve_config(TrainOptions(**options), n_genes=50).prior_weight
        for options in (
            {"preset": "wae"},
            {"prior": "mmd"},
            {"preset": "aae", "prior": "mmd"},
            {"preset": "aae", "prior_weight": 2.0},
            {"preset": "wae", "prior": "none"},
            {},
        )
    ]
    assert weights == [100, 100, 100, 2, 0, 0]


def test_a_later_axis_is_told_only_where_it_is_used():
    plain = resolve_config(TrainOptions(), n_genes=50).as_plain()
    assert not plain.keys() & LATER_AXES.keys()
    used = resolve_config(TrainOptions(gene_mask=0.5), n_genes=50).as_plain()
    assert used == plain | {"gene_mask": 0.5}
    # What is said otherwise than by the preset is used, nothing included.
    assert (
        resolve_config(TrainOptions(preset="denoising", gene_mask=0.0), n_genes=50).gene_mask == 0
    )


def test_as_many_dimensions_as_genes_are_taken():
    assert resolve_config(TrainOptions(n_latent=50), n_genes=50).n_latent == 50
    pca = resolve_config(TrainOptions(preset="pca", n_latent=7), n_genes=50)
    assert pca.n_latent == 7
