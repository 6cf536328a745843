"""A discriminator or a posterior that has given up is named."""

import numpy as np
import pytest
import torch
from builders import briefly_trained, modelled, untrained

from scpress.config.options import TrainOptions
from scpress.model.fitted import load_model
from scpress.training.balance import _of_distance, find_problems


def _named(pbmc, change, **options):
    data = modelled(pbmc).take(np.arange(300))
    model = untrained(data, TrainOptions(**options))
    with torch.no_grad():
        change(model.network)
    return find_problems(model, data, seed=0)


def test_a_posterior_of_no_cell_is_named(pbmc):
    (said,) = _named(pbmc, lambda network: network.z_mean.weight.zero_())
    assert "the posterior collapsed" in said
    # One dimension that depends on the cell is a posterior.
    assert _named(pbmc, lambda network: network.z_mean.weight[1:].zero_()) == ()
    assert _named(pbmc, lambda network: network.z_mean.weight.zero_(), preset="dca") == ()


def test_a_latent_far_from_its_prior_is_named(pbmc):
    (said,) = _named(pbmc, lambda network: network.z_mean.bias.fill_(5.0), preset="wae")
    assert said.startswith("the latent is far from its prior")


def test_a_discriminator_that_says_nothing_is_named(pbmc):
    def say_nothing(network):
        network.z_mean.bias.fill_(5.0)
        network.discriminator.layers[-1].weight.zero_()

    (said,) = _named(pbmc, say_nothing, preset="aae")
    assert said.startswith("the discriminator collapsed: it is right for 50%")


@pytest.mark.parametrize(
    ("distance", "accuracy", "said"),
    [
        (0.0, None, ""),
        (0.06, None, "the latent is far"),
        (0.0, 0.96, "the discriminator won: it tells 96%"),
        (0.06, 0.5, "the discriminator collapsed"),
        (0.0, 0.5, ""),
        (0.06, 0.7, "the latent is far"),
    ],
)
def test_what_a_distance_means_beside_a_discriminator(distance, accuracy, said):
    found = _of_distance(distance, accuracy)
    assert len(found) == bool(said)
    assert "".join(found).startswith(said)


def test_the_verdict_and_the_file_name_it(pbmc, tmp_path):
    model = briefly_trained(pbmc, max_steps=40)
    assert "problems" not in model.record.verdict.as_plain()
    # So early the codes are narrower than their prior.
    model = briefly_trained(pbmc, preset="wae", max_steps=40, kl_warmup_steps=200)
    model.save(tmp_path / "model")
    (said,) = load_model(tmp_path / "model").record.verdict.problems
    assert said.startswith("the latent is far from its prior")
