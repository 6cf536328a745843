"""Kernels beside their plain twins: on a GPU where there is one, else in triton's interpreter."""

import os

import pytest
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def kernels():
    """The module of all kernels."""
    pytest.importorskip("triton", reason="triton is not installed: its plain twins are tested")
    from scpress.training.fused import kernels

    return kernels


@pytest.fixture
def both(kernels):
    """Calls an operation of the kernels and of the twin on copies; gives what both wrote."""
    from scpress.training.fused import plain

    def copied(value):
        if isinstance(value, torch.Tensor):
            # Strides are kept, as some are parts of rows.
            one = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=DEVICE)
            return one.copy_(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(copied(one) for one in value))
        return tuple(copied(one) for one in value) if isinstance(value, tuple) else value

    def tensors(values):
        for value in values:
            if isinstance(value, torch.Tensor):
                yield value
            elif isinstance(value, tuple):
                yield from tensors(value)

    def call(name, *given, skip=(), rtol=1e-5, atol=1e-6, **keywords):
        found = []
        for module in (kernels, plain):
            own = [copied(value) for value in given]
            getattr(module, name)(*own, **keywords)
            found.append(own)
        pairs = zip(tensors(found[0]), tensors(found[1]), strict=True)
        for i, (ours, theirs) in enumerate(pairs):
            if i not in skip:
                torch.testing.assert_close(
                    ours, theirs, rtol=rtol, atol=atol, msg=lambda m, i=i: f"{i}: {m}"
                )
        return found[0]

    return call
