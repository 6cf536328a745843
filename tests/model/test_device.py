"""Which device is chosen, and what is said where there is no GPU."""

import pytest
import torch

from scpress.errors import InputError
from scpress.model.device import _GPU_VARIABLES, resolve_device


def test_a_gpu_that_was_given_but_is_not_found_is_said(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in _GPU_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert resolve_device("auto") == "cpu"
    assert not caplog.text
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    assert resolve_device("auto") == "cpu"
    assert "was given a GPU (SLURM_JOB_GPUS=0), but torch finds none" in caplog.text
    assert len(caplog.records) == 1


def test_auto_is_the_gpu_where_there_is_one(monkeypatch, caplog):
    for found in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert resolve_device("auto") == ("cuda" if found else "cpu")
        assert resolve_device("cpu") == "cpu"


def test_a_gpu_that_was_hidden_on_purpose_is_not_missed(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in zip(_GPU_VARIABLES, ("", "-1", "NoDevFiles"), strict=True):
        monkeypatch.setenv(name, value)
    assert resolve_device("auto") == "cpu"
    assert not caplog.text


def test_cuda_without_a_gpu_is_an_input_error():
    if torch.cuda.is_available():
        assert resolve_device("cuda") == "cuda"
    else:
        with pytest.raises(InputError, match="no GPU"):
            resolve_device("cuda")
