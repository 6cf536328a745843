"""scvi-tools' names: each means something of ours, or says what to use instead."""

import dataclasses

import pytest

from scpress.config.dca import DcaOptions
from scpress.config.options import TrainOptions
from scpress.config.scvi import ScviOptions, translate_scvi
from scpress.errors import InputError
from scpress.model.axes import PRESETS, resolve_config


def translate(scvi, n_cells=1000, **ours):
    return translate_scvi(TrainOptions(**ours), ScviOptions(**scvi), n_cells=n_cells)


# 900 of 1,000 cells are trained on: 8 batches of 128.
@pytest.mark.parametrize(
    ("scvi", "ours"),
    [
        ({}, {}),
        ({"n_hidden": 64}, {"hidden": (64,)}),
        ({"n_layers": 2}, {"hidden": (128, 128)}),
        ({"n_hidden": 32, "n_layers": 3}, {"hidden": (32, 32, 32)}),
        ({"gene_likelihood": "nb"}, {"likelihood": "nb"}),
        ({"use_observed_lib_size": True}, {"library": "observed"}),
        ({"latent_distribution": "normal"}, {}),
        ({"use_batch_norm": "both"}, {"norm": "batch"}),
        ({"use_batch_norm": "none"}, {"norm": "none"}),
        ({"max_epochs": 400}, {"max_steps": 3200}),
        ({"early_stopping": True}, {}),
        ({"early_stopping": False}, {"patience": 20_000}),
        ({"early_stopping": False, "max_epochs": 10}, {"patience": 80, "max_steps": 80}),
        ({"early_stopping": True, "early_stopping_patience": 45}, {"patience": 360}),
        ({"check_val_every_n_epoch": 2}, {"validate_every": 16}),
        ({"lr": 0.002}, {"learning_rate": 0.002}),
        ({"eps": 0.01}, {"epsilon": 0.01}),
        ({"n_steps_kl_warmup": 300}, {"kl_warmup_steps": 300}),
        ({"n_epochs_kl_warmup": 20}, {"kl_warmup_steps": 160}),
        ({"reduce_lr_on_plateau": True}, {}),
        ({"reduce_lr_on_plateau": False}, {"plateau": 20_000}),
        ({"lr_patience": 30, "lr_factor": 0.6}, {"plateau": 240, "plateau_factor": 0.6}),
        ({"train_size": 0.8}, {"validation_fraction": 0.2}),
        ({"train_size": 0.9, "validation_size": 0.1}, {"validation_fraction": 0.1}),
        ({"continuous_covariate_keys": ["age"]}, {"continuous_covariates": ("age",)}),
    ],
)
def test_a_name_of_scvi_tools_is_one_of_ours(scvi, ours):
    assert translate(scvi) == TrainOptions(**ours)


def test_epochs_are_of_the_cells_that_are_trained_on():
    # 500 of 1,000: 4 batches, whichever was said first.
    options = translate({"max_epochs": 10, "train_size": 0.5})
    assert (options.max_steps, options.validation_fraction) == (40, 0.5)


def test_what_scvi_tools_does_by_itself_is_what_the_preset_does():
    asked = translate(
        {
            "n_hidden": 128,
            "n_layers": 1,
            "gene_likelihood": "zinb",
            "use_observed_lib_size": True,
            "latent_distribution": "normal",
            "use_batch_norm": "both",
        }
    )
    config = resolve_config(asked, n_genes=100)
    for name, value in dataclasses.asdict(PRESETS["scvi"]).items():
        assert getattr(config, name) == value, name


@pytest.mark.parametrize(
    ("scvi", "ours", "message"),
    [
        (
            {"n_hidden": 64},
            {"hidden": (64,)},
            "n_hidden is scvi-tools' name for hidden, and hidden",
        ),
        ({"gene_likelihood": "nb"}, {"likelihood": "nb"}, "likelihood is given, too; keep one"),
        ({"max_epochs": 3}, {"max_steps": 50}, "max_steps is given"),
        ({"lr": 0.1}, {"learning_rate": 0.1}, "learning_rate is given"),
        (
            {"early_stopping": False, "early_stopping_patience": 3},
            {},
            "early_stopping_patience 3 makes patience 24, and another of scvi-tools' names makes",
        ),
        ({"train_size": 0.9, "validation_size": 0.2}, {}, "makes validation_fraction 0.2"),
        ({"n_steps_kl_warmup": 3, "n_epochs_kl_warmup": 3}, {}, "makes kl_warmup_steps 24"),
    ],
)
def test_one_thing_in_two_names_is_refused(scvi, ours, message):
    with pytest.raises(InputError, match=message):
        translate(scvi, **ours)


@pytest.mark.parametrize("preset", ["dca", "ldvae", "pca"])
def test_another_preset_has_no_names_of_scvi_tools(preset):
    with pytest.raises(InputError, match=f"goes with preset scvi; found preset {preset}. Set"):
        translate({"train_size": 0.8}, preset=preset)
    with pytest.raises(InputError, match=r"name \(docs/dca.md\)"):
        translate({"max_epochs": 3}, preset=preset)
    assert translate({}, preset=preset) == TrainOptions(preset=preset)


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("gene_likelihood", "normal", "likelihood: gaussian"),
        ("use_observed_lib_size", False, "library: size_factor"),
        ("latent_distribution", "ln", "the latent is normal"),
        ("use_batch_norm", "encoder", "both or none"),
        ("use_layer_norm", "both", "norm: layer"),
        ("labels_key", "cell_type", "label_key of ingest"),
        ("categorical_covariate_keys", ["donor"], "batch_key"),
        ("accelerator", "gpu", "device of the configuration"),
        ("plan_kwargs", {"lr": 0.1}, "each entry by its own name"),
    ],
)
def test_what_has_no_counterpart_says_what_to_use(name, value, instead):
    with pytest.raises(InputError) as error:
        ScviOptions(**{name: value})
    assert str(error.value).startswith(f"{name} cannot be ")
    assert instead in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_no_name_is_one_of_ours_or_of_dcas():
    ours, dcas, theirs = (
        {item.name for item in dataclasses.fields(options)}
        for options in (TrainOptions, DcaOptions, ScviOptions)
    )
    assert not ours & theirs
    assert not dcas & theirs
    # Those that both have need no translation.
    assert {"n_latent", "dropout_rate", "dispersion", "batch_key", "batch_size"} <= ours
    assert {"weight_decay", "encode_covariates"} <= ours
