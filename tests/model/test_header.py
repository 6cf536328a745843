"""A model file proves itself: any change of it is one clear line."""

import json
import math
import re

import pytest
import safetensors.torch
import torch
from builders import ROOT, briefly_trained, modelled, untrained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.fitted import load_model


@pytest.fixture(scope="module")
def trained(simulated):
    return briefly_trained(simulated, batch_key="batch", max_steps=80)


def content(path):
    """(header, tensors) of a model file."""
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["scpress"])
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def put(path, header, tensors):
    safetensors.torch.save_file(tensors, path, {"scpress": json.dumps(header)})


def refused(path):
    """The one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        load_model(path)
    (line,) = str(caught.value).splitlines()
    assert f"'{path}'" in line
    return line


@given(st.integers(0), st.integers(1, 255))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_byte_is_noticed(trained, tmp_path, place, change):
    path = tmp_path / "m"
    trained.save(path)
    whole = bytearray(path.read_bytes())
    whole[place % len(whole)] ^= change
    path.write_bytes(whole)
    # The blanks that safetensors ends its own header with are no part of a model.
    if not chr(whole[place % len(whole)]).isspace():
        refused(path)


def test_any_weight_and_any_axis_is_under_the_digest(trained, tmp_path):
    path = tmp_path / "m"
    trained.save(path)
    header, tensors = content(path)
    assert load_model(path).config.activation == "relu"
    for name, tensor in tensors.items():
        other = tensor.clone()
        if other.numel():
            other.view(-1)[0] += 1
            put(path, header, tensors | {name: other})
            assert "do not match their digest" in refused(path), name
    axes = header["config"] | {"activation": "elu"}
    for change in (
        {"config": axes},
        {"median_library_size": 7.0},
        {"record": header["record"] | {"seed": 99}},
        {"symbols": header["symbols"][::-1]},
        {"digest": None},
        {"more": 1},
    ):
        put(path, header | change, tensors)
        assert "do not match their digest" in refused(path), change


# The same with a digest that fits, or none: what a file of version 1, or another program, holds.
@pytest.fixture(scope="module")
def old():
    """(header, tensors) of a model without a digest."""
    return content(ROOT / "tests/files/0.1.0/model.safetensors")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t.pop("network.eta.bias"), "the tensor 'network.eta.bias' is missing"),
        (lambda t: t.pop("validation_cells"), "the tensor 'validation_cells' is missing"),
        (lambda t: t.update(x=torch.zeros(2)), "the tensor 'x' is of no part of its network"),
        (
            lambda t: t.update({"network.eta.bias": torch.zeros(2)}),
            r"'network.eta.bias' has shape \[2\] and type torch.float32; its network has \[\d+\]",
        ),
        (
            lambda t: t.update({"network.eta.bias": t["network.eta.bias"].double()}),
            "and type torch.float64; its network has .* and torch.float32",
        ),
        (
            lambda t: t.update(validation_cells=torch.zeros(2)),
            "'validation_cells' has shape .* type torch.float32; its network has .* torch.int64",
        ),
        (
            lambda t: t.update(validation_cells=torch.zeros(2, 2, dtype=torch.int64)),
            r"'validation_cells' has shape \[2, 2\]",
        ),
        (
            lambda t: t.update({"network.eta.bias": t["network.eta.bias"] * math.nan}),
            "'network.eta.bias' has values that are not finite",
        ),
    ],
)
def test_other_tensors_than_the_networks_are_refused_by_name(old, tmp_path, change, line):
    header, tensors = old
    tensors = dict(tensors)
    change(tensors)
    put(tmp_path / "m", header, tensors)
    assert re.search(f"is damaged: .*{line}", refused(tmp_path / "m"))


@pytest.mark.parametrize("key", ["config", "genes", "symbols", "batch_sizes", "record"])
@pytest.mark.parametrize("value", [None, 3, "x", [[]], {"a": 1}, math.nan])
def test_a_header_of_another_shape_is_refused_by_the_key(old, tmp_path, key, value):
    header, tensors = old
    put(tmp_path / "m", header | {key: value}, tensors)
    if (key, value) != ("record", {"a": 1}):  # it may be of a newer scpress
        line = refused(tmp_path / "m")
        assert f"'{key}'" in line or "its header" in line


def test_a_key_that_is_missing_or_of_another_type_is_refused_by_name(old, tmp_path):
    header, tensors = old
    for key in ("config", "genes", "symbols", "genes_digest", "median_library_size", "record"):
        put(tmp_path / "m", {k: v for k, v in header.items() if k != key}, tensors)
        assert f"its header lacks '{key}'" in refused(tmp_path / "m")
    for key in header["config"]:
        without = {k: v for k, v in header["config"].items() if k != key}
        for axes in (without, *(header["config"] | {key: one} for one in ({}, [None], 10**20))):
            put(tmp_path / "m", header | {"config": axes}, tensors)
            line = refused(tmp_path / "m")
            assert key in line or re.search("of 1(0+) genes|no network has the sizes", line)
    for value in (0, -1.0, math.inf, 10**400, True):
        put(tmp_path / "m", header | {"median_library_size": value}, tensors)
        assert "'median_library_size' in its header is" in refused(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"activation": "tanh"}, "activation must be one of relu, .*; found 'tanh'"),
        ({"likelihood": "zinb-conddisp"}, "'likelihood' in its header is 'zinb-conddisp'"),
        ({"n_latent": 0}, "n_latent must be at least 1; found 0"),
        ({"n_latent": 10**15}, "has shape"),
        ({"more": 1}, "has an unknown 'more'"),
        ({"n_genes": 3}, r"it is of 3 genes and lists \d+"),
        ({"batch_key": None}, "it has 2 batches of no column"),
        ({"batches": ["a", "b", "c", "d"]}, "it has 4 batches and sizes of"),
    ],
)
def test_axes_that_no_training_has_are_refused(old, tmp_path, change, line):
    header, tensors = old
    put(tmp_path / "m", header | {"config": header["config"] | change}, tensors)
    assert re.search(f"is damaged: .*({line})", refused(tmp_path / "m"))


@pytest.mark.parametrize(("batches", "sizes"), [((), (700,)), (("a",), (700,)), (("a", "b"), ())])
def test_a_model_without_batches_has_the_size_of_all_cells(pbmc, tmp_path, batches, sizes):
    model = untrained(modelled(pbmc, n_genes=6), TrainOptions(n_latent=2), batches)
    model.batch_sizes, model.symbols = sizes, model.genes
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert (loaded.batch_sizes, loaded.config.batches) == (sizes, batches)


def test_a_record_of_another_shape_is_refused(old, tmp_path):
    header, tensors = old
    found = header["record"]
    for change in (
        {"seed": "x"},
        {"versions": 3},
        {"versions": {"torch": 2}},
        {"verdict": 3},
        {"verdict": found["verdict"] | {"score": "low"}},
        {"verdict": {"status": "ok"}},
        {"n_training_cells": None},
        {"theta": [1]},
    ):
        put(tmp_path / "m", header | {"record": found | change}, tensors)
        refused(tmp_path / "m")
    put(tmp_path / "m", header | {"record": found | {"of_a_newer_version": 1}}, tensors)
    assert load_model(tmp_path / "m").record.seed == found["seed"]


def test_half_a_character_and_a_header_that_is_no_table_are_refused(old, tmp_path):
    header, tensors = old
    put(tmp_path / "m", header | {"symbols": ["\ud800", *header["symbols"][1:]]}, tensors)
    assert "is not a readable model file" in refused(tmp_path / "m")
    put(tmp_path / "m", [header], tensors)
    assert "and not a table of named values" in refused(tmp_path / "m")
