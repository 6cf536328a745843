"""DCA's names: each means something of ours, or says what to use instead."""

import dataclasses
import logging

import pytest

from scpress.config.dca import DcaOptions, translate_dca
from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import PRESETS, resolve_config


def translate(dca, n_cells=1000, **ours):
    return translate_dca(
        TrainOptions(**{"preset": "dca"} | ours), DcaOptions(**dca), n_cells=n_cells
    )


@pytest.mark.parametrize(
    ("dca", "ours"),
    [
        ({}, {}),
        ({"ae_type": "nb"}, {"likelihood": "nb", "dispersion": "gene"}),
        ({"ae_type": "nb-conddisp"}, {"likelihood": "nb", "dispersion": "gene-cell"}),
        ({"ae_type": "zinb"}, {"likelihood": "zinb", "dispersion": "gene"}),
        ({"ae_type": "zinb-conddisp"}, {"likelihood": "zinb", "dispersion": "gene-cell"}),
        ({"ae_type": "poisson"}, {"likelihood": "poisson", "dispersion": "gene"}),
        ({"ae_type": "normal"}, {"likelihood": "gaussian", "dispersion": "gene"}),
        ({"hidden_size": (100, 40, 8, 40, 100)}, {"hidden": (100, 40), "n_latent": 8}),
        ({"hidden_size": [7]}, {"hidden": (), "n_latent": 7}),
        ({"hidden_dropout": 0.2}, {"dropout_rate": 0.2}),
        ({"batchnorm": True}, {"norm": "batch"}),
        ({"batchnorm": False}, {"norm": "none"}),
        ({"normalize_per_cell": True}, {"library": "size_factor"}),
        ({"scale": True, "log1p": True}, {"input": "zscore"}),
        ({"optimizer": "Adam"}, {}),
    ],
)
def test_a_name_of_dca_is_one_of_ours(dca, ours):
    assert translate(dca) == TrainOptions(preset="dca", **ours)


def test_what_dca_does_by_itself_is_what_the_preset_does():
    asked = translate(
        {
            "ae_type": "zinb-conddisp",
            "hidden_size": (64, 32, 64),
            "hidden_dropout": 0.0,
            "batchnorm": True,
            "normalize_per_cell": True,
            "scale": True,
            "log1p": True,
        }
    )
    config = resolve_config(asked, n_genes=100)
    for name, value in dataclasses.asdict(PRESETS["dca"]).items():
        assert getattr(config, name) == value, name


def test_epochs_are_as_many_steps_as_the_training_cells_make_batches():
    # 900 of 1,000 cells are trained on: 29 batches of 32, the last of four cells.
    options = translate({"epochs": 300, "reduce_lr": 10, "early_stop": 15}, batch_size=32)
    assert (options.max_steps, options.plateau, options.patience) == (8700, 290, 435)
    fewer = translate({"epochs": 2}, n_cells=200, batch_size=50, validation_fraction=0.5)
    assert fewer.max_steps == 4


def test_what_a_name_became_is_said(caplog):
    caplog.set_level(logging.INFO, logger="scpress")
    translate({"ae_type": "nb", "epochs": 2, "optimizer": "adam"})
    assert caplog.messages == [
        "ae_type nb of DCA is likelihood nb, dispersion gene",
        "epochs 2 of DCA is max_steps 16",
    ]


@pytest.mark.parametrize(
    ("dca", "ours", "message"),
    [
        ({"ae_type": "nb"}, {"likelihood": "nb"}, "likelihood and dispersion, and likelihood is"),
        ({"ae_type": "nb"}, {"dispersion": "gene"}, "and dispersion is given, too; keep one"),
        ({"hidden_size": (9, 3, 9)}, {"n_latent": 3}, "name for hidden and n_latent, and n_latent"),
        ({"hidden_dropout": 0.1}, {"dropout_rate": 0.0}, "dropout_rate is given"),
        ({"scale": True}, {"input": "log1p"}, "scale is DCA's name for input, and input is"),
        ({"early_stop": 3}, {"patience": 50}, "patience is given"),
    ],
)
def test_one_thing_in_both_names_is_refused(dca, ours, message):
    with pytest.raises(InputError, match=message):
        translate(dca, **ours)


@pytest.mark.parametrize("preset", ["scvi", "ldvae", "pca"])
def test_another_preset_has_no_names_of_dca(preset):
    with pytest.raises(InputError, match=f"epochs is DCA's name .* found preset {preset}. Set"):
        translate({"epochs": 3}, preset=preset)
    assert translate({}, preset=preset) == TrainOptions(preset=preset)


@pytest.mark.parametrize("widths", [(), (64, 32), (64, 32, 32), (64, 32, 16, 32, 60)])
def test_widths_that_are_not_mirrored_are_refused(widths):
    with pytest.raises(InputError, match="hidden_size must be the same from both ends"):
        translate({"hidden_size": widths})


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("ae_type", "zinb-fork", "nearest to -fork and -shared"),
        ("ae_type", "nb-shared", "nearest to -fork and -shared"),
        ("hidden_dropout", [0.1, 0.0, 0.1], "one number for the hidden layers of the encoder"),
        ("normalize_per_cell", False, "set library: observed"),
        ("scale", False, "set input: log1p"),
        ("log1p", False, "set input: log1p or zscore"),
        ("optimizer", "rmsprop", "Adam is the only one"),
        ("init", "glorot_uniform", "remove it"),
        ("mode", "full", "dca_keys of assemble"),
        ("random_state", 0, "seeds of the configuration"),
        ("network_kwds", {"ridge": 1.0}, "each entry by its own name"),
        ("l2_coef", 0.1, "weight_decay"),
        ("clip_grad", 5.0, "clip_norm"),
        ("copy", True, "never changed"),
    ],
)
def test_what_has_no_counterpart_says_what_to_use(name, value, instead):
    with pytest.raises(InputError) as error:
        DcaOptions(**{name: value})
    assert str(error.value).startswith(f"{name} cannot be ")
    assert instead in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_no_name_of_dca_is_one_of_ours():
    ours, theirs = (
        {item.name for item in dataclasses.fields(options)}
        for options in (TrainOptions, DcaOptions)
    )
    assert not ours & theirs
    # Those that both have need no translation.
    assert {"batch_size", "activation", "learning_rate"} <= ours
