"""Which cells are held out, and which make up each step."""

import numpy as np
import pytest
from builders import briefly_trained

from scpress.errors import InputError
from scpress.training.split import Order, split_validation


def test_every_cell_is_seen_once_per_epoch():
    order = Order(100, 32, seed=0)
    seen = np.concatenate([order.rows(step) for step in range(25)])  # 8 epochs of 100
    np.testing.assert_array_equal(np.bincount(seen), np.full(100, 8))
    assert all(len(order.rows(step)) == 32 for step in range(10))


def test_the_order_is_another_in_each_epoch_and_for_each_seed():
    def epoch(number, seed):
        order = Order(60, 20, seed)
        return [order.rows(3 * number + i).tolist() for i in range(3)]

    orders = [epoch(number, seed) for number in (0, 1) for seed in (0, 1)]
    assert all(one != two for i, one in enumerate(orders) for two in orders[:i])
    assert epoch(1, 0) == orders[2]


def test_a_batch_that_reaches_into_the_next_epoch_takes_its_first_cells():
    order = Order(10, 4, seed=3)
    of_step = [order.rows(step).tolist() for step in range(5)]
    # Step 2 has the two cells that steps 0 and 1 left, and two more that 3 and 4 then lack.
    after = list(of_step[2])
    for cell in set(range(10)) - {*of_step[0], *of_step[1]}:
        after.remove(cell)
    assert sorted([*after, *of_step[3], *of_step[4]]) == list(range(10))
    again = Order(10, 4, seed=3)
    for step in (4, 2, 0, 2, 1):  # any step can be asked for, as a resumed training does
        assert again.rows(step).tolist() == of_step[step]


def test_rows_are_sorted():
    assert (np.diff(Order(50, 50, seed=0).rows(3)) > 0).all()


def test_validation_cells_are_random_stratified_and_the_same_for_every_seed(pbmc):
    strata = np.repeat([0, 1], [900, 100])
    kept, held_out = split_validation(strata, 0.1)
    assert len(held_out) == 100
    assert abs((strata[held_out] == 1).sum() - 10) <= 1
    assert held_out.min() < 100
    assert len(np.intersect1d(kept, held_out)) == 0
    one, two = (briefly_trained(pbmc, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(one.validation_cells, two.validation_cells)


def test_no_stratum_is_held_out_more_than_another():
    rng = np.random.default_rng(0)
    strata = rng.permutation(np.repeat(np.arange(40), 25))
    kept, held_out = split_validation(strata, 0.2)
    assert sorted([*kept, *held_out]) == list(range(1000))
    np.testing.assert_array_equal(np.bincount(strata[held_out]), np.full(40, 5))


def test_strata_smaller_than_a_held_out_cell_give_one_or_none():
    strata = np.arange(500) // 5
    _, held_out = split_validation(strata, 0.1)
    given = np.bincount(strata[held_out], minlength=100)
    assert given.sum() == 50
    assert given.max() == 1
    # By chance and not by their order.
    assert 10 < given[:50].sum() < 40


def test_two_cells_are_held_out_at_least_and_ten_are_needed():
    assert len(split_validation(np.zeros(10), 0.01)[1]) == 2
    with pytest.raises(InputError, match="at least 10 cells; found 9"):
        split_validation(np.zeros(9), 0.1)
