"""Probes read what is there, and nothing from noise."""

import numpy as np
from scipy import sparse

from scpress.cells.probes import _CYCLE_GENES, cycle_score, probe_groups, probe_number

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(300, 4))


def test_groups_are_read_where_they_are():
    groups = np.repeat(["a", "b", "c"], [200, 80, 20])
    shifted = NOISE + 8 * (groups == "c")[:, None] - 8 * (groups == "b")[:, None]
    assert probe_groups(shifted, groups, seed=0) > 0.97
    # Balanced: of the largest group alone it would be two thirds.
    assert abs(probe_groups(NOISE, groups, seed=0) - 1 / 3) < 0.05


def test_one_group_and_groups_of_few_cells_cannot_be_read():
    assert np.isnan(probe_groups(NOISE, np.repeat("a", 300), seed=0))
    assert np.isnan(probe_groups(NOISE, np.repeat(["a", "b"], [296, 4]), seed=0))


def test_a_number_is_read_where_it_is():
    assert probe_number(NOISE, NOISE @ [1, 2, 0, 0], seed=0) > 0.99
    assert probe_number(NOISE, RNG.normal(size=300), seed=0) < 0.1


def test_the_cycle_is_a_mean_of_its_genes():
    of_cycle = _CYCLE_GENES.split()
    assert len(of_cycle) == len(set(of_cycle)) == 100
    symbols = [*of_cycle[:10], "CD3E"]
    symbols[0] = symbols[0].lower()
    values = sparse.csr_matrix(np.vstack([[1.0] * 10 + [9], [0] * 10 + [9]]))
    np.testing.assert_allclose(cycle_score(values, symbols), [1, 0])
    assert cycle_score(values, [*symbols[:9], "A", "CD3E"]) is None
