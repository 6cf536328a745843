"""Counts at fixed places of a device, and the captured step, against the CPU's."""

import numpy as np
import pytest
import torch
from builders import untrained, with_covariates, with_gaps
from scipy import sparse

from scpress.config.options import TrainOptions
from scpress.model.modelled import ModelledCounts
from scpress.training import cuda_graph
from scpress.training.cuda_graph import GraphStepper, PaddedRows
from scpress.training.loop import stepper

# What complete counts have not.
GAPS = ("gene_set", "measured")


@pytest.fixture
def data(pbmc):
    return with_covariates(pbmc)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("resident", [True, False])
def test_padded_rows_are_the_cells(data, resident, gaps):
    data = with_gaps(data) if gaps else data
    model = untrained(data, TrainOptions(continuous_covariates=("depth",)), ("a", "b"))
    padded = PaddedRows(data, 30, torch.device("cpu"), resident=resident)
    for seed in range(2):
        rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:30])
        padded.choose(rows)
        ours, theirs = padded.cells(model), data.take(rows).cells_of(model)
        torch.testing.assert_close(ours.counts.dense(), theirs.counts.dense(), rtol=0, atol=0)
        for name in ("size_factor", "total", "batch", "continuous", "gene_set", "measured"):
            one, other = getattr(ours, name), getattr(theirs, name)
            assert (one is None) == (other is None) == (name in GAPS and not gaps), name
            assert one is None or torch.equal(one, other), name


def test_a_row_without_nonzeros_and_stored_zeros_are_padding():
    X = sparse.csr_matrix(np.array([[0, 0, 0], [0, 2, 1]], dtype=np.int32))
    data = ModelledCounts(X, np.ones(2))
    model = untrained(data, TrainOptions(n_latent=2))
    padded = PaddedRows(data, 2, torch.device("cpu"), resident=True)
    padded.choose(np.array([0, 1]))
    assert padded.cells(model).counts.dense().tolist() == [[0, 0, 0], [0, 2, 1]]


@pytest.mark.parametrize("preset", ["scvi", "dca"])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson", "gaussian"])
def test_the_step_of_a_gpu_moves_the_network_as_the_one_of_the_cpu(data, preset, likelihood, gaps):
    data = with_gaps(data) if gaps else data
    options = TrainOptions(
        preset=preset,
        likelihood=likelihood,
        batch_size=30,
        dropout_rate=0.0,
        clip_norm=50.0,
        learning_rate=1e-3,
    )
    rows = np.arange(0, 60, 2)
    networks = []
    for is_of_gpu in (False, True):
        model = untrained(data, options, ("a", "b"))
        model.network.train()
        if not is_of_gpu:
            step = stepper(model, data, options)
            loss = step.update(data.cells_at(model, rows), noise := torch.randn(30, 10), 0.5)
        else:
            step = _unmeasured(model, data, options)
            step.rows.choose(rows)
            step.noise.copy_(noise)
            step.kl_weight.fill_(0.5)
            loss = step.compute()
        networks.append((float(loss), model.network.state_dict()))
    assert networks[0][0] == pytest.approx(networks[1][0], rel=1e-5, abs=1e-3)
    for name, value in networks[0][1].items():
        torch.testing.assert_close(networks[1][1][name], value, rtol=1e-4, atol=1e-5, msg=name)


def _unmeasured(model, data, options):
    """A GraphStepper where there is no GPU to ask for its memory."""
    fits, cuda_graph.fits = cuda_graph.fits, lambda *_: True
    noise_width = model.network.config.n_latent
    try:
        step = GraphStepper(model, data, options)
    finally:
        cuda_graph.fits = fits
    step.noise = torch.zeros(30, min(noise_width, 10))
    return step


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_a_captured_graph_trains_as_the_cpu_does(data, products):
    options = TrainOptions(batch_size=30, dropout_rate=0.0, products=products)
    losses = []
    for device in ("cpu", "cuda"):
        model = untrained(data, options)
        model.network.to(device).train()
        model.network.products = products
        step = stepper(model, data, options)
        rows = np.random.default_rng(0).permutation(len(data))
        losses.append(
            np.mean(
                [
                    float(step(np.sort(rows[30 * i : 30 * i + 30]), kl_weight=1.0, seed=i))
                    for i in range(20)
                ]
            )
        )
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_the_counts_stay_on_the_gpu_up_to_half_of_its_free_memory(data, monkeypatch, caplog):
    needed = 8 * data.X.nnz + 24 * len(data)
    for free, is_resident in ((2 * needed, True), (2 * needed - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10 * free))
        caplog.clear()
        with caplog.at_level("INFO", logger="scpress"):
            assert cuda_graph.fits(data, torch.device("cpu")) == is_resident
        assert ("copied to the GPU batch by batch" in caplog.text) != is_resident


def test_counts_are_placed_in_parts(data, monkeypatch):
    monkeypatch.setattr(cuda_graph, "_UPLOADED", 1000)
    assert data.X.nnz % 1000
    padded = PaddedRows(data, 30, torch.device("cpu"), resident=True)
    padded.choose(rows := np.arange(len(data))[-30:])
    found = padded.cells(untrained(data, TrainOptions())).counts.dense()
    np.testing.assert_array_equal(found, data.X[rows].toarray())
