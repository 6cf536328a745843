"""The network along its axes: what it reads, decodes and is trained on."""

import numpy as np
import pytest
import torch
from builders import modelled, with_covariates
from scipy import sparse, stats

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model import likelihoods as lk
from scpress.model.axes import PRESETS, resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder, kl_to_standard_normal


def _network(data, n_batches=0, **options):
    batches = tuple(f"b{i}" for i in range(n_batches))
    config = resolve_config(TrainOptions(**options), n_genes=data.X.shape[1], batches=batches)
    torch.manual_seed(0)
    return CountAutoencoder(config)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "likelihood",
    [None, "zinb", "nb", "poisson", "multinomial", "bernoulli", "gaussian", "laplace"],
)
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


@pytest.mark.parametrize("kernels", ["numba", "torch"])
@pytest.mark.parametrize("encode_covariates", [False, True])
@pytest.mark.parametrize("values_are", ["zscore", "log1p"])
def test_the_first_layer_is_a_linear_one_of_the_shifted_and_scaled_input(
    pbmc, kernels, encode_covariates, values_are
):
    # Shift and scale are folded into its weights, so that zeros stay unstored.
    data = with_covariates(pbmc).take(np.arange(10))
    network = _network(
        data,
        2,
        input=values_are,
        encode_covariates=encode_covariates,
        continuous_covariates=("depth",),
    ).eval()
    network.kernels = kernels
    network.input_mean.uniform_(0, 1)
    network.input_scale.uniform_(0.5, 3)
    network.continuous_mean.fill_(0.5)
    network.continuous_scale.fill_(2)
    cells = _cells(network, data)
    values = np.log1p(
        data.X.toarray() / (data.size_factor[:, None] if values_are == "zscore" else 1)
    )
    if values_are == "zscore":
        values = (values - network.input_mean.numpy()) / network.input_scale.numpy()
    parts = [values]
    if encode_covariates:
        parts += [(data.continuous - 0.5) / 2, np.eye(2)[data.batch]]
    linear = network.encoder.linear[0]
    x = torch.from_numpy(np.concatenate(parts, axis=1)).float()
    h = x @ linear.weight.t() + linear.bias
    expected = network.z_mean(torch.relu(network.encoder.norm[0](h)))
    torch.testing.assert_close(network.encode(cells)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("values_are", ["log1p", "zscore"])
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_what_the_encoder_reads_is_corrupted_in_training_alone(pbmc, values_are, hidden):
    data = modelled(pbmc).take(np.arange(60))
    same = {"input": values_are, "hidden": hidden, "norm": "none", "dropout_rate": 0.0}
    whole = _network(data, **same).eval()
    cells = _cells(whole, data)
    counted = whole.input_values(cells).values
    for changes in ({"gene_mask": 0.3}, {"molecule_thinning": 0.3}, {"input_noise": 0.5}):
        network = _network(data, **same | changes)
        network.input_mean.fill_(0.2)
        network.input_scale.fill_(2.0)
        in_training = [network.train().encode(cells)[0] for _ in range(2)]
        assert not torch.equal(*in_training)
        assert torch.equal(network.eval().encode(cells)[0], network.encode(cells)[0])
        assert torch.equal(network.input_values(cells).values, counted)
        read = network.train().input_values(cells).values
        if "gene_mask" in changes:
            hidden_share = float((read == 0).float().mean())
            assert hidden_share == pytest.approx(0.3, abs=0.02)
            torch.testing.assert_close(read[read > 0], counted[read > 0] / 0.7)
        elif "molecule_thinning" in changes:
            counts = cells.counts.values
            scale = 1 if values_are == "log1p" else cells.counts.of_cells(cells.size_factor)
            kept = torch.expm1(read) * scale * 0.7
            torch.testing.assert_close(kept, kept.round(), rtol=0, atol=1e-2)
            assert (kept <= counts + 1e-2).all()
            assert float(kept.sum() / counts.sum()) == pytest.approx(0.7, abs=0.01)
        else:
            assert torch.equal(read, counted)


@pytest.mark.parametrize("values_are", ["log1p", "zscore"])
def test_noise_is_in_units_of_the_standardized_input(pbmc, values_are):
    data = modelled(pbmc, n_genes=40).take(np.arange(30))
    for hidden in ((), (8,)):
        network = _network(
            data, input=values_are, hidden=hidden, input_noise=0.5, norm="none", activation="linear"
        )
        network.input_scale.fill_(2.0)
        network.dropout_rate = 0.0
        network.encoder.dropout = torch.nn.Identity()
        cells = _cells(network, data)
        with torch.no_grad():
            exact = network.eval().encode(cells)[0]
            draws = torch.stack([network.train().encode(cells)[0] - exact for _ in range(300)])
            weight = network.z_mean.weight
            if hidden:
                weight = weight @ network.encoder.linear[0].weight
        expected = 0.5 * weight.detach().square().sum(dim=1).sqrt()
        torch.testing.assert_close(draws.std(dim=(0, 1)), expected, rtol=0.03, atol=0)
        assert float(draws.mean().abs()) < 0.05 * float(expected.mean())


def test_what_is_predicted_stays_what_was_counted(pbmc):
    data = modelled(pbmc).take(np.arange(20))
    network = _network(data, likelihood="gaussian", gene_mask=0.9, molecule_thinning=0.9).train()
    cells = _cells(network, data)
    expected = np.log1p(data.X.toarray() / data.size_factor[:, None])
    np.testing.assert_allclose(network.log_normalized(cells).dense(), expected, rtol=1e-5)


def test_a_tied_decoder_has_the_encoders_weights(pbmc):
    data = modelled(pbmc).take(np.arange(20))
    network = _network(data, preset="dca", tied_weights=True, hidden=(24, 16), n_latent=8)
    names = dict(network.named_parameters())
    assert "eta.weight" not in names
    assert "decoder.linear.0.weight" not in names
    encoder = [network.z_mean, *reversed(network.encoder.linear)]
    for ours, theirs in zip([*network.decoder.linear, network.eta], encoder, strict=True):
        assert torch.equal(ours.weight, theirs.weight[:, : ours.out_features].t())


def test_each_batch_has_its_theta(pbmc):
    data = with_covariates(pbmc).take(np.arange(10))
    network = _network(data, 3, dispersion="gene-batch").eval()
    data.batch = np.arange(10) * 2 % 3
    with torch.no_grad():
        network.log_theta.normal_()
    cells, z = _cells(network, data), torch.randn(10, 10)
    log_theta = network.decode(z, cells).log_theta
    assert torch.equal(log_theta, network.log_theta[torch.from_numpy(data.batch)])


def test_a_multinomial_network_is_scipys(pbmc):
    data = modelled(pbmc).take(np.arange(6))
    network = _network(data, likelihood="multinomial").eval()
    cells, z = _cells(network, data), torch.randn(6, 10)
    mu = torch.exp(network.decode(z, cells).log_mu).detach().double().numpy()
    share, X = mu / mu.sum(axis=1, keepdims=True), data.X.toarray()
    expected = stats.multinomial.logpmf(X, X.sum(axis=1), share)
    for kernels in ("numba", "torch"):
        network.kernels = kernels
        np.testing.assert_allclose(network.log_likelihood(z, cells), expected, rtol=1e-5)
        loss = network.loss(cells, kl_weight=0.0)
        of_mean = network.log_likelihood(network.encode(cells)[0].detach(), cells)
        assert float(loss.reconstruction.detach()) == pytest.approx(
            -float(of_mean.mean()), rel=1e-5
        )


@pytest.mark.parametrize("preset", ["scvi", "dca", "ldvae"])
@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
def test_cells_are_as_likely_as_what_is_decoded_says(pbmc, preset, likelihood, dispersion):
    data = with_covariates(pbmc).take(np.arange(40))
    data.batch = data.batch[::-1].copy()  # the first cell is not of the first batch
    network = _network(
        data,
        2,
        preset=preset,
        likelihood=likelihood,
        dispersion=dispersion,
        continuous_covariates=("depth",),
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    cells, z = _cells(network, data), torch.randn(40, network.config.n_latent)
    decoded = [None if p is None else p.double() for p in network.decode(z, cells)]
    dense = lk.LIKELIHOODS[likelihood].dense(cells.counts.dense().double(), lk.Parameters(*decoded))
    for kernels in ("numba", "torch"):
        network.kernels = kernels
        found = network.log_likelihood(z, cells).double()
        torch.testing.assert_close(found, dense.sum(dim=1).detach(), rtol=1e-5, atol=1e-2)


def test_what_is_decoded_stays_in_its_range(pbmc):
    data = modelled(pbmc).take(np.arange(10))
    for preset in ("scvi", "dca"):
        network = _network(data, preset=preset, likelihood="zinb").eval()
        cells = _cells(network, data)
        for sign in (-1, 1):
            with torch.no_grad():
                network.eta.bias[:3] = sign * 1e3
                network.pi_logits.bias[:3] = sign * 1e3
                theta = network.log_theta if preset == "scvi" else network.log_theta.bias
                theta.view(-1)[:3] = sign * 1e3
            found = network.decode(torch.zeros(10, network.config.n_latent), cells)
            ends = [
                (found.log_mu, lk.LOG_MU_MIN, lk.LOG_MU_MAX),
                (found.log_theta.expand(10, -1), lk.LOG_THETA_MIN, lk.LOG_THETA_MAX),
                (found.pi_logits, -lk.PI_LOGITS_MAX, lk.PI_LOGITS_MAX),
            ]
            for i, (value, lowest, highest) in enumerate(ends):
                assert lowest <= float(value.detach().min())
                assert float(value.detach().max()) <= highest
                # A softmax shares the total out: its largest mean is no bound.
                if i or preset == "dca":
                    end = torch.tensor(highest if sign > 0 else lowest)
                    torch.testing.assert_close(value[:, :3], end.expand(10, 3))


def test_a_shared_theta_is_projected_into_its_range(pbmc):
    network = _network(modelled(pbmc))
    with torch.no_grad():
        network.log_theta[0, :3] = torch.tensor([-50.0, 50.0, 1.5])
    network.clamp_theta()
    expected = torch.tensor([lk.LOG_THETA_MIN, lk.LOG_THETA_MAX, 1.5])
    torch.testing.assert_close(network.log_theta.detach()[0, :3], expected)


@pytest.mark.parametrize("prior", ["kl", "none"])
def test_the_loss_is_of_a_draw_and_its_divergence_has_its_weight(pbmc, prior):
    data = modelled(pbmc).take(np.arange(10))
    network = _network(data, prior=prior).eval()
    cells, noise = _cells(network, data), torch.randn(10, 10)
    with torch.no_grad():
        mean, sd = network.encode(cells)
        nll = -network.log_likelihood(mean + sd * noise, cells).mean()
        kl = kl_to_standard_normal(mean, sd).mean() if prior == "kl" else 0.0
        loss = network.loss(cells, kl_weight=0.3, noise=noise)
        at_mean = network.loss(cells, kl_weight=0.3)
    assert float(loss.reconstruction) == pytest.approx(float(nll), rel=1e-5)
    assert float(loss.kl) == pytest.approx(float(kl), rel=1e-5)
    assert float(loss.total) == pytest.approx(float(nll + 0.3 * kl), rel=1e-5)
    assert at_mean.reconstruction != loss.reconstruction
    assert float(at_mean.reconstruction) == pytest.approx(
        -float(network.log_likelihood(mean, cells).mean()), rel=1e-5
    )


def test_the_deviation_has_a_floor(pbmc):
    data = modelled(pbmc).take(np.arange(10))
    network = _network(data).eval()
    with torch.no_grad():
        network.z_log_variance.bias.fill_(-100)
        _, sd = network.encode(_cells(network, data))
    torch.testing.assert_close(sd, torch.full_like(sd, 1e-2))


def test_a_cell_without_molecules_has_a_library_of_one(pbmc):
    counts = sparse.csr_matrix(np.array([[0, 0, 0], [2, 0, 3]]))
    data = ModelledCounts(counts, np.array([0.5, 2.0]))
    for library, expected in (("observed", [1, 5]), ("size_factor", [0.5, 2])):
        network = _network(data, n_latent=2, library=library)
        assert network.library(_cells(network, data)).tolist() == expected


def test_covariates_and_batches_enter_where_the_axes_say(pbmc):
    data = with_covariates(pbmc).take(np.arange(20))
    other = with_covariates(pbmc).take(np.arange(20))
    other.batch = 1 - other.batch
    for encoded in (False, True):
        for hidden in ((), (16,)):
            network = _network(data, 2, encode_covariates=encoded, hidden=hidden).eval()
            z = torch.zeros(20, 10)
            one, two = (_cells(network, d) for d in (data, other))
            assert torch.equal(network.encode(one)[0], network.encode(two)[0]) != encoded
            assert not torch.equal(network.decode(z, one).log_mu, network.decode(z, two).log_mu)


def test_kl_matches_torch():
    mean, sd = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    normal = torch.distributions.Normal
    truth = torch.distributions.kl_divergence(normal(mean, sd), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, sd), truth)


def test_a_zero_cell_is_scored():
    data = ModelledCounts(sparse.csr_matrix((3, 20), dtype=np.int32), np.ones(3))
    network = _network(data, preset="scvi").eval()
    assert torch.isfinite(network.loss(_cells(network, data), kl_weight=1.0).total)
