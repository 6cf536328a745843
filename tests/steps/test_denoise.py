"""Denoised expression: expected molecules at a size factor of 1, in one batch."""

import numpy as np
import pytest
from builders import briefly_trained, normalized_of

from scpress.config.options import DenoiseOptions
from scpress.errors import InputError
from scpress.steps.denoise import denoise, denoise_blocks


@pytest.fixture(scope="module")
def trained(simulated):
    return briefly_trained(simulated, batch_key="batch", max_steps=80)


def test_denoised_is_mu_over_the_size_factor_in_one_batch(simulated, trained):
    genes = (trained.genes[5], trained.genes[2])
    named = denoise(simulated, None, trained, DenoiseOptions(genes=genes))
    assert list(named.var_names) == list(genes)
    blocks = denoise_blocks(simulated, None, trained, DenoiseOptions())
    whole = np.concatenate([block for _, block in blocks])
    np.testing.assert_allclose(named.X, whole[:, [5, 2]], rtol=1e-5)
    # Expected molecules at a size factor of 1: they add up to about what was counted.
    library = normalized_of(simulated).obs["library_size"].to_numpy()
    columns = [simulated.var_names.get_loc(gene) for gene in trained.genes]
    counted = simulated.X[:, columns].sum(axis=1).A1 / (library / trained.median_library_size)
    assert np.corrcoef(whole.sum(axis=1), counted)[0, 1] > 0.5
    with pytest.raises(InputError, match="not modelled: nothing"):
        denoise(simulated, None, trained, DenoiseOptions(genes=("nothing",)))
