"""Where a network computes: the GPU where there is one."""

import logging
import os

import torch

from scpress.errors import InputError

log = logging.getLogger("scpress")

# Set by Slurm, or by whoever shares out the GPUs of a machine, for a job that has one.
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES")


def resolve_device(device: str) -> str:
    """`auto` is the GPU where there is one, and the CPU elsewhere.

    Raises
    ------
    InputError
        cuda was asked for and is not there.
    """
    if device == "auto" and not torch.cuda.is_available():
        values = {name: os.environ.get(name, "") for name in _GPU_VARIABLES}
        given = [f"{k}={v}" for k, v in values.items() if v not in ("", "-1", "NoDevFiles")]
        if given:
            log.warning(
                "this job was given a GPU (%s), but torch finds none: it computes on the CPU. "
                "Is torch's CUDA build installed, and the driver? device cuda fails instead.",
                given[0],
            )
        return "cpu"
    if device == "auto":
        return "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for, but torch finds no GPU. Use --device auto.")
    return device
