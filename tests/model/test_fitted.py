"""A model in one file, and what it says of cells: batches, genes, means."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from builders import briefly_trained

from scpress.errors import InputError
from scpress.model.fitted import load_model
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


def test_unknown_batches_are_decoded_as_the_reference(simulated, trained):
    new = simulated.copy()
    new.obs["batch"] = "elsewhere"
    assert set(trained.batch_codes(new.obs)) == {trained.reference_code(None)}
    with pytest.raises(InputError, match="reference_batch must be one of"):
        trained.batch_codes(new.obs, reference_batch="nowhere")
    with pytest.raises(InputError, match="which the cells lack"):
        trained.batch_codes(new.obs.drop(columns="batch"))
