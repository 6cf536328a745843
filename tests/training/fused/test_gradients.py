"""Loss and gradients of the fused step on the CPU, against those that are written for the CPU."""

import numpy as np
import pytest
import torch
from builders import untrained

from scpress.config.options import TrainOptions
from scpress.training.fused.source import Step
from scpress.training.loop import stepper

ROWS = np.arange(0, 90, 3)


def _moved_by_both(data, fused, **changes):
    """(stepper of the CPU, fused one, losses of the same cells) after a step."""
    options = TrainOptions(
        **{"batch_size": 30, "hidden": (16,), "n_latent": 5, "dropout_rate": 0.0, "clip_norm": 1e9}
        | changes
    )
    model = untrained(data, options, ("a", "b"))
    model.network.train()
    ours, theirs = fused(**{"dropout_rate": 0.0, "clip_norm": 1e9} | changes), None
    theirs = stepper(model, data, options)
    torch.manual_seed(1)
    noise = torch.randn(30, 5)
    ours.source.choose([Step(ROWS, 0.5 if model.config.prior == "kl" else 0.0, 0)])
    if ours.noise.numel():
        ours.noise[0] = noise
    ours.gradients.heads.cast()
    ours.differentiate(0)
    ours.move()
    expected = theirs.update(data.cells_at(model, ROWS), noise, 0.5)
    return theirs, ours, (float(ours.losses[0]), float(expected))


def _assert_same(theirs, ours, losses):
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, parameter in theirs.network.named_parameters():
        largest = float(parameter.grad.abs().max())
        error = float((ours.weights.gradient_of(name) - parameter.grad).abs().max())
        # A bias that batch norm takes out again has no gradient but rounding.
        assert error <= 1e-5 * (largest if largest > 1e-4 else 1.0), name
    for name, value in theirs.network.state_dict().items():
        torch.testing.assert_close(
            ours.network.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name
        )


@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson", "multinomial"])
@pytest.mark.parametrize("preset", ["scvi", "dca", "ldvae"])
def test_gradients_are_those_of_the_cpu(data, fused, preset, likelihood, dispersion):
    changes = {"preset": preset, "likelihood": likelihood, "dispersion": dispersion}
    if likelihood == "multinomial":
        changes["library"] = "observed"
    _assert_same(*_moved_by_both(data, fused, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"encode_covariates": True, "hidden": (24, 16)},
        {"encode_covariates": True, "preset": "dca", "hidden": (24, 16, 8)},
        {"encode_covariates": True, "preset": "ldvae"},
        {"preset": "ldvae", "input": "zscore", "prior": "none"},
        {"library": "size_factor"},
        {"encoder": "deterministic", "prior": "none"},
    ],
)
def test_every_way_through_the_network(data, fused, changes):
    more = {"continuous_covariates": ("depth",), "weight_decay": 0.01}
    _assert_same(*_moved_by_both(data, fused, **more | changes))


@pytest.mark.parametrize("preset", ["scvi", "dca", "ldvae"])
def test_bfloat16_heads_are_near(data, fused, preset):
    _, exact, _ = _moved_by_both(data, fused, preset=preset)
    _, ours, losses = _moved_by_both(data, fused, preset=preset, products="bfloat16")
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    for name, _ in ours.network.named_parameters():
        expected = exact.weights.gradient_of(name)
        error = float((ours.weights.gradient_of(name) - expected).abs().max())
        assert error <= 5e-2 * max(float(expected.abs().max()), 1.0), name
    heads = ours.network.eta.weight.detach().bfloat16()
    assert torch.equal(ours.gradients.heads.halves[: heads.numel()].view(heads.shape), heads)


def test_what_is_not_finite_is_not_hidden(fused):
    step = fused(dropout_rate=0.0)
    parameters = dict(step.network.named_parameters())
    for name in parameters.keys() - {"encoder.linear.0.weight"}:  # its first gene may have no count
        parameter = parameters[name].data.view(-1)
        first = parameter[0].clone()
        parameter[0] = float("nan")
        step.source.choose([Step(ROWS, 1.0, 0)])
        step.differentiate(0)
        assert not torch.isfinite(step.losses[0]), name
        parameter[0] = first
        step.network.encoder.norm[0].reset_running_stats()


def test_clamped_entries_have_no_gradient(fused):
    step = fused(preset="dca", likelihood="zinb", dispersion="gene-cell", dropout_rate=0.0)
    network = step.network
    with torch.no_grad():
        network.eta.bias[:5] = 40.0
        network.pi_logits.bias[5:10] = -90.0
        network.log_theta.bias[10:15] = 30.0
    step.source.choose([Step(ROWS, 0.0, 0)])
    step.differentiate(0)
    for head, genes in (
        ("eta", slice(5)),
        ("pi_logits", slice(5, 10)),
        ("log_theta", slice(10, 15)),
    ):
        for leaf in ("weight", "bias"):
            gradient = step.weights.gradient_of(f"{head}.{leaf}")
            assert not gradient[genes].any()
            assert gradient[15:].any()
