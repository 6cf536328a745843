"""A stored decoder decodes with what was stored, and with nothing else."""

import numpy as np
import pytest
from builders import modelled, untrained

from scpress.compression.decoder import StoredDecoder, library_arrays
from scpress.config.options import TrainOptions

PRESETS = {
    "scvi": {"preset": "scvi"},
    "dca": {"preset": "dca"},
    "ldvae": {"preset": "ldvae"},
    "gaussian": {"preset": "scvi", "likelihood": "gaussian"},
    "by batch": {"preset": "scvi", "dispersion": "gene-batch"},
    "tied": {"preset": "dca", "tied_weights": True},
    "covariates": {"preset": "scvi", "continuous_covariates": ("depth",)},
}


def stored(counts, kind, *, n_cells=7):
    """(model, data, latent, weights, library) of an untrained network of a kind."""
    options = TrainOptions(hidden=(8,), n_latent=3, **PRESETS[kind])
    data = modelled(counts, n_genes=30).take(np.arange(n_cells))
    if kind == "covariates":
        data.continuous = np.linspace(-1, 1, n_cells, dtype=np.float32)[:, None]
    if kind in ("by batch", "covariates"):
        data.batch = np.arange(n_cells) % 2
    model = untrained(data, options, ("a", "b") if data.batch is not None else ())
    model.network.eval()
    z = np.random.default_rng(0).normal(size=(n_cells, 3)).astype(np.float32)
    return model, data, z, model.decoder_state(), library_arrays(model, data)


@pytest.mark.parametrize("kind", PRESETS)
def test_what_was_stored_decodes_as_the_model_does(pbmc, kind):
    model, data, z, weights, library = stored(pbmc, kind)
    decoder = StoredDecoder(model.config, weights, library)
    cells = data.cells_of(model)
    np.testing.assert_array_equal(
        decoder.negative_log_likelihood(z, data.X), -model.log_likelihood(cells, z)
    )
    mu = model.mean_counts(cells, z)
    if model.network.pi_logits is not None:
        mu = mu * (1 - model.extra_zero_fraction(cells, z))
    np.testing.assert_array_equal(decoder.expected_counts(z, 0, len(z)), mu)
    np.testing.assert_allclose(decoder.expected_counts(z, 2, 5), mu[2:5], rtol=1e-5)


@pytest.mark.parametrize("kind", PRESETS)
def test_every_tensor_is_needed(pbmc, kind):
    model, _, _, weights, library = stored(pbmc, kind)
    for name in weights:
        fewer = {key: value for key, value in weights.items() if key != name}
        with pytest.raises(ValueError, match=f"stored without {name}"):
            StoredDecoder(model.config, fewer, library)
    for name in library:
        fewer = {key: value for key, value in library.items() if key != name}
        with pytest.raises(ValueError, match=f"stored without {name}"):
            StoredDecoder(model.config, weights, fewer)


def test_nothing_of_the_encoder_is_stored_or_taken(pbmc):
    model, _, _, weights, library = stored(pbmc, "scvi")
    assert not [name for name in weights if name.startswith(("encoder", "z_", "input_"))]
    decoder = StoredDecoder(model.config, weights, library)
    state = decoder._model.network.state_dict()
    encoder = [name for name in state if name.startswith(("encoder", "z_", "input_"))]
    assert len(encoder) > 8
    for name in encoder:
        if state[name].is_floating_point():
            assert state[name].isnan().all(), name
    with pytest.raises(ValueError, match="with another"):
        StoredDecoder(model.config, weights | {"another": np.zeros(2)}, library)


def test_other_weights_decode_to_something_else(pbmc):
    model, data, z, weights, library = stored(pbmc, "scvi")
    own = StoredDecoder(model.config, weights, library).negative_log_likelihood(z, data.X)
    for name in ("decoder.linear.0.weight", "eta.weight", "log_theta"):
        noise = np.random.default_rng(0).normal(size=weights[name].shape).astype(np.float32)
        other = StoredDecoder(model.config, weights | {name: weights[name] + noise}, library)
        assert (other.negative_log_likelihood(z, data.X) != own).all(), name


def test_later_blocks_are_decoded_with_their_own_cells(pbmc, monkeypatch):
    model, data, z, weights, library = stored(pbmc, "covariates")
    decoder = StoredDecoder(model.config, weights, library)
    whole = decoder.negative_log_likelihood(z, data.X)
    monkeypatch.setattr("scpress.compression.decoder._BLOCK_CELLS", 3)
    np.testing.assert_allclose(decoder.negative_log_likelihood(z, data.X), whole, rtol=1e-5)


def test_zero_inflation_lowers_the_expected_counts(pbmc):
    model, data, z, weights, library = stored(pbmc, "scvi")
    decoder = StoredDecoder(model.config, weights, library)
    mu = model.mean_counts(data.cells_of(model), z)
    assert (decoder.expected_counts(z, 0, len(z)) < mu).all()
