"""Gradients by hand, and by autograd through the compiled layers, against the plain path's."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import ROOT, modelled, with_gaps

from scpress.config.options import TrainOptions
from scpress.model.axes import resolve_config
from scpress.model.compiled import layers
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder
from scpress.training.gradients import Gradients, _Hidden


def _models(data, options, **changes):
    """Two networks of the same weights: compiled, and plain in float64."""
    batches = ("a", "b") if options.dispersion == "gene-batch" else ()
    masked = data.measured is not None
    config = resolve_config(options, n_genes=data.X.shape[1], batches=batches, masked=masked)
    torch.manual_seed(0)
    ours = CountAutoencoder(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours.input_mean.fill_(0.2)
    ours.input_scale.fill_(1.5)
    plain = CountAutoencoder(config)
    plain.load_state_dict(ours.state_dict())
    plain.kernels = "torch"
    for name, value in changes.items():
        setattr(ours, name, value)
    return ours, plain.double()


def _gradients(network, data, noise):
    model = TrainedModel(network, [str(i) for i in range(data.X.shape[1])], [], 1.0)
    cells = data.cells_of(model)
    if network.eta.weight.dtype is torch.float64:
        cells = _double(cells)
        noise = noise.double()
    loss = network.train().loss(cells, kl_weight=0.7, noise=noise).total
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in network.named_parameters()}


def _gradients_by_hand(network, data, noise):
    model = TrainedModel(network, [str(i) for i in range(data.X.shape[1])], [], 1.0)
    gradients = Gradients(network.train(), len(data))
    before = {name: value.clone() for name, value in network.named_buffers()}
    # Other cells first: nothing of them may stay in the memory that is used again.
    others = data.take(np.arange(len(data))[::-1])
    others = dataclasses.replace(others, size_factor=2 * others.size_factor, batch=data.batch)
    gradients(others.cells_of(model), 1 + noise, 0.2)
    for name, value in network.named_buffers():
        value.copy_(before[name])
    loss = gradients(data.cells_of(model), noise, 0.7)
    return loss, {name: p.grad for name, p in network.named_parameters()}


def _double(cells):
    counts = dataclasses.replace(cells.counts, values=cells.counts.values.double())
    return dataclasses.replace(
        cells,
        counts=counts,
        size_factor=cells.size_factor.double(),
        total=cells.total.double(),
        continuous=None if cells.continuous is None else cells.continuous.double(),
    )


def _assert_close(loss, gradients, expected_loss, expected, limit):
    assert loss == pytest.approx(expected_loss, rel=1e-6 if limit < 1e-3 else 1e-2)
    for name, theirs in expected.items():
        if theirs is None:
            assert gradients[name] is None or not gradients[name].any(), name
            continue
        largest = float(theirs.abs().max())
        error = float((gradients[name].double() - theirs).abs().max())
        # A bias that batch norm takes out again has no gradient but the rounding of what cancels.
        assert error <= limit * (largest if largest > 1e-10 else 1.0), name


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
@pytest.mark.parametrize("preset", ["scvi", "dca", "ldvae"])
def test_gradients_equal_autograds_on_the_plain_path(
    pbmc, preset, likelihood, dispersion, products
):
    data = modelled(pbmc).take(np.arange(50))
    data.batch = np.arange(50) % 2 if dispersion == "gene-batch" else None
    options = TrainOptions(
        preset=preset, likelihood=likelihood, dispersion=dispersion, dropout_rate=0.0
    )
    ours, plain = _models(data, options, products=products)
    noise = torch.randn(50, ours.config.n_latent)
    expected = _gradients(plain, data, noise)
    limit = 1e-5 if products == "float32" else 5e-2
    _assert_close(*_gradients(ours, data, noise), *expected, limit)
    assert Gradients.are_written_out_for(ours)
    _assert_close(*_gradients_by_hand(ours, data, noise), *expected, limit)


@pytest.mark.parametrize("dense_from", [layers.DENSE_FROM, 0.0])
@pytest.mark.parametrize(
    "changes",
    [
        {"encode_covariates": True, "hidden": (24, 16)},
        {"encode_covariates": True, "preset": "dca", "hidden": (24, 16, 8)},
        {"encode_covariates": True, "preset": "ldvae"},
        {"preset": "ldvae", "input": "zscore", "prior": "none"},
        {"hidden": (24, 16), "library": "size_factor"},
        {"encoder": "deterministic", "prior": "none"},
        {"likelihood": "multinomial"},
    ],
)
def test_gradients_by_hand_of_every_way_through_the_network(pbmc, monkeypatch, changes, dense_from):
    monkeypatch.setattr(layers, "DENSE_FROM", dense_from)
    data = modelled(pbmc).take(np.arange(50))
    data.batch = np.arange(50) % 2
    data.continuous = np.linspace(-1, 1, 100, dtype=np.float32).reshape(50, 2)
    options = TrainOptions(
        dispersion="gene-batch",
        continuous_covariates=("depth", "age"),
        **{"dropout_rate": 0.0} | changes,
    )
    ours, plain = _models(data, options)
    noise = torch.randn(50, ours.config.n_latent)
    expected = _gradients(plain, data, noise)
    _assert_close(*_gradients_by_hand(ours, data, noise), *expected, 1e-5)
    for name, theirs in plain.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name).double(), theirs.double(), msg=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layer"},
        {"activation": "elu"},
        {"likelihood": "gaussian"},
        {"likelihood": "laplace"},
        {"likelihood": "bernoulli"},
        {"preset": "wae", "prior_shape": "ball"},
        {"preset": "aae"},
        {"hidden": ()},
        {"latent_l1": 0.5},
        {"pi_ridge": 2.0},
        {"preset": "contractive", "contractive": 3.0, "hidden": (24, 16)},
        {"preset": "contractive", "activation": "gelu", "hidden": (16, 16), "residual": True},
        {"preset": "dca", "tied_weights": True, "hidden": (24, 16)},
        {"hidden": (16, 16), "residual": True},
    ],
)
def test_what_is_not_written_out_by_hand_goes_through_autograd(pbmc, monkeypatch, changes):
    data = modelled(pbmc).take(np.arange(50))
    ours, plain = _models(data, TrainOptions(dropout_rate=0.0, **changes))
    assert not Gradients.are_written_out_for(ours)
    draws = torch.randn(50, ours.config.n_latent)  # of a prior, for both precisions
    monkeypatch.setattr(torch, "randn_like", lambda z: draws.to(z.dtype))
    noise = torch.randn(50, ours.config.n_latent)
    expected = _gradients(plain, data, noise)
    _assert_close(*_gradients(ours, data, noise), *expected, 1e-5)


@pytest.mark.parametrize("dense_from", [layers.DENSE_FROM, 0.0])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "dca", "encode_covariates": True},
        {"preset": "ldvae", "input": "zscore", "dispersion": "gene-batch"},
        {"likelihood": "multinomial"},
    ],
)
def test_gradients_by_hand_where_genes_were_not_measured(pbmc, monkeypatch, changes, dense_from):
    monkeypatch.setattr(layers, "DENSE_FROM", dense_from)
    data = with_gaps(modelled(pbmc).take(np.arange(50)))
    data.batch = np.arange(50) % 2
    ours, plain = _models(data, TrainOptions(**{"dropout_rate": 0.0} | changes))
    noise = torch.randn(50, ours.config.n_latent)
    expected = _gradients(plain, data, noise)
    _assert_close(*_gradients(ours, data, noise), *expected, 1e-5)
    assert Gradients.are_written_out_for(ours)
    _assert_close(*_gradients_by_hand(ours, data, noise), *expected, 1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"likelihood": "gaussian"},
        {"likelihood": "laplace"},
        {"likelihood": "bernoulli"},
        {"hidden": ()},
        {"pi_ridge": 2.0},
    ],
)
def test_gradients_of_other_networks_where_genes_were_not_measured(pbmc, changes):
    data = with_gaps(modelled(pbmc).take(np.arange(50)))
    ours, plain = _models(data, TrainOptions(dropout_rate=0.0, **changes))
    noise = torch.randn(50, ours.config.n_latent)
    expected = _gradients(plain, data, noise)
    _assert_close(*_gradients(ours, data, noise), *expected, 1e-5)


@pytest.mark.parametrize("likelihood", ["zinb", "poisson", "gaussian"])
def test_what_was_not_measured_moves_neither_loss_nor_gradients(pbmc, likelihood):
    # The weights of the output for genes that no cell of a batch was measured for.
    data = with_gaps(modelled(pbmc).take(np.arange(60)), n_sets=3)
    data = data.take(np.flatnonzero(data.measured.of_cell == 1))
    never = ~data.measured.genes[1]
    options = TrainOptions(dropout_rate=0.0, likelihood=likelihood, pi_ridge=None)
    ours, _ = _models(data, options)
    noise = torch.randn(len(data), ours.config.n_latent)
    loss, gradients = _gradients(ours, data, noise)
    assert not gradients["eta.weight"][never].any()
    assert gradients["eta.weight"][~never].any()
    with torch.no_grad():
        ours.eta.bias[never] += 3
    assert _gradients(ours, data, noise)[0] == loss


@pytest.mark.parametrize("changes", [{"latent_l1": 0.5}, {"pi_ridge": 2.0}, {"contractive": 3.0}])
def test_gradients_of_penalties_are_finite_differences(pbmc, changes):
    data = modelled(pbmc, n_genes=30).take(np.arange(20))
    options = {"preset": "contractive", "activation": "gelu", "likelihood": "zinb"} | changes
    _, network = _models(data, TrainOptions(hidden=(8,), n_latent=4, **options))
    noise = torch.zeros(20, 4)
    _, gradients = _gradients(network, data, noise)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(direction, alpha=sign * 1e-5)
                found.append(_loss(network, data, noise))
                parameter.add_(direction, alpha=-sign * 1e-5)
        expected = (found[0] - found[1]) / 2e-5
        slope = float((gradients[name] * direction).sum())
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6), name


def _loss(network, data, noise):
    model = TrainedModel(network, [str(i) for i in range(data.X.shape[1])], [], 1.0)
    loss = network.loss(_double(data.cells_of(model)), kl_weight=0.7, noise=noise.double())
    return float(loss.total)


@pytest.mark.parametrize("changes", [{"gene_mask": 0.4}, {"molecule_thinning": 0.4}])
@pytest.mark.parametrize("preset", ["scvi", "dca"])
def test_a_corrupted_input_has_gradients_by_hand(pbmc, changes, preset):
    data = modelled(pbmc).take(np.arange(50))
    ours, _ = _models(data, TrainOptions(preset=preset, dropout_rate=0.0, **changes))
    assert Gradients.are_written_out_for(ours)
    model = TrainedModel(ours.train(), [str(i) for i in range(data.X.shape[1])], [], 1.0)
    cells, noise = data.cells_of(model), torch.randn(50, ours.config.n_latent)
    found = []
    for by_hand in (True, False):
        torch.manual_seed(5)  # the corruption is drawn here
        if by_hand:
            loss = Gradients(ours, 50)(cells, noise, 0.7)
            found.append((loss, {k: p.grad.clone() for k, p in ours.named_parameters()}))
            continue
        for parameter in ours.parameters():
            parameter.grad = None
        loss = ours.loss(cells, kl_weight=0.7, noise=noise).total
        loss.backward()
        found.append((float(loss.detach()), {k: p.grad for k, p in ours.named_parameters()}))
    (by_hand, gradients), (by_autograd, expected) = found
    assert by_hand == pytest.approx(by_autograd, rel=1e-5)
    largest = max(float(theirs.abs().max()) for theirs in expected.values())
    for name, theirs in expected.items():
        # A bias that batch norm takes out again has no gradient but rounding.
        limit = 1e-5 * max(float(theirs.abs().max()), 0.1 * largest)
        torch.testing.assert_close(gradients[name], theirs, rtol=0, atol=limit, msg=name)


@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
def test_a_hidden_layer_is_torchs_norm_relu_and_dropout(dropout_rate):
    torch.manual_seed(0)
    h, gradient = torch.randn(2, 30, 16)
    h = 2 + 3 * h
    found = []
    for is_compiled in (True, False):
        norm = torch.nn.BatchNorm1d(16, eps=1e-3, momentum=0.01)
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, 16))
            norm.bias.copy_(torch.linspace(-1, 1, 16))
        torch.manual_seed(1)
        if is_compiled:
            for parameter in norm.parameters():
                parameter.grad = torch.empty(16)
            hidden = _Hidden(norm, dropout_rate, 30)
            out, by_h = hidden.forward(h), hidden.backward(gradient)
        else:
            x = h.clone().requires_grad_()
            kept = torch.ones(30, 16)
            if dropout_rate:
                kept.bernoulli_(1 - dropout_rate).div_(1 - dropout_rate)
            out = torch.relu(norm(x)) * kept
            out.backward(gradient)
            by_h = x.grad
        found.append([out, by_h, norm.weight.grad, norm.bias.grad, *norm.buffers()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_what_is_not_a_number_passes_a_hidden_layer():
    norm = torch.nn.BatchNorm1d(4)
    for parameter in norm.parameters():
        parameter.grad = torch.empty(4)
    h = torch.randn(5, 4)
    h[2, 1] = float("nan")
    assert torch.isnan(_Hidden(norm, 0.1, 5).forward(h)[:, 1]).any()


def test_clamped_entries_have_no_gradient(pbmc):
    data = modelled(pbmc, n_genes=40).take(np.arange(20))
    options = TrainOptions(preset="dca", likelihood="zinb", dropout_rate=0.0)
    ours, plain = _models(data, options)
    with torch.no_grad():
        for network in (ours, plain):
            network.eta.bias[:5] = 40.0
            network.pi_logits.bias[5:10] = -90.0
            network.log_theta.bias[10:15] = 30.0
    noise = torch.randn(20, 32)
    _, gradients = _gradients(ours, data, noise)
    _, expected = _gradients(plain, data, noise)
    assert not gradients["pi_logits.weight"][5:10].any()
    assert not gradients["log_theta.weight"][10:15].any()
    for head in ("eta", "pi_logits", "log_theta"):
        for leaf in ("weight", "bias"):
            theirs = expected[f"{head}.{leaf}"]
            error = (gradients[f"{head}.{leaf}"].double() - theirs).abs().max()
            assert error <= 1e-5 * theirs.abs().max(), head


def test_what_is_not_finite_is_not_hidden(pbmc):
    data = modelled(pbmc, n_genes=40).take(np.arange(20))
    model = TrainedModel(_models(data, TrainOptions())[0], [], [], 1.0)
    assert len(model.network.encoder.linear) == 1
    parameters = dict(model.network.named_parameters())
    for name in parameters.keys() - {"encoder.linear.0.weight"}:  # its first gene may have no count
        first = parameters[name].data.flatten()[0].clone()
        parameters[name].data.view(-1)[0] = float("nan")
        cells, noise = data.cells_of(model), torch.zeros(20, 10)
        assert not torch.isfinite(model.network.loss(cells, kl_weight=1.0, noise=noise).total), name
        assert not np.isfinite(Gradients(model.network, 20)(cells, noise, 1.0)), name
        parameters[name].data.view(-1)[0] = first
        for norm in (model.network.encoder.norm[0], model.network.decoder.norm[0]):
            norm.reset_running_stats()


# Where this file and `builders` are.
_FOLDERS = [str(Path(__file__).parent), str(ROOT / "tests")]


_DIGEST = """
import os, sys, numba, numpy as np
sys.path[:0] = sys.argv[2:]
numba.set_num_threads(int(sys.argv[1]))
import torch, test_gradients as t
from builders import modelled
from scpress.counts.demo import pbmc68k_counts
os.environ["NUMBA_NUM_THREADS"] = "3"  # conftest has set it to 1
torch.set_num_threads(1)
t.layers.use_torchs_threads = lambda: None
data = modelled(pbmc68k_counts())
network, _ = t._models(data, t.TrainOptions(dropout_rate=0.0))
loss, gradients = t._gradients_by_hand(network, data, torch.zeros(len(data), 10))
from scpress.counts.digests import digest_of
print(loss, digest_of(*(gradients[name].numpy() for name in sorted(gradients))))
"""


def test_the_bits_depend_neither_on_threads_nor_on_who_compiled_the_kernels(tmp_path):
    # The first of them compiles, the second one reads the cache.
    said = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _DIGEST, str(n), *_FOLDERS],
            env=os.environ
            | {"NUMBA_NUM_THREADS": "3", "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for n in (1, 3)
    ]
    assert said[0] == said[1]
