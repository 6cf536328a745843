import warnings

import numpy as np
import pytest
import torch
from builders import normalized_of

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder
from scpress.steps.embed import embed, modelled_blocks
from scpress.steps.export import export
from scpress.steps.train import train
from scpress.training.scvi_tools import build_scvi, from_scvi_module, scvi_adata, to_scvi_module

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
    from builders import modelled

    config = resolve_config(_options(dispersion="gene-batch"), n_genes=200, batches=("x", "y"))
    ours, back = CountAutoencoder(config), CountAutoencoder(config)
    genes = [f"g{i}" for i in range(200)]
    data = modelled(simulated)
    codes = np.arange(len(data)) % 2
    adata = scvi_adata(
        TrainedModel(ours, genes, genes, 1.0), data.X.astype(np.float32), codes, None
    )
    module = build_scvi(adata, config).module
    to_scvi_module(ours, module)
    from_scvi_module(module, back)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, rtol=0, atol=0)


def test_the_scvi_tools_engine_gives_a_model_of_ours(simulated):
    normalized = normalized_of(simulated)
    options = _options(engine="scvi-tools", max_steps=900, patience=900, learning_rate=3e-3)
    model, history = train(simulated, normalized, options)
    again, _ = train(simulated, normalized, options)
    assert model.record["options"]["engine"] == "scvi-tools"
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    # Our network with its weights has the loss scvi-tools itself reported, up to the noise of z.
    blocks = [block for _, block in modelled_blocks(simulated, normalized, model)]
    assert len(blocks) == 1
    reported = history["validation_reconstruction"].iloc[-1]
    held_out = model.record["held_out"]["reconstruction_nll"]
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
