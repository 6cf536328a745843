"""Who steps on a GPU: what has shown there that it computes what autograd does."""

import pytest
import torch
from builders import untrained

from scpress.config.options import TrainOptions
from scpress.training import cuda_graph
from scpress.training.cuda_graph import GraphStepper
from scpress.training.fused import choice, plain
from scpress.training.fused.stepper import FusedStepper


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "dca", "likelihood": "nb", "dispersion": "gene-cell", "dropout_rate": 0.2},
        {"preset": "ldvae", "continuous_covariates": ("depth",), "encode_covariates": True},
        {"dispersion": "gene-batch", "products": "bfloat16", "hidden": (16, 8)},
        {"likelihood": "multinomial"},
    ],
)
def test_the_step_is_within_its_bounds_and_leaves_the_network_as_it_is(fused, changes):
    step = fused(**changes)
    before = [value.clone() for value in step.state()]
    step.network.eval()
    error = choice.largest_error(step)
    assert error <= 0.2 * choice._BOUNDS[step.network.products]
    assert not step.network.training
    for value, old in zip(step.state(), before, strict=True):
        assert torch.equal(value, old)


# Of what each operation writes, a float.
WRITTEN = {
    "draw": lambda g: g[2],
    "gather": lambda g: g[6],
    "hidden": lambda g: g[4],
    "hidden_gradient": lambda g: g[5],
    "posterior": lambda g: g[3],
    "posterior_gradient": lambda g: g[5],
    "likelihood": lambda g: g[0].gradient,
    "loss": lambda g: g[3],
    "move": lambda g: g[2],
}


@pytest.mark.parametrize("name", WRITTEN)
def test_an_operation_that_is_one_percent_off_is_noticed(fused, name, monkeypatch):
    step = fused(dropout_rate=0.2, dispersion="gene-batch")
    written = WRITTEN[name]

    class Wrong:
        def __getattr__(self, other):
            right = getattr(plain, other)
            if other != name:
                return right

            def wrong(*given, **keywords):
                right(*given, **keywords)
                written(given).mul_(1.01)

            return wrong

    step._do = Wrong()
    gradients = step.gradients
    for part in (gradients, gradients.heads, gradients._encoder, gradients._decoder):
        part._do = Wrong()
    assert choice.largest_error(step) > choice._BOUNDS["float32"]


@pytest.fixture
def choose(data, monkeypatch):
    """What is chosen for options, as if triton and a GPU were there."""
    for module in (choice, cuda_graph):
        monkeypatch.setattr(module, "fits", lambda *_: True)
    monkeypatch.setattr(choice, "has_triton", lambda: True)
    asked = []

    def given(name):
        asked.append(name)
        return plain

    monkeypatch.setattr(choice, "operations", given)

    def choose_for(**changes):
        options = TrainOptions(**{"batch_size": 30, "hidden": (16,), "kernels": "fused"} | changes)
        model = untrained(data, options, ("a", "b"))
        return choice.gpu_stepper(model, data, options), asked, model.network

    return choose_for


def test_long_trainings_have_kernels_and_short_ones_need_no_compiling(choose, monkeypatch):
    step, asked, _ = choose()
    assert isinstance(step, FusedStepper)
    assert asked == ["kernels"]
    step, asked, _ = choose(max_steps=choice.COMPILED_FROM - 1)
    assert isinstance(step, FusedStepper)
    assert asked == ["kernels", "plain"]
    monkeypatch.setattr(choice, "has_triton", lambda: False)
    assert choose()[1] == ["kernels", "plain", "plain"]


@pytest.mark.parametrize(
    "changes",
    [{"kernels": "numba"}, {"activation": "elu"}, {"gene_mask": 0.2}, {"molecule_thinning": 0.1}],
)
def test_what_is_not_written_out_or_not_wanted_is_by_autograd(choose, changes):
    step, asked, _ = choose(**changes)
    assert isinstance(step, GraphStepper)
    assert asked == []


def test_what_fails_or_is_wrong_is_said_and_the_next_one_taken(choose, monkeypatch, caplog):
    errors = iter([RuntimeError("no C compiler\nbut a trace"), 0.02, 1e-9])

    def error(step):
        step.weights.values.add_(1.0)
        found = next(errors)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(choice, "largest_error", error)
    step, asked, network = choose()
    assert isinstance(step, GraphStepper)
    assert asked == ["kernels", "plain"]
    said = [record.message for record in caplog.records if "fused" in record.message]
    assert len(said) == 2
    assert "(kernels) fails: RuntimeError: no C compiler" in said[0]
    assert "trace" not in said[0]
    assert "(plain) fails: its gradient is off by 0.02" in said[1]
    # The network that the other one moves is as it was.
    _, _, fresh = choose(kernels="torch")
    for name, value in fresh.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    moved = [p for group in step.optimizer.param_groups for p in group["params"]]
    assert {p.data_ptr() for p in moved} == {p.data_ptr() for p in network.parameters()}
    errors = iter([float("nan"), 1e-4])
    step, _, _ = choose()
    assert isinstance(step, FusedStepper)
