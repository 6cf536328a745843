"""Denoised expression: expected molecules at a size factor of 1, in one batch."""

import dataclasses

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


def test_every_cell_is_decoded_in_the_reference_batch_whatever_its_own(simulated, trained):
    first, second = trained.config.batches
    swapped = simulated.copy()
    swapped.obs["batch"] = [first if b == second else second for b in simulated.obs["batch"]]
    found = {}
    for reference in (first, second):
        options = DenoiseOptions(reference_batch=reference)
        one, two = (denoise(cells, None, trained, options).X for cells in (simulated, swapped))
        np.testing.assert_array_equal(one, two)
        found[reference] = one
    assert not np.allclose(found[first], found[second], rtol=1e-3)
    largest = trained.config.batches[trained.reference_code(None)]
    np.testing.assert_array_equal(denoise(simulated, None, trained).X, found[largest])


def test_a_gene_is_named_by_id_or_by_a_symbol_of_its_own(simulated, trained):
    model = dataclasses.replace(trained, symbols=["A", "B", "B", *trained.symbols[3:]])
    options = DenoiseOptions(genes=("A", trained.genes[2]))
    assert denoise(simulated, None, model, options).var_names.tolist() == [
        trained.genes[0],
        trained.genes[2],
    ]
    with pytest.raises(InputError, match=r"not modelled: B\. A symbol of several genes"):
        denoise(simulated, None, model, DenoiseOptions(genes=("B",)))
