"""The integer tables against scipy's probabilities, and against numpy's own walk."""

import numpy as np
import pytest
from mpmath import mp
from scipy.stats import nbinom, poisson

from scpress.archive import probabilities
from scpress.archive.numpy_reader import E_LOW, E_TOP, STEPS, T_LOW, T_POISSON
from scpress.archive.numpy_reader import Tables as NumpyTables
from scpress.archive.probabilities import N_T, Tables

MEANS = (E_LOW, -200, -60, -16, -1, 0, 1, 17, 50, 90, E_TOP - 1)


def law(t, e):
    mu, theta = 2.0 ** (e / 16), 2.0 ** (t + T_LOW)
    return poisson(mu) if t == T_POISSON else nbinom(theta, theta / (theta + mu))


def test_the_steps_of_an_octave_are_rounded_powers_of_two():
    with mp.workdps(40):
        assert [int(mp.nint(mp.mpf(2) ** (mp.mpf(k) / 16) * 2**30)) for k in range(16)] == STEPS


@pytest.mark.parametrize("t", range(N_T))
@pytest.mark.parametrize("e", MEANS)
def test_they_cost_hardly_more_bits_than_the_law_itself(t, e):
    tables = Tables(np.array([t]), e, e)
    here, n, low, _ = tables.ranges[t]
    sizes = np.diff(tables.pool[here : here + n + 2])
    assert (sizes > 0).all()
    assert tables.pool[here] == 0
    assert tables.pool[here + n + 1] == 1 << 16
    exact, nonzero = law(t, e), tables.nonzero[t] / 2**28
    p = exact.sf(0)
    lost = p * np.log2(p / nonzero)
    if p < 1 - 1e-8:
        lost += (1 - p) * np.log2((1 - p) / (1 - nonzero))
    # A heavy tail is cut off at 4,096 values.
    tail = exact.sf(low + n - 1) / p
    assert lost < 1e-6 + tail**2
    x = np.arange(low, low + n)
    values = exact.pmf(x) / p
    some = values > 0
    lost = (values[some] * np.log2(values[some] / (sizes[:n][some] / 2**16))).sum()
    assert lost < 0.002 + n * 2e-5 + tail * 2


def test_numpy_walks_to_the_same_integers():
    for first, last in ((E_LOW, E_LOW + 40), (-40, 60), (E_TOP - 40, E_TOP - 1)):
        ours = Tables(np.arange(N_T), first, last)
        theirs = NumpyTables(np.arange(N_T), first, last)
        np.testing.assert_array_equal(ours.nonzero.reshape(N_T, -1), theirs.nonzero)
        for t in range(N_T):
            for i in range(last - first + 1):
                here, n, low, _ = ours.ranges[t * ours.n_e + i]
                assert low == theirs.low[t, i]
                np.testing.assert_array_equal(ours.pool[here : here + n + 2], theirs.starts[t][i])


def test_the_guide_is_the_last_value_whose_start_is_not_above_the_upper_bits():
    tables = Tables(np.array([3, 19]), -20, 60)
    for row in np.flatnonzero(tables.ranges[:, 1]):
        here, n = tables.ranges[row, :2]
        slots = np.arange(tables.guide.shape[1]) << probabilities.GUIDE_SHIFT
        wanted = np.searchsorted(tables.pool[here : here + n + 1], slots, side="right") - 1
        np.testing.assert_array_equal(tables.guide[row], wanted)
        assert (tables.pool[here + n + 1 :][: 1 + probabilities.NEXT_PLACES] == 1 << 16).all()


def test_the_first_starts_stand_together_where_the_first_value_is_1_and_no_bits_are_lost():
    tables = Tables(np.array([0, 10, T_POISSON]), 0, E_TOP - 1)
    for row in np.flatnonzero(tables.ranges[:, 1]):
        here, n, low = tables.ranges[row, :3]
        is_plain = low == 1 and row % tables.n_e < E_TOP - 16
        assert tables.near[row, 0] == (probabilities.NEVER if is_plain else 0)
        starts = tables.pool[here + 1 : here + n + 2][:15]
        wanted = np.concatenate([starts, np.full(15 - len(starts), 1 << 16)]) - 1
        np.testing.assert_array_equal(tables.near[row, 1:], wanted)
    assert {1, 0} == {int(tables.near[row, 0] == 0) for row in np.flatnonzero(tables.ranges[:, 1])}


def test_thetas_that_are_not_asked_for_are_left_out():
    tables = Tables(np.array([3, 3, 7]), 0, 9)
    filled = np.flatnonzero(tables.nonzero.reshape(N_T, -1).any(axis=1))
    assert filled.tolist() == [3, 7]


def test_what_is_left_falls_from_gene_to_gene_and_begins_anew_with_a_block():
    n = 300
    nonzero = np.full(100, 1 << 18)  # a thousandth
    left, ends = np.full((n, probabilities.BLOCK_PLACES), 7, np.int32), np.empty(n, np.int32)
    n_blocks = probabilities.fill_survival(
        50, np.full(n, -20), np.zeros(n, np.int64), 100, 0, nonzero, left, ends
    )
    # 126 genes leave nearly all of it: the number of genes ends a block.
    assert ends[:n_blocks].tolist() == [126, 252, 300]
    exact = 2.0**28 * (1 - 2.0**-10) ** np.arange(127)
    np.testing.assert_allclose(left[0, :127], exact, atol=128)
    assert left[0, 127] == 0
    np.testing.assert_array_equal(left[1], left[0])
    np.testing.assert_array_equal(left[2, :49], left[0, :49])
    assert not left[2, 49:].any()
    nonzero[:] = 1 << 27  # a half: the block ends after the gene that brings it below 2^22
    n_blocks = probabilities.fill_survival(
        50, np.full(10, -20), np.zeros(10, np.int64), 100, 0, nonzero, left, ends
    )
    assert n_blocks == 2
    assert left[0, :8].tolist() == [1 << k for k in range(28, 20, -1)]
    assert not left[0, 8:].any()
