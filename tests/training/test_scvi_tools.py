"""The same network under scvi-tools' names: loaded, trained and refused by it."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from builders import modelled, normalized_of, untrained

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder
from scpress.steps import train as step
from scpress.steps.embed import embed, modelled_blocks
from scpress.steps.export import export
from scpress.training.scvi_tools import (
    _fit_of,
    build_scvi,
    from_scvi_module,
    scvi_adata,
    to_scvi_module,
)

# Two trainings are compared bit by bit.
train = partial(step.train, device="cpu")
pytestmark = pytest.mark.filterwarnings("ignore")  # lightning and scvi-tools warn at will


def _options(**changes):
    return TrainOptions(
        **{
            "max_steps": 60,
            "validate_every": 20,
            "kl_warmup_steps": 20,
            "batch_size": 64,
            "batch_key": "batch",
            "allow_failed_fit": True,  # 60 steps are for speed
        }
        | changes
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"likelihood": "nb", "dispersion": "gene-batch", "n_latent": 4},
        {"likelihood": "poisson", "hidden": (32, 32)},
        {"dispersion": "gene-cell", "encode_covariates": True, "batch_key": None},
        {"continuous_covariates": ("depth",)},
    ],
)
def test_exported_model_loads_and_agrees(simulated, tmp_path, options):
    import scvi

    counts = simulated.copy()
    counts.obs["depth"] = np.linspace(-1, 3, counts.n_obs)
    normalized = normalized_of(counts)
    model, _ = train(counts, normalized, _options(**options))
    export(counts, normalized, model, tmp_path / "scvi")
    theirs = scvi.model.SCVI.load(str(tmp_path / "scvi"), accelerator="cpu")
    latent = embed(counts, normalized, model)
    np.testing.assert_allclose(
        theirs.get_latent_representation(), latent.obsm["X_model"], atol=1e-5
    )
    np.testing.assert_allclose(_their_nll(theirs), latent.obs["nll_model"], rtol=1e-4)


def _their_nll(model):
    # SCVI's get_reconstruction_error samples z; at the posterior mean its module is asked directly.
    import scvi

    out = []
    model.module.eval()
    for tensors in model._make_data_loader(model.adata, batch_size=200, shuffle=False):
        with torch.no_grad():
            inputs = model.module._get_inference_input(tensors)
            inference = model.module.inference(**inputs)
            inference["z"] = inference["qz"].loc
            generative = model.module.generative(
                **model.module._get_generative_input(tensors, inference)
            )
            x = tensors[scvi.REGISTRY_KEYS.X_KEY]
            out.append(-generative["px"].log_prob(x).sum(-1))
    return torch.cat(out).numpy()


def test_weights_survive_the_way_there_and_back(simulated):
    config = resolve_config(_options(dispersion="gene-batch"), n_genes=200, batches=("x", "y"))
    ours, back = CountAutoencoder(config), CountAutoencoder(config)
    with torch.no_grad():
        ours.log_theta.uniform_(-2, 2)
    genes = [f"g{i}" for i in range(200)]
    data = modelled(simulated)
    codes = np.arange(len(data)) % 2
    adata = scvi_adata(
        TrainedModel(ours, genes, genes, 1.0), data.X.astype(np.float32), codes, None
    )
    module = build_scvi(adata, config).module
    to_scvi_module(ours, module)
    # Theirs has a column for each batch, in the order of the batches' names.
    assert torch.equal(module.px_r.detach(), ours.log_theta.detach().t())
    from_scvi_module(module, back)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, rtol=0, atol=0)


def test_cells_for_scvi_have_their_batchs_name_and_standardized_covariates(simulated):
    data = modelled(simulated, n_genes=20).take(np.arange(6))
    options = _options(n_latent=2, continuous_covariates=("depth",), batch_key="donor")
    model = untrained(data, options, ("x", "y", "z"))
    model.network.continuous_mean.fill_(2)
    model.network.continuous_scale.fill_(4)
    codes, depth = np.array([2, 0, 2, 2, 0, 0]), np.arange(6, dtype=np.float32)[:, None]
    adata = scvi_adata(model, data.X.astype(np.float32), codes, depth)
    assert adata.obs["donor"].tolist() == ["z", "x", "z", "z", "x", "x"]
    # A batch without cells keeps its number, or the others would move.
    assert adata.obs["donor"].cat.categories.tolist() == ["x", "y", "z"]
    np.testing.assert_allclose(adata.obs["depth"], (np.arange(6) - 2) / 4)
    assert adata.var_names.tolist() == model.genes


def test_the_history_is_in_steps_and_its_best_row_is_the_best(simulated):
    options = _options(kl_warmup_steps=20, max_steps=30, learning_rate=2e-3)
    names = {
        "elbo_train": [9.0, 8.0, 7.0],
        "elbo_validation": [9.5, 7.5, 8.5],
        "reconstruction_loss_validation": [9.0, 7.0, 8.0],
        "kl_local_validation": [0.5, 0.5, 0.5],
    }
    history = {name: pd.DataFrame({name: values}) for name, values in names.items()}
    fit = _fit_of(history, 10, 64, options)
    assert (fit.best_step, fit.best_loss, fit.stopped) == (20, 7.5, "max_steps")
    assert [row["step"] for row in fit.history] == [10, 20, 30]
    assert [row["cells_seen"] for row in fit.history] == [640, 1280, 1920]
    assert [row["kl_weight"] for row in fit.history] == [0.5, 1, 1]
    assert [row["validation_loss"] for row in fit.history] == names["elbo_validation"]
    shorter = {name: values.iloc[:2] for name, values in history.items()}
    assert _fit_of(shorter, 10, 64, options).stopped == "patience"


def test_the_scvi_tools_engine_gives_a_model_of_ours(simulated):
    normalized = normalized_of(simulated)
    options = _options(engine="scvi-tools", max_steps=400, patience=400, learning_rate=3e-3)
    model, history = train(simulated, normalized, options)
    again, _ = train(simulated, normalized, options)
    assert model.record.options["engine"] == "scvi-tools"
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    # Our network with its weights has the loss scvi-tools itself reported, up to the noise of z.
    blocks = [block for _, block in modelled_blocks(simulated, normalized, model)]
    assert len(blocks) == 1
    reported = history["validation_reconstruction"].iloc[-1]
    held_out = model.record.held_out.reconstruction_nll
    assert held_out == pytest.approx(reported, rel=0.03)
    states = model.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    "options",
    [{"preset": "dca"}, {"preset": "ldvae"}, {"likelihood": "gaussian"}, {"hidden": (64, 32)}],
)
def test_models_scvi_cannot_be_are_refused(simulated, options):
    with warnings.catch_warnings(), pytest.raises(InputError, match="scvi-tools' SCVI"):
        train(simulated, normalized_of(simulated), _options(engine="scvi-tools", **options))
