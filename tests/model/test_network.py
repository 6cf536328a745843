import numpy as np
import pytest
import torch
from builders import modelled

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import PRESETS, resolve_config
from scpress.model.network import CountAutoencoder, kl_to_standard_normal


def _network(data, n_batches=0, **options):
    batches = tuple(f"b{i}" for i in range(n_batches))
    config = resolve_config(TrainOptions(**options), n_genes=data.X.shape[1], batches=batches)
    torch.manual_seed(0)
    return CountAutoencoder(config)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("likelihood", [None, "zinb", "nb", "poisson", "gaussian"])
@pytest.mark.parametrize("dispersion", [None, "gene-batch", "gene-cell"])
def test_every_combination_has_a_finite_loss_and_gradient(pbmc, preset, likelihood, dispersion):
    if preset == "pca" and (likelihood not in (None, "gaussian") or dispersion):
        with pytest.raises(InputError, match="preset pca fixes"):
            resolve_config(
                TrainOptions(preset=preset, likelihood=likelihood, dispersion=dispersion), n_genes=9
            )
        return
    data = modelled(pbmc).take(np.arange(40))
    data.batch = np.arange(40) % 2
    network = _network(data, 2, preset=preset, likelihood=likelihood, dispersion=dispersion)
    cells = _cells(network, data)
    loss = network.loss(cells, kl_weight=1.0, noise=torch.randn(40, network.config.n_latent))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def _cells(network, data):
    from scpress.model.fitted import TrainedModel

    model = TrainedModel(network, [str(i) for i in range(data.X.shape[1])], [], 1.0)
    return data.cells_of(model)


def test_observed_library_spreads_the_total_over_the_genes(pbmc):
    data = modelled(pbmc).take(np.arange(10))
    network = _network(data, preset="scvi").eval()
    cells = _cells(network, data)
    mu = torch.exp(network.decode(torch.randn(10, 10), cells).log_mu)
    torch.testing.assert_close(mu.sum(1), cells.total, rtol=1e-4, atol=1e-3)


def test_size_factor_scales_the_mean(pbmc):
    data = modelled(pbmc).take(np.arange(10))
    network = _network(data, preset="dca").eval()
    z = torch.randn(10, 32)
    once = network.decode(z, _cells(network, data)).log_mu
    data.size_factor = data.size_factor * 2
    twice = network.decode(z, _cells(network, data)).log_mu
    torch.testing.assert_close(twice, once + np.log(2), rtol=0, atol=1e-5)


def test_zscore_input_is_shifted_and_scaled_log_values(pbmc):
    data = modelled(pbmc).take(np.arange(10))
    network = _network(data, preset="dca")
    network.input_mean.fill_(0.25)
    network.input_scale.fill_(2.0)
    cells = _cells(network, data)
    dense = data.X.toarray() / data.size_factor[:, None]
    np.testing.assert_allclose(
        network._input(cells).numpy(), (np.log1p(dense) - 0.25) / 2, rtol=1e-5, atol=1e-6
    )


def test_kl_matches_torch():
    mean, sd = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    normal = torch.distributions.Normal
    truth = torch.distributions.kl_divergence(normal(mean, sd), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, sd), truth)


def test_a_zero_cell_is_scored():
    from scipy import sparse

    from scpress.model.modelled import ModelledCounts

    data = ModelledCounts(sparse.csr_matrix((3, 20), dtype=np.int32), np.ones(3))
    network = _network(data, preset="scvi").eval()
    assert torch.isfinite(network.loss(_cells(network, data), kl_weight=1.0).total)
