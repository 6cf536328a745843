"""The kernels' own arithmetic, against torch in float64."""

import pytest
import torch

_OF = {
    "log1p": (torch.log1p, (1e-8, 1e-4, 0.3, 7.0, 1e8, -0.9, 0.0)),
    "softplus": (torch.nn.functional.softplus, (-60.0, -5.0, -1e-3, 0.0, 3.0, 80.0)),
    "sigmoid": (torch.sigmoid, (-60.0, -5.0, 0.0, 3.0, 80.0)),
    "digamma_rest": (lambda z: torch.digamma(z) - torch.log(z), (1e-3, 0.1, 1.0, 7.9, 8.1, 1e4)),
    "stirling_error": (
        lambda z: (
            torch.lgamma(z + 1)
            - (z + 0.5) * torch.log(z)
            + z
            - 0.5 * torch.log(2 * torch.pi + 0 * z)
        ),
        (1e-3, 0.1, 1.0, 7.9, 8.1, 300.0),
    ),
}

_function = None  # a kernel finds what it calls among the names of its module


@pytest.mark.parametrize("name", _OF)
def test_a_function_is_torchs(kernels, name, monkeypatch):
    import triton
    import triton.language as tl

    from scpress.training.fused.kernels import arithmetic

    function = getattr(arithmetic, name)

    @triton.jit
    def apply(values, N: tl.constexpr):
        at = tl.arange(0, N)
        tl.store(values + at, _function(tl.load(values + at)))

    monkeypatch.setitem(globals(), "_function", function)
    theirs, values = _OF[name]
    x = torch.tensor([*values, *[1.0] * (8 - len(values))])
    expected = theirs(x.double())
    apply[(1,)](x, N=8)
    torch.testing.assert_close(x.double(), expected, rtol=2e-6, atol=3e-6)
