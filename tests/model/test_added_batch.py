"""A batch more in a model: what it was stays, bit for bit, and what is new can move."""

import numpy as np
import pytest
import torch
from builders import modelled, untrained, with_covariates

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.added_batch import takes_batches, with_batch

KINDS = {
    "no batches": ((), {}),
    "in the decoder": (("a", "b"), {}),
    "in the encoder too": (("a", "b"), {"encode_covariates": True}),
    "two layers": (("a", "b"), {"encode_covariates": True, "hidden": (16, 8)}),
    "theta of each batch": (("a", "b"), {"dispersion": "gene-batch"}),
    "theta of the first batch": ((), {"dispersion": "gene-batch"}),
    "theta of each cell": (("a", "b"), {"dispersion": "gene-cell", "decoder": "linear"}),
    "a continuous covariate": (("a", "b"), {"continuous_covariates": ("depth",)}),
}


def trained_like(pbmc, batches, axes):
    options = TrainOptions(**{"hidden": (16,)} | axes, batch_key="sample" if batches else None)
    data = with_covariates(pbmc)
    if not batches:
        data.batch = None
    if "continuous_covariates" not in axes:
        data.continuous = None
    model = untrained(data, options, batches)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.batch_sizes = (350, 350) if batches else (700,)
    return model, data


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_the_model_are_what_they_were(pbmc, kind):
    model, data = trained_like(pbmc, *KINDS[kind])
    wide, free = with_batch(model, "new", 30)
    if data.batch is None:
        data.batch = np.zeros(len(data), dtype=np.int64)
    cells, old = data.cells_of(wide), data.cells_of(model)
    for ours, theirs in zip(wide.encode(cells), model.encode(old), strict=True):
        # A deeper layer's sums have a term of zero more, and may be rounded otherwise.
        far = 1e-5 if kind == "two layers" else 0
        np.testing.assert_allclose(ours, theirs, rtol=far, atol=far)
    z, _ = model.encode(old)
    np.testing.assert_allclose(
        wide.log_likelihood(cells, z), model.log_likelihood(old, z), rtol=1e-5
    )
    assert wide.config.batches == (*(model.config.batches or ("reference",)), "new")
    assert wide.batch_sizes == (*model.batch_sizes, 30)
    # Each free weight is of the new batch: without them the decoder knows it as an old one.
    assert all(mask.sum() in mask.shape for mask in free.values())
    assert ("log_theta" in free) == ("gene-batch" in str(KINDS[kind]))
    assert any(name.startswith("encoder") for name in free)
    assert any(not name.startswith("encoder") for name in free)


def test_a_new_batch_starts_between_the_others(pbmc):
    model, _ = trained_like(pbmc, ("a", "b"), {"dispersion": "gene-batch"})
    wide, _ = with_batch(model, "new", 30)
    theta = wide.network.log_theta.detach()
    assert torch.allclose(theta[2], theta[:2].mean(dim=0))
    entering = wide.network.decoder.linear[0].weight.detach()[:, -3:]
    assert torch.allclose(entering[:, 2], entering[:, :2].mean(dim=1))
    assert (wide.network.encoder.linear[0].weight[:, -3:] == 0).all()


def test_a_name_that_is_there_is_refused(pbmc):
    model, _ = trained_like(pbmc, ("a", "b"), {})
    with pytest.raises(InputError, match=r"has a batch 'b' already; it has a, b"):
        with_batch(model, "b", 30)


def test_a_batch_needs_a_hidden_layer_of_its_own(pbmc):
    data = modelled(pbmc)
    plain = TrainOptions(batch_key=None)
    assert takes_batches(untrained(data, plain))
    assert not takes_batches(untrained(data, TrainOptions(preset="pca", batch_key=None)))
    assert not takes_batches(untrained(data, TrainOptions(batch_key=None, tied_weights=True)))
