"""An interrupted training goes on to the same bits; nothing else is taken for its state."""

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from builders import explode_at_step, normalized_of, panels_of

from scpress.config.options import TrainOptions
from scpress.errors import InputError, InterruptedTrainingError
from scpress.io.h5ad import write_h5ad
from scpress.model.fitted import load_model, trained_options
from scpress.model.modelled import modelled_counts
from scpress.steps import train as train_step
from scpress.training import checkpoints
from scpress.training import stepper as stepping
from scpress.training.checkpoints import Checkpoint
from scpress.training.split import split_validation

OPTIONS = TrainOptions(
    max_steps=90,
    validate_every=20,
    kl_warmup_steps=20,
    batch_size=64,
    batch_key=None,
    averaged_steps=10,  # so that the average's terms have their final weight from step 45
)
ALWAYS, NEVER = 0.0, 1e9
# The steps that are counted and stopped here, and their bits, are the CPU's.
train = partial(train_step.train, device="cpu")


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs after it."""


@pytest.fixture(scope="module")
def normalized(pbmc):
    return normalized_of(pbmc)


@pytest.fixture(scope="module")
def whole(pbmc, normalized, tmp_path_factory):
    """The file and the history of a training that nothing interrupted."""
    model, history = train(pbmc, normalized, OPTIONS)
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    model.save(path)
    return path.read_bytes(), history


def _same(model, history, whole, path):
    model.save(path)
    assert path.read_bytes() == whole[0]
    assert history.equals(whole[1])


def _at_step(monkeypatch, step, action):
    """Do something in the middle of a step."""
    update, done = stepping.Stepper.update, {"steps": 0}

    def acting(self, *arguments):
        loss = update(self, *arguments)
        done["steps"] += 1
        if done["steps"] == step:
            action()
        return loss

    monkeypatch.setattr(stepping.Stepper, "update", acting)


def _kill():
    raise Killed


@pytest.mark.parametrize("step", np.random.default_rng(7).permutation(np.arange(1, 90))[:10])
@pytest.mark.parametrize("how", ["kill", "sigterm"])
def test_twenty_random_steps_resume_to_the_same_bytes(
    pbmc, normalized, whole, tmp_path, monkeypatch, how, step
):
    def terminate():
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        _at_step(patch, step, _kill if how == "kill" else terminate)
        # A killed training has what was saved last; a terminated one saves now.
        minutes = ALWAYS if how == "kill" else NEVER
        with pytest.raises((Killed, InterruptedTrainingError)):
            train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=minutes))
    assert list(tmp_path.glob("*/current.safetensors"))
    seen = []
    _at_step(monkeypatch, 1, lambda: seen.append(True))
    checkpoint = Checkpoint(tmp_path, minutes=NEVER)
    model, history = train(pbmc, normalized, OPTIONS, checkpoint=checkpoint)
    _same(model, history, whole, tmp_path / "model")
    checkpoint.remove()
    assert not list(tmp_path.glob("*/"))


@pytest.mark.parametrize(
    "axes",
    [
        {"gene_mask": 0.3, "molecule_thinning": 0.2},
        {"likelihood": "bernoulli"},
        {"preset": "wae", "prior_shape": "mixture", "kl_warmup_steps": 200},
        {"preset": "aae", "prior_shape": "ball", "kl_warmup_steps": 200},
        {"likelihood": "laplace"},
        {"input_noise": 0.5, "latent_l1": 0.1, "pi_ridge": 1.0},
        {"preset": "contractive", "tied_weights": True, "hidden": (16, 16), "residual": True},
    ],
)
def test_every_axis_resumes_to_the_same_bytes(pbmc, normalized, tmp_path, monkeypatch, axes):
    options = dataclasses.replace(OPTIONS, max_steps=60, **axes)
    model, history = train(pbmc, normalized, options)
    model.save(tmp_path / "whole")
    with monkeypatch.context() as patch:
        _at_step(patch, 52, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(InterruptedTrainingError):
            train(pbmc, normalized, options, checkpoint=Checkpoint(tmp_path / "c", minutes=NEVER))
    checkpoint = Checkpoint(tmp_path / "c", minutes=NEVER)
    resumed = train(pbmc, normalized, options, checkpoint=checkpoint)
    _same(*resumed, ((tmp_path / "whole").read_bytes(), history), tmp_path / "model")
    # The file says the axes, and gives the same codes back.
    loaded = load_model(tmp_path / "model")
    assert loaded.config == model.config
    options, _ = trained_options(tmp_path / "model")
    assert {name: getattr(options, name) for name in axes} == axes


def test_counts_with_gaps_resume_to_the_same_bytes(pbmc, tmp_path, monkeypatch):
    counts, normalized = panels_of(pbmc, n_genes=80)
    options = dataclasses.replace(OPTIONS, max_steps=60, batch_key="sample")
    model, history = train(counts, normalized, options)
    model.save(tmp_path / "whole")
    with monkeypatch.context() as patch:
        _at_step(patch, 52, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(InterruptedTrainingError):
            train(counts, normalized, options, checkpoint=Checkpoint(tmp_path / "c", minutes=NEVER))
    # What was measured is a part of what a checkpoint is of.
    other = counts.copy()
    gene = int(np.flatnonzero(~counts.varm["measured"][:, 1])[0])
    other.varm["measured"] = counts.varm["measured"].copy()
    other.varm["measured"][gene, 1] = True
    identities = [
        modelled_counts(one, normalized, model).digest() for one in (counts, other, counts)
    ]
    assert identities[0] == identities[2] != identities[1]
    checkpoint = Checkpoint(tmp_path / "c", minutes=NEVER)
    resumed = train(counts, normalized, options, checkpoint=checkpoint)
    _same(*resumed, ((tmp_path / "whole").read_bytes(), history), tmp_path / "model")


def test_a_resumed_training_does_not_begin_again(pbmc, normalized, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        _at_step(patch, 70, _kill)
        with pytest.raises(Killed):
            train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=ALWAYS))
    steps = []
    update = stepping.Stepper.update
    monkeypatch.setattr(
        stepping.Stepper, "update", lambda self, *a: (steps.append(1), update(self, *a))[1]
    )
    with caplog.at_level(logging.INFO, logger="scpress"):
        train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=NEVER))
    assert len(steps) == 90 - 69
    assert "going on from step 69" in caplog.text


def test_sigusr1_saves_and_goes_on(pbmc, normalized, whole, tmp_path, monkeypatch):
    _at_step(monkeypatch, 33, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    before = signal.getsignal(signal.SIGUSR1)
    model, history = train(
        pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=NEVER)
    )
    assert len(list(tmp_path.glob("*/current.safetensors"))) == 1
    assert signal.getsignal(signal.SIGUSR1) == before
    _same(model, history, whole, tmp_path / "model")


def test_a_rollback_before_the_interruption_is_kept(pbmc, normalized, tmp_path, monkeypatch):
    calls = explode_at_step(30, monkeypatch)
    model, history = train(pbmc, normalized, OPTIONS)
    model.save(tmp_path / "whole")
    assert model.record.verdict.rollbacks == 1

    calls["n"] = 0
    with monkeypatch.context() as patch:
        _at_step(patch, 64, _kill)
        with pytest.raises(Killed):
            train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=ALWAYS))
    model, history_again = train(
        pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=NEVER)
    )
    model.save(tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert history_again.equals(history)


@pytest.fixture
def interrupted(pbmc, normalized, tmp_path, monkeypatch):
    """A folder with two saved states of one training."""
    with monkeypatch.context() as patch:
        _at_step(patch, 50, _kill)
        with pytest.raises(Killed):
            train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=ALWAYS))
    return tmp_path


def test_another_configuration_is_never_used(pbmc, normalized, interrupted, caplog):
    (folder,) = interrupted.glob("*/")
    # Not even when its file lies in the other one's folder.
    other = dataclasses.replace(OPTIONS, learning_rate=1e-3)
    _, fresh_history = train(pbmc, normalized, other)
    probe = Checkpoint(interrupted, minutes=NEVER)
    with caplog.at_level(logging.INFO, logger="scpress"):
        _, history = train(pbmc, normalized, other, checkpoint=probe)
    assert probe.folder != folder
    assert "going on" not in caplog.text
    assert history.equals(fresh_history)
    for name in ("current", "previous"):
        shutil.copy(folder / f"{name}.safetensors", probe.folder)
    with caplog.at_level(logging.WARNING, logger="scpress"):
        _, history = train(pbmc, normalized, other, checkpoint=probe)
    rates = f"options.learning_rate is None there and {other.learning_rate} here"
    assert caplog.text.count(f"of another training: {rates}") == 2
    assert history.equals(fresh_history)
    assert folder.exists()


@pytest.mark.parametrize(
    "changed", ["seed", "counts", "held_out", "size_factor", "latent", "threads", "kernels"]
)
def test_everything_the_bits_depend_on_is_in_the_name(pbmc, normalized, tmp_path, changed):
    short = dataclasses.replace(OPTIONS, max_steps=1, allow_failed_fit=True)
    probes = [Checkpoint(tmp_path, minutes=NEVER) for _ in range(3)]
    train(pbmc, normalized, short, checkpoint=probes[0])
    # Not where the data lie or how often is saved.
    operational = dataclasses.replace(short, memory_mb=0, checkpoint_minutes=77.0)
    train(pbmc, normalized, operational, checkpoint=probes[1])
    assert probes[1].folder == probes[0].folder
    counts, options, seed, sizes = pbmc, short, 0, normalized
    threads = torch.get_num_threads()
    if changed == "seed":
        seed = 1
    if changed == "counts":
        counts = pbmc.copy()
        counts.X.data += 1
    if changed == "held_out":
        _, held_out = split_validation(np.zeros(pbmc.n_obs), short.validation_fraction)
        counts = pbmc.copy()
        for row in held_out:
            counts.X.data[counts.X.indptr[row] : counts.X.indptr[row + 1]] += 1
    if changed == "size_factor":
        sizes = normalized.copy()
        # Of half of the cells, or the median would take it out again.
        sizes.obs.iloc[::2] *= 2
    if changed == "latent":
        options = dataclasses.replace(short, n_latent=9)
    if changed == "kernels":
        options = dataclasses.replace(short, kernels="torch")
    try:
        if changed == "threads":
            torch.set_num_threads(threads + 1)
        train(counts, sizes, options, seed=seed, checkpoint=probes[2])
    finally:
        torch.set_num_threads(threads)
    assert probes[2].folder != probes[0].folder


@pytest.mark.parametrize("damage", ["truncated", "flipped", "header", "empty", "foreign"])
def test_a_damaged_one_is_reported_and_the_previous_one_used(
    pbmc, normalized, whole, interrupted, caplog, damage
):
    (path,) = interrupted.glob("*/current.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-100]
    elif damage == "flipped":
        content[-1000] ^= 1
    elif damage == "header":
        at = content.index(b'lowered_step\\": 0') + len(b'lowered_step\\": ')
        content[at : at + 1] = b"7"
    elif damage == "empty":
        content = b""
    else:
        from safetensors.torch import save

        content = save({"a": torch.zeros(2)})
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.INFO, logger="scpress"):
        model, history = train(
            pbmc, normalized, OPTIONS, checkpoint=Checkpoint(interrupted, minutes=NEVER)
        )
    assert f"'{path}' is damaged" in caplog.text
    assert "going on from step 48" in caplog.text
    _same(model, history, whole, interrupted / "model")


def test_a_newer_format_is_not_read(interrupted, pbmc, normalized, monkeypatch, caplog):
    monkeypatch.setattr(checkpoints, "FORMAT_VERSION", 99)
    train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(interrupted, minutes=NEVER))
    assert "format version 1" in caplog.text


def test_another_kind_of_cpu_is_said(interrupted, pbmc, normalized, monkeypatch, caplog):
    monkeypatch.setattr(checkpoints, "cpu_kind", lambda: "another")
    train(pbmc, normalized, OPTIONS, checkpoint=Checkpoint(interrupted, minutes=NEVER))
    assert "another kind of CPU" in caplog.text


def test_one_writer_at_a_time(tmp_path):
    with Checkpoint(tmp_path, minutes=NEVER).claim({"a": 1}):
        with Checkpoint(tmp_path, minutes=NEVER).claim({"a": 2}):
            pass
        with (
            pytest.raises(InputError, match=f"process {os.getpid()} on .* is training this"),
            Checkpoint(tmp_path, minutes=NEVER).claim({"a": 1}),
        ):
            pass
    with Checkpoint(tmp_path, minutes=NEVER).claim({"a": 1}):
        pass


def test_minutes_pass_between_two_saves(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path, minutes=2)
    with checkpoint.claim({"a": 1}):
        for saved_at in (1000.0, 1120.0):
            for after, is_due in ((0.0, False), (2.0, False), (119.9, False), (120.0, True)):
                now[0] = saved_at + after
                assert checkpoint.is_due == is_due, after
            checkpoint.save({}, {})


def test_a_signal_that_ends_is_not_lost_to_one_that_saves(tmp_path):
    checkpoint = Checkpoint(tmp_path, minutes=NEVER)
    with checkpoint.claim({"a": 1}):
        assert not checkpoint.is_due
        os.kill(os.getpid(), signal.SIGUSR1)
        assert checkpoint.is_due
        checkpoint.end_if_asked(3)
        assert not checkpoint.is_due
        for number in (signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        with pytest.raises(InterruptedTrainingError, match="SIGTERM at step 4: could not be saved"):
            checkpoint.end_if_asked(4)


def test_the_digest_is_of_tensors_their_names_and_the_state(tmp_path):
    from safetensors.torch import load, save

    checkpoint = Checkpoint(tmp_path, minutes=NEVER)
    tensors, state = {"a": torch.ones(2), "b": torch.zeros(2)}, {"step": 3}
    with checkpoint.claim({"x": 1}):
        checkpoint.save(tensors, state)
        found, found_state = checkpoint.load()
        assert found_state == state
        assert all(torch.equal(found[name], value) for name, value in tensors.items())
        path = checkpoint.folder / "current.safetensors"
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        own = load(content)
        other_state = {"scpress-checkpoint": metadata["scpress-checkpoint"].replace("3}", "4}")}
        assert other_state != metadata
        for one, header in (
            ({"a": own["b"], "b": own["a"]}, metadata),
            ({"a": own["a"]}, metadata),
            (own, other_state),
        ):
            path.write_bytes(save(one, metadata=header))
            assert checkpoint.load() is None
        path.write_bytes(save(own, metadata=metadata))
        assert checkpoint.load() is not None


@pytest.mark.parametrize("step", [90, 60])
def test_a_signal_in_the_last_step_is_not_lost(pbmc, normalized, tmp_path, monkeypatch, step):
    # At step 60 the patience is over.
    options = dataclasses.replace(OPTIONS, patience=1, learning_rate=1e-8, allow_failed_fit=True)
    if step == 90:
        options = OPTIONS
    model, history = train(pbmc, normalized, options)
    model.save(tmp_path / "whole")
    last = history["step"].iloc[-1]
    with monkeypatch.context() as patch:
        _at_step(patch, last, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(InterruptedTrainingError, match=f"SIGTERM at step {last}: saved"):
            train(pbmc, normalized, options, checkpoint=Checkpoint(tmp_path, minutes=NEVER))
    _at_step(monkeypatch, 1, pytest.fail)
    model, history_again = train(
        pbmc, normalized, options, checkpoint=Checkpoint(tmp_path, minutes=NEVER)
    )
    model.save(tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert history_again.equals(history)


def test_another_holder_of_the_folder_keeps_it(tmp_path):
    first, second = (Checkpoint(tmp_path, minutes=NEVER) for _ in range(2))
    with first.claim({"a": 1}):
        pass
    with second.claim({"a": 1}):
        second.save({"x": torch.zeros(2)}, {})
        first.remove()
        assert second.load() is not None
    second.remove()
    assert not second.folder.exists()


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(
    pbmc, normalized, whole, tmp_path, monkeypatch, caplog
):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    model, history = train(
        pbmc, normalized, OPTIONS, checkpoint=Checkpoint(tmp_path, minutes=ALWAYS)
    )
    assert "No space left on device. Training goes on" in caplog.text
    assert not list(tmp_path.glob("*/*.safetensors"))
    assert not list(tmp_path.glob("*/.*.tmp"))
    _same(model, history, whole, tmp_path / "model")


def test_the_file_is_safetensors_with_json_and_no_pickle(interrupted):
    from safetensors import safe_open

    (path,) = interrupted.glob("*/current.safetensors")
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["scpress-checkpoint"])
        assert {"now.network.eta.weight", "good.network.eta.weight", "running"} <= set(file.keys())
    assert header["state"]["schedule"]["step"] == 49
    assert header["state"]["history"][-1]["step"] == 40


# a real process ----------------------------------------------------------------------------------


def _command(folder, name):
    words = ["train", "--counts", "counts.h5ad", "--normalized", "normalized.h5ad"]
    words += ["--max-steps", "1500", "--patience", "1500", "--validate-every", "100"]
    words += ["--kl-warmup-steps", "50", "--batch-key", "null", "--hidden", "32"]
    words += ["--checkpoint-minutes", "0.001", "--allow-failed-fit", "--device", "cpu"]
    words += ["--checkpoints", "checkpoints", "--output", f"{name}/m", "--history", f"{name}/h"]
    return [sys.executable, "-m", "scpress", *words]


def _saved(folder):
    return list(folder.glob("checkpoints/*/current.safetensors"))


@pytest.mark.slow
def test_killed_processes_leave_what_the_same_command_goes_on_from(pbmc, normalized, tmp_path):
    write_h5ad(pbmc.copy(), tmp_path / "counts.h5ad")
    write_h5ad(normalized.copy(), tmp_path / "normalized.h5ad")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        had = {path: path.stat().st_mtime_ns for path in _saved(tmp_path)}
        process = subprocess.Popen(
            _command(tmp_path, "killed"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        # Until it has saved something of its own.
        while not any(p.stat().st_mtime_ns != had.get(p) for p in _saved(tmp_path)):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number
            assert f"{number.name} at step" in errors
            assert "the same command goes on from there." in errors
        assert not (tmp_path / "killed/m").exists()
    for name in ("killed", "undisturbed"):
        done = subprocess.run(
            _command(tmp_path, name), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ("going on from step" in done.stderr) == (name == "killed")
    for part in ("m", "h"):
        one, two = (tmp_path / name / part for name in ("killed", "undisturbed"))
        assert one.read_bytes() == two.read_bytes()
    assert not (tmp_path / "checkpoints").exists()


def test_those_of_one_result_go_together(tmp_path):
    all_of_them = checkpoints.Checkpoints(tmp_path / "kept", minutes=0.5)
    for number in range(2):
        one = all_of_them.next()
        assert one.minutes == 0.5
        with one.claim({"training": number}):
            pass
    assert len(list((tmp_path / "kept").iterdir())) == 2
    all_of_them.remove()
    assert not (tmp_path / "kept").exists()
