"""Files of released versions: models and scpress.h5ad load for ever, others are refused by name."""

import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from builders import ROOT
from safetensors import safe_open

from scpress.cli import main
from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad
from scpress.model.fitted import FORMAT_VERSION, OLDEST_FORMAT, load_model
from scpress.steps.embed import embed
from scpress.tables.training import TrainingRecord
from scpress.training.checkpoints import Checkpoint
from scpress.training.loop import stepper
from scpress.training.state import TrainingState

FOLDERS = sorted(path for path in (ROOT / "tests/files").iterdir() if path.is_dir())
EACH_RELEASE = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
# `unreleased` is what the version to come writes of 0.1.0's model; it has no result of its own.
EACH_RESULT = pytest.mark.parametrize(
    "folder",
    [folder for folder in FOLDERS if (folder / "scpress.h5ad").exists()],
    ids=lambda path: path.name,
)


def _trained_by(folder):
    return "0.1.0" if folder.name == "unreleased" else folder.name


def _result_of(folder):
    """Counts and latent of a folder's model."""
    return read_h5ad(ROOT / "tests/files" / _trained_by(folder) / "scpress.h5ad")


def _content(path):
    """(header, tensors) of a model file."""
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["scpress"])
        return header, {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118


def test_there_is_a_model_of_every_format_that_is_read():
    versions = set()
    for folder in FOLDERS:
        with safe_open(folder / "model.safetensors", framework="np") as file:
            versions.add(json.loads(file.metadata()["scpress"])["format_version"])
    assert versions == set(range(OLDEST_FORMAT, FORMAT_VERSION + 1))


@EACH_RELEASE
def test_an_old_model_gives_the_latent_it_gave(folder):
    model = load_model(folder / "model.safetensors")
    old = _result_of(folder)
    old.X = old.layers["counts"]
    latent = embed(old, old, model, name="vae")
    np.testing.assert_allclose(latent.obsm["X_vae"], old.obsm["X_vae"], atol=1e-5)
    np.testing.assert_allclose(latent.obs["nll_vae"], old.obs["nll_vae"], rtol=1e-5)
    assert model.record.versions["scpress"] == _trained_by(folder)
    assert model.record.verdict.status == "ok"
    assert model.n_fitted_cells == old.n_obs
    # What is written again says the same.
    assert load_model(folder / "model.safetensors").config == model.config


@EACH_RELEASE
def test_an_old_model_is_written_again_as_it_was(folder, tmp_path):
    path = folder / "model.safetensors"
    load_model(path).save(tmp_path / "again")
    (before, old), (after, new) = _content(path), _content(tmp_path / "again")
    assert new == old
    assert after.pop("format_version") == FORMAT_VERSION
    assert len(after.pop("digest")) == 32
    if before["format_version"] == FORMAT_VERSION:
        assert path.read_bytes() == (tmp_path / "again").read_bytes()
    assert after == {k: v for k, v in before.items() if k not in ("format_version", "digest")}


@EACH_RELEASE
def test_a_model_without_a_digest_says_so(folder, caplog):
    caplog.set_level("INFO", logger="scpress")
    path = folder / "model.safetensors"
    load_model(path)
    expected = [
        f"'{path}' is of format version 1, which has no digest: damage to its weights would go "
        "unnoticed"
    ]
    assert caplog.messages == (expected if _content(path)[0]["format_version"] == 1 else [])


@EACH_RESULT
def test_an_old_result_has_its_page(folder, tmp_path):
    words = ["--input", folder / "scpress.h5ad", "--output", tmp_path / "r.html"]
    words += ["--metrics", tmp_path / "m.json"]
    assert main(["report", *map(str, words)]) == 0
    metrics = json.loads((tmp_path / "m.json").read_text())
    old = read_h5ad(folder / "scpress.h5ad")
    assert metrics["n_cells"] == old.n_obs
    verdict = TrainingRecord.from_plain(old.uns["scpress"]["models"]["vae"], "x").verdict
    assert metrics["models"]["vae"]["verdict"]["score"] == verdict.score
    assert "whose fit is ok" in (tmp_path / "r.html").read_text()


def test_old_marker_tables_are_refused_by_their_columns(tmp_path, capsys):
    folder = ROOT / "tests/files/0.1.0"
    words = ["--input", folder / "scpress.h5ad", "--output", tmp_path / "r.html"]
    words += ["--metrics", tmp_path / "m.json", "--markers", folder / "markers.tsv"]
    assert main(["report", *map(str, words)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "lacks group, z, fraction_in_group, fraction_in_others" in said[0]
    assert "run `scpress annotate` or `subtype` again" in said[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (0, "has format version 0; this scpress reads versions 1 to 2. It is of an older"),
        (99, "has format version 99; this scpress reads versions 1 to 2. It is of a newer"),
        (None, "has format version None; this scpress reads versions 1 to 2. Is the file damaged"),
    ],
)
def test_too_old_and_too_new_models_are_refused_by_name(tmp_path, version, says):
    with safe_open(ROOT / "tests/files/0.1.0/model.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["scpress"]) | {"format_version": version}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file(tensors, path, {"scpress": json.dumps(header)})
    with pytest.raises(InputError, match=f"'{path}' {says}".replace("?", r"\?")):
        load_model(path)


@pytest.mark.parametrize("version", [0, 2])
def test_too_old_and_too_new_results_are_refused_by_name(tmp_path, capsys, version):
    old = read_h5ad(ROOT / "tests/files/0.1.0/scpress.h5ad")
    old.uns["scpress"]["format_version"] = version
    old.write_h5ad(tmp_path / "a.h5ad")
    words = ["--input", tmp_path / "a.h5ad", "--output", tmp_path / "r.html"]
    assert main(["report", *map(str, words), "--metrics", str(tmp_path / "m.json")]) == 2
    kind = "older" if version == 0 else "newer"
    said = capsys.readouterr().err
    assert f"a.h5ad' has format version {version}; this scpress reads version 1." in said
    assert f"of an {kind}" in said or f"of a {kind}" in said


# checkpoints ------------------------------------------------------------------------------------


def _placed(tmp_path, identity, change=None):
    """A checkpoint's folder in which the file of 0.1.0 is the current state."""
    source = ROOT / "tests/files/0.1.0/checkpoint.safetensors"
    checkpoint = Checkpoint(tmp_path, minutes=5)
    with checkpoint.claim(identity):
        pass
    target = checkpoint.folder / "current.safetensors"
    shutil.copy(source, target)
    if change is not None:
        with safe_open(target, framework="pt") as file:
            header = json.loads(file.metadata()["scpress-checkpoint"]) | change
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        safetensors.torch.save_file(tensors, target, {"scpress-checkpoint": json.dumps(header)})
    return checkpoint


def _own_identity():
    with safe_open(ROOT / "tests/files/0.1.0/checkpoint.safetensors", framework="pt") as file:
        return json.loads(json.loads(file.metadata()["scpress-checkpoint"])["identity"])


def test_a_checkpoint_of_its_own_training_is_gone_on_from(tmp_path):
    checkpoint = _placed(tmp_path, _own_identity())
    model = load_model(ROOT / "tests/files/0.1.0/model.safetensors")
    options = TrainOptions(
        max_steps=200, hidden=(8,), n_latent=3, batch_size=32, dispersion="gene-batch"
    )
    data = _counts_of(model)
    state = TrainingState(model.network, stepper(model, data, options).optimizer, options)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    state.resume(checkpoint)
    assert state.schedule.step == 100
    assert state.history[-1]["step"] == 100
    after = model.network.state_dict()
    assert not torch.equal(after["eta.weight"], before["eta.weight"])
    assert all(value.isfinite().all() for value in after.values() if value.is_floating_point())


def _counts_of(model):
    from scpress.model.modelled import modelled_counts

    old = read_h5ad(ROOT / "tests/files/0.1.0/scpress.h5ad")
    old.X = old.layers["counts"]
    return modelled_counts(old, None, model)


def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path, caplog):
    identity = _own_identity()
    identity["versions"]["scpress"] = "9.9.9"
    checkpoint = _placed(tmp_path, identity)
    assert checkpoint.load() is None
    assert caplog.messages == [
        f"checkpoint '{checkpoint.folder / 'current.safetensors'}' is of another training: "
        "versions.scpress is '0.1.0' there and '9.9.9' here. It is not used."
    ]


@pytest.mark.parametrize(("version", "kind"), [(0, "an older"), (99, "a newer")])
def test_too_old_and_too_new_checkpoints_are_refused_by_name(tmp_path, caplog, version, kind):
    checkpoint = _placed(tmp_path, _own_identity(), {"format_version": version})
    assert checkpoint.load() is None
    assert len(caplog.messages) == 1
    assert f"has format version {version}; this scpress reads version 1." in caplog.text
    assert f"It is of {kind} scpress" in caplog.text
    assert "damaged" not in caplog.text
