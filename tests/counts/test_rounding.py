"""How fractions and noise become counts, and what is said of it."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.counts.raw import RawCounts
from scpress.counts.rounding import round_fractions, round_noise
from scpress.errors import InputError


def raw_of(values, cuts=(1,), dtype=np.float64):
    values = np.asarray(values, dtype=dtype)
    parts = [sparse.csr_matrix(part) for part in np.split(values, list(cuts))]
    return RawCounts(
        pd.DataFrame(index=range(values.shape[0])),
        pd.DataFrame(index=range(values.shape[1])),
        lambda max_bytes: iter(parts),
        messages=["first"],
    )


def read(raw):
    return sparse.vstack(list(raw.chunks())).toarray()


def test_the_nearest_whole_number_and_of_halves_the_even_one():
    given = raw_of([[0.5, 1.5, 2.5], [0.49, 3.0, 7.51]])
    raw = round_fractions(given, "nearest", seed=0)
    np.testing.assert_array_equal(read(raw), [[0, 2, 2], [0, 3, 8]])
    assert raw.messages == [
        "first",
        "5 of 6 values are fractions and were rounded (nearest): 15.5 molecules became 15",
    ]
    assert raw.rounding == {
        "method": "nearest",
        "seed": 0,
        "n_values": 6,
        "n_fractions": 5,
        "molecules_before": 15.5,
        "molecules_after": 15.0,
    }
    assert given.messages == ["first"]


def test_by_chance_a_value_becomes_one_of_its_neighbours_and_the_mean_stays():
    values = np.random.default_rng(0).choice([0.25, 1.9, 3.0], size=(100, 300))
    rounded = read(round_fractions(raw_of(values), "stochastic", seed=3))
    assert set(rounded[values == 0.25]) == {0, 1}
    assert set(rounded[values == 1.9]) == {1, 2}
    assert set(rounded[values == 3.0]) == {3}
    for value in (0.25, 1.9):
        # Five standard errors of ten thousand draws.
        assert abs(rounded[values == value].mean() - value) < 5 * 0.5 / 100


def test_chance_depends_on_the_seed_and_not_on_how_the_file_is_cut_or_stored():
    values = np.random.default_rng(0).random((40, 30)) * (np.arange(30) % 3)

    def rounded(seed, **how):
        return read(round_fractions(raw_of(values, **how), "stochastic", seed))

    expected = rounded(1)
    np.testing.assert_array_equal(rounded(1, cuts=(7, 8, 39)), expected)
    assert (rounded(2) != expected).any()
    # The places in another order, zeros stored, and a value in two entries.
    block = sparse.csr_matrix(
        (
            np.column_stack([values[:, ::-1] / 4, values[:, ::-1] * 0.75]).ravel(),
            np.tile(np.tile(np.arange(30)[::-1], 2), 40),
            np.arange(41) * 60,
        ),
        (40, 30),
    )
    raw = raw_of(values)
    raw.read_blocks = lambda max_bytes: iter([block.copy()])
    np.testing.assert_array_equal(read(round_fractions(raw, "stochastic", 1)), expected)
    again = round_fractions(raw, "stochastic", 1)
    np.testing.assert_array_equal(read(again), read(again))


@pytest.mark.parametrize("method", ["nearest", "stochastic"])
def test_what_is_no_count_is_not_made_one(method):
    raw = round_fractions(raw_of([[-0.4, 1.0], [-3.0, np.nan], [np.inf, 2.0]]), method, 0)
    np.testing.assert_array_equal(read(raw), [[-0.4, 1], [-3, np.nan], [np.inf, 2]])


def test_whole_numbers_stay_with_a_word():
    for dtype in (np.int32, np.float32):
        raw = round_fractions(raw_of([[1, 2], [3, 0]], dtype=dtype), "nearest", 0)
        np.testing.assert_array_equal(read(raw), [[1, 2], [3, 0]])
        assert raw.messages[1] == "`rounding` nearest changed nothing: all values are whole numbers"


def test_noise_is_rounded_and_its_size_is_said():
    raw = round_noise(raw_of([[0.9999, 2.0], [-1e-5, 40_000.01]]), "s")
    np.testing.assert_array_equal(read(raw), [[1, 2], [0, 40_000]])
    assert raw.messages[1] == (
        "3 of 4 values are whole but for noise of at most 0.01 and were rounded: 40003.00989 "
        "molecules became 40003"
    )
    assert raw.rounding["method"] == "noise"


def test_fractions_among_noise_stay_for_who_checks_the_values():
    raw = round_noise(raw_of([[0.9999, 2.0], [0.5, -1.0]]), "s")
    np.testing.assert_array_equal(read(raw), [[1, 2], [0.5, -1]])


def test_values_of_which_nothing_would_be_left_are_no_counts():
    with pytest.raises(InputError, match=r"no value of sample 's' is above 0\.001"):
        round_noise(raw_of([[1e-4, 0], [5e-4, 2e-4]]), "s")
