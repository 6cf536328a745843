"""All weights in one memory: the network's own, in the order that one pass needs."""

import pytest
import torch
from builders import untrained

from scpress.config.options import TrainOptions
from scpress.training.fused.weights import Weights


@pytest.mark.parametrize("dispersion", ["gene", "gene-cell"])
def test_the_network_is_what_it_was_and_lies_in_one_memory(data, dispersion):
    options = TrainOptions(dispersion=dispersion, hidden=(16, 8))
    network = untrained(data, options, ("a", "b")).network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = Weights(network, options)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    storage = weights.values.untyped_storage().data_ptr()
    for name, parameter in network.named_parameters():
        assert parameter.untyped_storage().data_ptr() == storage, name
    assert network.encoder.linear[0].weight.t().is_contiguous()
    weights.values += 1
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name] + 1), name
    # The gradient of every parameter has a place of its own.
    for i, name in enumerate(dict(network.named_parameters())):
        assert weights.gradient_of(name).shape == before[name].shape
        weights.gradient_of(name).fill_(i + 1.0)
    for i, name in enumerate(dict(network.named_parameters())):
        assert (weights.gradient_of(name) == i + 1.0).all()


def test_what_is_multiplied_together_lies_together(data):
    options = TrainOptions(hidden=(16,), n_latent=5)
    network = untrained(data, options).network
    weights = Weights(network, options)
    heads = weights.of("eta.weight", "pi_logits.weight")
    assert heads.data_ptr() == weights.values.data_ptr()
    assert torch.equal(heads, torch.cat([network.eta.weight, network.pi_logits.weight]))
    assert weights.end_of("pi_logits.weight") == heads.numel()
    both = weights.of("z_mean.bias", "z_log_variance.bias")
    assert torch.equal(both, torch.cat([network.z_mean.bias, network.z_log_variance.bias]))


@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
def test_the_first_floats_are_decayed_and_theta_of_genes_is_clamped(data, dispersion):
    options = TrainOptions(dispersion=dispersion)
    network = untrained(data, options, ("a", "b")).network
    weights = Weights(network, options)
    weights.values[: weights.decayed] = 7.0
    per_gene = {"eta.bias", "pi_logits.bias"}
    per_gene |= {"log_theta.bias" if dispersion == "gene-cell" else "log_theta"}
    for name, parameter in network.named_parameters():
        assert bool((parameter == 7.0).all()) == (name not in per_gene), name
    weights.values[slice(*weights.clamped)] = 9.0
    if dispersion != "gene-cell":
        assert (network.log_theta == 9.0).all()
        assert weights.clamped[1] - weights.clamped[0] == network.log_theta.numel()
    else:
        assert weights.clamped == (0, 0)


def test_adams_state_is_in_the_same_places(data):
    options = TrainOptions()
    network = untrained(data, options).network
    weights = Weights(network, options)
    weights.mean.copy_(weights.values)
    weights.square.copy_(-weights.values)
    moved = [p for group in weights.optimizer.param_groups for p in group["params"]]
    assert sum(p.numel() for p in moved) == sum(p.numel() for p in network.parameters())
    for parameter in moved:
        state = weights.optimizer.state[parameter]
        assert torch.equal(state["exp_avg"], parameter)
        assert torch.equal(state["exp_avg_sq"], -parameter)
        assert state["step"] is weights.step
    assert all(group["lr"] is weights.rate for group in weights.optimizer.param_groups)
