"""Genes are decoded in a batch that measured them, and shared out over what it learned."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import modelled, untrained, with_gaps

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.decoding import encode_block, require_seeds


@pytest.fixture
def model_and_data(pbmc):
    data = with_gaps(modelled(pbmc, n_genes=40).take(np.arange(30)), n_sets=2)
    data.batch = np.arange(30) % 2
    model = untrained(data, TrainOptions(n_latent=2, likelihood="nb"), ("a", "b"))
    model.batch_sizes = (10, 20)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.network.measured.copy_(torch.from_numpy(data.measured.genes))
    model.network.eval()
    return model, data


def test_the_mean_is_in_proportion_to_what_was_seen_in_the_batch(model_and_data):
    model, data = model_and_data
    encoded = encode_block(model, slice(0, 30), data, 1)
    found = encoded.decode(model.mean_counts)
    measured = data.measured.genes
    z, mask = torch.from_numpy(encoded.z), data.measured.mask()
    in_each = []
    for code in (0, 1):
        # b is the reference; a is for what b has not measured.
        genes = measured[1] if code else measured[0] & ~measured[1]
        one_hot = torch.nn.functional.one_hot(torch.full((30,), code), 2).float()
        eta = model.network.eta(model.network.decoder(z, one_hot)).detach().numpy()
        seen = mask & measured[code]
        total = (data.X.toarray() * measured[code]).sum(axis=1)
        expected = np.exp(eta) * (total / (np.exp(eta) * seen).sum(axis=1))[:, None]
        np.testing.assert_allclose(found[:, genes], expected[:, genes], rtol=1e-3, atol=1e-6)
        in_each.append(expected)
    # Without a reference every batch that measured a gene has its part, by its cells.
    part = measured * np.array([[10], [20]])
    mean = (in_each[0] * part[0] + in_each[1] * part[1]) / part.sum(axis=0)
    found = encode_block(model, slice(0, 30), data, None).decode(model.mean_counts)
    np.testing.assert_allclose(found, mean, rtol=1e-3, atol=1e-6)


def test_without_a_shared_gene_nothing_is_decoded(model_and_data):
    model, data = model_and_data
    genes = np.zeros((2, 40), dtype=bool)
    genes[0, :20], genes[1, 20:] = True, True
    apart = dataclasses.replace(data.measured, genes=genes)
    X = data.X.multiply(apart.mask()).tocsr()
    model.network.measured.copy_(torch.from_numpy(genes))
    with pytest.raises(InputError, match="share no modelled gene"):
        encode_block(model, slice(0, 30), dataclasses.replace(data, X=X, measured=apart), None)


def test_one_model_of_several_seeds(model_and_data):
    model, _ = model_and_data
    require_seeds([model])
    with pytest.raises(InputError, match="two of the models to average are of seed"):
        require_seeds([model, model])
