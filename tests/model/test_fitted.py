import json

import numpy as np
import pytest
import safetensors.torch
import torch
from builders import modelled, normalized_of

from scpress.config.options import DenoiseOptions, EmbedOptions, TrainOptions
from scpress.errors import InputError
from scpress.model.fitted import load_model
from scpress.model.scoring import importance_weighted_nll, reconstruction_nll
from scpress.steps.denoise import denoise, denoise_blocks
from scpress.steps.embed import embed
from scpress.steps.train import train
from scpress.training import loop as training


@pytest.fixture(scope="module")
def trained(simulated):
    return train(simulated, normalized_of(simulated), OPTIONS_WITH_BATCH)[0]


OPTIONS_WITH_BATCH = TrainOptions(
    max_steps=80,
    validate_every=20,
    kl_warmup_steps=20,
    batch_size=64,
    batch_key="batch",
    allow_failed_fit=True,  # 80 steps are for speed
)


def test_a_saved_model_is_the_same_file_and_gives_the_same_latent(simulated, trained, tmp_path):
    for name in ("a", "b"):
        trained.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_model(tmp_path / "a")
    assert loaded.config == trained.config
    assert loaded.genes == trained.genes
    np.testing.assert_array_equal(loaded.validation_cells, trained.validation_cells)
    one, two = (embed(simulated, None, model) for model in (trained, loaded))
    np.testing.assert_array_equal(one.obsm["X_model"], two.obsm["X_model"])


def test_the_header_is_one_key_of_canonical_json_without_pickle(trained, tmp_path):
    trained.save(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", framework="np") as file:
        metadata = file.metadata()
        assert list(metadata) == ["scpress"]
        header = json.loads(metadata["scpress"])
        assert "validation_cells" in file.keys()  # noqa: SIM118
    assert header["config"]["likelihood"] == "zinb"
    assert header["record"]["versions"]["torch"].startswith("2.")
    assert json.dumps(header, sort_keys=True, separators=(",", ":")) == metadata["scpress"]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "foreign", "newer", "genes"])
def test_a_file_that_is_not_a_whole_model_of_ours_is_refused(trained, tmp_path, damage):
    path = tmp_path / "m"
    trained.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    else:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["scpress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if damage == "newer":
            header["format_version"] = 99
        else:
            header["genes"][0] = "another"
        safetensors.torch.save_file(tensors, path, {"scpress": json.dumps(header)})
    with pytest.raises(InputError):
        load_model(path)


def test_embed_of_the_training_cells_equals_a_direct_pass(simulated, trained):
    latent = embed(simulated, normalized_of(simulated), trained, name="vae")
    columns = [simulated.var_names.get_loc(gene) for gene in trained.genes]
    library = normalized_of(simulated).obs["library_size"].to_numpy()
    codes = trained.batch_codes(simulated.obs)
    cells = trained.cells(
        simulated.X[:, columns], library / trained.median_library_size, codes, None
    )
    mean, sd = trained.encode(cells)
    np.testing.assert_allclose(latent.obsm["X_vae"], mean, atol=1e-5)
    np.testing.assert_allclose(latent.obsm["X_vae_sd"], sd, atol=1e-5)
    nll = -trained.log_likelihood(cells, mean)
    np.testing.assert_allclose(latent.obs["nll_vae"], nll, rtol=1e-4)
    assert latent.var["theta_vae"].between(1e-3, 1e4).all()
    assert latent.var["pi_mean_vae"].between(0, 1).all()
    assert latent.uns["scpress"]["verdict"]["n_steps"] == 80


def test_embed_does_not_depend_on_the_block_size(simulated, trained, monkeypatch):
    whole = embed(simulated, None, trained).obsm["X_model"]
    monkeypatch.setattr("scpress.settings.chunk_bytes", 20_000)
    np.testing.assert_allclose(embed(simulated, None, trained).obsm["X_model"], whole, atol=1e-5)


def test_new_cells_are_matched_by_gene_id_whatever_the_order(simulated, trained):
    whole = embed(simulated, None, trained).obsm["X_model"]
    order = np.random.default_rng(0).permutation(simulated.n_vars)
    shuffled = simulated[:, order].copy()
    # The library is the cell's total over the same genes, so nothing else may change.
    np.testing.assert_allclose(embed(shuffled, None, trained).obsm["X_model"], whole, atol=1e-5)


def test_missing_genes_are_named_and_limited(simulated, trained, caplog):
    lacking = simulated[:, [g for g in simulated.var_names if g != trained.genes[3]]].copy()
    with caplog.at_level("INFO", logger="scpress"):
        embed(lacking, None, trained)
    assert trained.genes[3] in caplog.text
    with pytest.raises(InputError, match=trained.genes[3]):
        embed(lacking, None, trained, EmbedOptions(max_missing_fraction=0.0))
    foreign = simulated.copy()
    foreign.var_names = [f"other{i}" for i in range(foreign.n_vars)]
    foreign.var["gene_symbol"] = foreign.var_names
    with pytest.raises(InputError, match="another gene list"):
        embed(foreign, None, trained)


def test_unknown_batches_are_decoded_as_the_reference(simulated, trained):
    new = simulated.copy()
    new.obs["batch"] = "elsewhere"
    assert set(trained.batch_codes(new.obs)) == {trained.reference_code(None)}
    with pytest.raises(InputError, match="reference_batch must be one of"):
        trained.batch_codes(new.obs, reference_batch="nowhere")
    with pytest.raises(InputError, match="which the cells lack"):
        trained.batch_codes(new.obs.drop(columns="batch"))


def test_denoised_is_mu_over_the_size_factor_in_one_batch(simulated, trained):
    genes = (trained.genes[5], trained.genes[2])
    named = denoise(simulated, None, trained, DenoiseOptions(genes=genes))
    assert list(named.var_names) == list(genes)
    blocks = denoise_blocks(simulated, None, trained, DenoiseOptions())
    whole = np.concatenate([block for _, block in blocks])
    np.testing.assert_allclose(named.X, whole[:, [5, 2]], rtol=1e-5)
    # Expected molecules at a size factor of 1: they add up to about what was counted.
    library = normalized_of(simulated).obs["library_size"].to_numpy()
    columns = [simulated.var_names.get_loc(gene) for gene in trained.genes]
    counted = simulated.X[:, columns].sum(axis=1).A1 / (library / trained.median_library_size)
    assert np.corrcoef(whole.sum(axis=1), counted)[0, 1] > 0.5
    with pytest.raises(InputError, match="not modelled: nothing"):
        denoise(simulated, None, trained, DenoiseOptions(genes=("nothing",)))


def test_importance_weighting_tightens_with_draws_and_bounds_the_evidence(pbmc):
    model, _ = train(pbmc, normalized_of(pbmc), OPTIONS_NO_BATCH)
    data = modelled(pbmc).take(model.validation_cells)
    few, many = (importance_weighted_nll(model, data, n_draws=n).mean() for n in (2, 100))
    assert many < few
    assert reconstruction_nll(model, data).mean() < many


OPTIONS_NO_BATCH = TrainOptions(max_steps=60, validate_every=20, batch_size=64, batch_key=None)


def test_importance_weighting_is_exact_for_a_linear_gaussian_model(pbmc):
    # With q(z|x) the true posterior the weights are constant, so any K gives log p(x): x is
    # N(b, W W' + D). The posterior of factor analysis is N(V W' D^-1 (x-b), V), V = (I+W'D^-1W)^-1;
    # a loading with orthogonal columns in the metric D^-1 makes V diagonal, as our q is.
    import dataclasses

    from scipy.stats import multivariate_normal

    from scpress.model.axes import resolve_config
    from scpress.model.fitted import TrainedModel
    from scpress.model.network import CountAutoencoder
    from scpress.model.scoring import log_values

    data = modelled(pbmc, n_genes=12).take(np.arange(30))
    config = resolve_config(TrainOptions(preset="pca", batch_key=None, n_latent=3), n_genes=12)
    network = CountAutoencoder(dataclasses.replace(config, encoder="variational", prior="kl"))
    rng = np.random.default_rng(0)
    loading = np.linalg.qr(rng.normal(size=(12, 3)))[0] * np.array([1.0, 0.7, 0.4])
    variance, mean = 0.3, rng.normal(size=12)
    posterior = 1 / (1 + (loading**2).sum(axis=0) / variance)
    with torch.no_grad():
        network.input_mean.copy_(torch.from_numpy(mean))
        network.eta.weight.copy_(torch.from_numpy(loading))
        network.eta.bias.copy_(torch.from_numpy(mean))
        network.log_theta.fill_(-np.log(variance))
        network.z_mean.weight.copy_(torch.from_numpy((posterior / variance * loading).T))
        network.z_mean.bias.zero_()
        network.z_log_variance.weight.zero_()
        network.z_log_variance.bias.copy_(torch.from_numpy(np.log(posterior - 1e-4)))
    model = TrainedModel(network.eval(), [], [], 1.0)
    truth = -multivariate_normal(mean, loading @ loading.T + variance * np.eye(12)).logpdf(
        log_values(data).toarray()
    )
    np.testing.assert_allclose(importance_weighted_nll(model, data, n_draws=3), truth, rtol=1e-4)


def test_pca_preset_and_a_linear_gaussian_autoencoder_span_the_same_subspace(pbmc, monkeypatch):
    # With one variance for all genes the likelihood is the squared error; a free variance per gene
    # would make it factor analysis.
    initialize = training.initialize

    def with_one_variance(network, data):
        initialize(network, data)
        network.log_theta.requires_grad_(requires_grad=False).fill_(0.0)

    monkeypatch.setattr(training, "initialize", with_one_variance)
    normalized = normalized_of(pbmc, n_genes=40)
    # Its likelihood is off by the variance, so the verdict does not apply.
    common = {"n_latent": 2, "batch_key": None, "allow_failed_fit": True}
    pca, _ = train(pbmc, normalized, TrainOptions(preset="pca", **common))
    linear, _ = train(
        pbmc,
        normalized,
        TrainOptions(
            preset="dca", likelihood="gaussian", dispersion="gene", decoder="linear",
            hidden=(), norm="none", activation="linear", weight_decay=0.0, plateau=200,
            learning_rate=2e-2, batch_size=630, max_steps=800, patience=800, **common,
        ),
    )  # fmt: skip
    bases = [
        np.linalg.qr(model.network.eta.weight.detach().double().numpy())[0]
        for model in (pca, linear)
    ]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert cosines.min() > 0.99
