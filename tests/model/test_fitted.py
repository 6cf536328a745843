"""A model in one file, and what it says of cells: batches, genes, means."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from builders import briefly_trained, modelled, untrained

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.fitted import (
    file_of_model,
    load_model,
    record_options,
    trained_options,
)
from scpress.steps.embed import embed


@pytest.fixture(scope="module")
def trained(simulated):
    return briefly_trained(simulated, batch_key="batch", max_steps=80)


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


@pytest.fixture
def model(pbmc):
    """Of six genes and three batches, the second of which is the largest."""
    options = TrainOptions(n_latent=2, hidden=(8,), batch_key="donor")
    model = untrained(modelled(pbmc, n_genes=6), options, ("a", "b", "c"))
    model.batch_sizes = (3, 9, 4)
    model.genes = ["ENSG1.4", "ENSG2", "ENSG3.1", "x", "y", "z"]
    model.symbols = ["TP53", "CD3E", "", "SAME", "SAME2", "Z"]
    return model


def test_a_batch_has_its_code_and_another_that_of_the_reference(model, caplog):
    obs = pd.DataFrame({"donor": pd.Categorical(["c", "a", "new", "b", "c"])})
    with caplog.at_level("INFO", logger="scpress"):
        assert model.batch_codes(obs).tolist() == [2, 0, 1, 1, 2]
    assert "1 cells are of batches the model has not seen (new) and are taken for 'b'" in (
        caplog.text
    )
    assert model.batch_codes(obs, reference_batch="c").tolist() == [2, 0, 2, 1, 2]
    assert model.reference_code(None) == 1
    assert model.reference_code("c") == 2


def test_numbers_that_name_batches_are_their_names(pbmc):
    options = TrainOptions(n_latent=2, batch_key="plate")
    model = untrained(modelled(pbmc, n_genes=6), options, ("1", "2"))
    assert model.batch_codes(pd.DataFrame({"plate": [2, 1, 2]})).tolist() == [1, 0, 1]
    lone = untrained(modelled(pbmc, n_genes=6), options, ("1",))
    assert lone.batch_codes(pd.DataFrame({"plate": [2, 1, 2]})) is None


def test_unknown_batches_are_decoded_as_the_reference(simulated, trained):
    new = simulated.copy()
    new.obs["batch"] = "elsewhere"
    assert set(trained.batch_codes(new.obs)) == {trained.reference_code(None)}
    with pytest.raises(InputError, match="reference_batch must be one of"):
        trained.batch_codes(new.obs, reference_batch="nowhere")
    with pytest.raises(InputError, match="which the cells lack"):
        trained.batch_codes(new.obs.drop(columns="batch"))


def test_genes_are_matched_by_name_then_id_then_symbol(model):
    # (name, symbol) in another order: a name as it is, an id of another version, a symbol.
    others = [
        ("q", "Z"),
        ("ENSG2", "other"),
        ("ENSG1.9", "TP52"),
        ("ENSG3.1", "w"),
        ("r", "SAME2"),
        ("s", "SAME"),
    ]
    names, symbols = zip(*others, strict=True)
    columns = model.matching_columns(names, symbols, max_missing_fraction=0.0)
    assert columns.tolist() == [2, 1, 3, 5, 4, 0]


def test_a_name_comes_before_an_id_and_an_id_before_a_symbol(model):
    names = ["ENSG1.9", "ENSG1.4", "ENSG2.7", "p", "ENSG3.1", "x", "y", "z"]
    symbols = ["", "", "", "CD3E", "", "", "", ""]
    columns = model.matching_columns(names, symbols, max_missing_fraction=0.0)
    assert columns.tolist() == [1, 2, 4, 5, 6, 7]


def test_a_symbol_of_several_genes_or_of_none_matches_nothing(model):
    names = ["ENSG1.4", "ENSG2", "t", "u", "v", "w"]
    symbols = ["TP53", "CD3E", "", "SAME", "SAME", "Z"]
    columns = model.matching_columns(names, symbols, max_missing_fraction=0.5)
    # The third has no symbol, as one of theirs has none; the fourth one's is of two genes.
    assert columns.tolist() == [0, 1, -1, -1, -1, 5]
    for allowed, is_refused in ((0.5, False), (0.49, True)):
        if is_refused:
            with pytest.raises(InputError, match="6 genes and 3 of them are missing"):
                model.matching_columns(names, symbols, max_missing_fraction=allowed)
        else:
            model.matching_columns(names, symbols, max_missing_fraction=allowed)


def test_the_same_list_of_genes_is_not_looked_up(model):
    columns = model.matching_columns(model.genes, [""] * 6, max_missing_fraction=0.0)
    assert columns.tolist() == list(range(6))


@pytest.mark.parametrize("preset", ["scvi", "dca", "pca"])
def test_numbers_out_are_those_of_the_decoded_distribution(pbmc, preset):
    data = modelled(pbmc, n_genes=30).take(np.arange(12))
    model = untrained(data, TrainOptions(preset=preset, n_latent=4))
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.network.train()  # what is asked of a model is asked without dropout
    cells = data.cells_of(model)
    z, sd = model.encode(cells)
    assert z.shape == (12, 4)
    assert (sd is None) == (preset != "scvi")
    decoded = model.network.decode(torch.from_numpy(z), cells)
    mean = decoded.log_mu.detach().numpy().astype(np.float64)
    np.testing.assert_allclose(model.log_theta(cells, z), decoded.log_theta.detach(), rtol=1e-6)
    if preset == "pca":
        # The mean of log1p(counts / size factor), taken back; never below zero.
        expected = np.maximum(np.exp(mean) - 1, 0) * data.size_factor[:, None]
        assert (expected == 0).any()
    else:
        expected = np.exp(mean)
        pi = [[1 / (1 + math.exp(-v)) for v in row] for row in decoded.pi_logits.tolist()]
        np.testing.assert_allclose(model.extra_zero_fraction(cells, z), pi, rtol=1e-5)
    np.testing.assert_allclose(model.mean_counts(cells, z), expected, rtol=1e-4, atol=1e-6)


def test_continuous_covariates_are_standardized_by_the_training_cells(pbmc):
    data = modelled(pbmc, n_genes=6).take(np.arange(4))
    options = TrainOptions(n_latent=2, continuous_covariates=("depth", "age"))
    model = untrained(data, options)
    model.network.continuous_mean.copy_(torch.tensor([1.0, 50.0]))
    model.network.continuous_scale.copy_(torch.tensor([2.0, 10.0]))
    data.continuous = np.array([[1, 50], [3, 60], [-1, 45], [5, 50]], dtype=np.float32)
    found = data.cells_of(model)
    assert found.continuous.tolist() == [[0, 0], [1, 1], [-1, -0.5], [2, 0]]
    np.testing.assert_array_equal(found.total, data.X.sum(axis=1).A1)


@pytest.mark.parametrize(
    "changes", [{}, {"preset": "ldvae"}, {"dispersion": "gene-cell", "likelihood": "nb"}]
)
def test_the_decoders_state_is_all_that_decoding_needs(pbmc, changes):
    data = modelled(pbmc, n_genes=30).take(np.arange(8))
    data.batch, data.continuous = np.arange(8) % 2, np.ones((8, 1), dtype=np.float32)
    options = TrainOptions(n_latent=4, continuous_covariates=("depth",), **changes)
    model = untrained(data, options, ("a", "b"))
    z = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)

    def numbers():
        cells = data.cells_of(model)
        found = [model.mean_counts(cells, z), model.log_theta(cells, z)]
        if model.network.pi_logits is not None:
            found.append(model.extra_zero_fraction(cells, z))
        return found

    expected = numbers()
    state = model.decoder_state()
    for name, value in model.network.state_dict().items():
        if name not in state and value.is_floating_point():
            value.fill_(math.nan)
    assert np.isnan(model.encode(data.cells_of(model))[0]).all()
    for one, two in zip(numbers(), expected, strict=True):
        np.testing.assert_array_equal(one, two)
    # And nothing that decoding does not need: each of these alone would change what comes out.
    for name in state:
        value = model.network.state_dict()[name]
        before = value.clone()
        value.fill_(math.nan)
        assert any(np.isnan(one).any() for one in numbers()), name
        value.copy_(before)


def test_a_cell_without_molecules_has_a_size_factor(model):
    model.median_library_size = 400.0
    assert model.size_factors(np.array([0, 1, 200, 400])).tolist() == [0.0025, 0.0025, 0.5, 1]


def test_cells_fitted_are_those_trained_on_and_held_out(model, trained, simulated):
    assert model.n_fitted_cells == 0
    assert trained.n_fitted_cells == simulated.n_obs


def test_recorded_options_are_plain_json():
    options = TrainOptions(hidden=(3, 4))
    recorded = record_options(options)
    assert recorded["hidden"] == [3, 4]
    assert json.loads(json.dumps(recorded)) == recorded


def test_a_model_says_how_to_train_it_again(trained, tmp_path):
    trained.save(tmp_path / "a")
    options, seed = trained_options(tmp_path / "a")
    assert (options.batch_key, options.max_steps, seed) == ("batch", 80, 0)


def test_of_several_models_the_named_one_is_taken():
    assert file_of_model("b", ["a", "b"], ["first", "second"]) == "second"
    with pytest.raises(InputError, match=r"'c' is not among those given \(a, b\)"):
        file_of_model("c", ["a", "b"], ["first", "second"])
    with pytest.raises(InputError, match="1 files of models and 2 names"):
        file_of_model("b", ["a", "b"], ["first"])
