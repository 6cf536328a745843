"""The cells of the next steps, from counts that stay on the device or are sent to it."""

import numpy as np
import pytest
import torch
from builders import untrained

from scpress.config.options import TrainOptions
from scpress.training.fused import plain
from scpress.training.fused.source import Source, Step


@pytest.mark.parametrize("input_", ["log1p", "zscore"])
@pytest.mark.parametrize("resident", [True, False])
def test_the_chosen_cells_are_those_that_the_network_reads(data, resident, input_):
    options = TrainOptions(continuous_covariates=("depth",), input=input_)
    model = untrained(data, options, ("a", "b"))
    model.network.input_mean.uniform_()
    model.network.input_scale.uniform_(1, 2)
    source = Source(model, data, 20, 3, resident=resident)
    moments = (model.network.input_mean, model.network.input_scale)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        steps = [Step(np.sort(rng.permutation(len(data))[:20]), 0.1 * i, 7 + i) for i in range(3)]
        source.choose(steps[: 3 - seed])
        for i, step in enumerate(steps[: 3 - seed]):
            cells = data.take(step.rows).cells_of(model)
            counts, inputs = torch.full((2, 20, 60), np.nan)
            total, size = torch.empty(2, 20)
            csr_rows, rows = source.rows(i)
            to = (counts, inputs, total, size)
            scaled = moments if input_ == "zscore" else None
            plain.gather(source.csr, csr_rows, source.size_factor, rows, scaled, *to)
            assert torch.equal(counts, cells.counts.dense())
            torch.testing.assert_close(inputs, model.network._input(cells))
            assert torch.equal(total, cells.total)
            assert torch.equal(size, cells.size_factor)
            assert torch.equal(source.batch[rows], cells.batch)
            torch.testing.assert_close(source.continuous[rows], cells.continuous)
            assert float(source.kl_weight(i)) == pytest.approx(step.kl_weight)
            assert int(source.seeds[i]) == step.seed
