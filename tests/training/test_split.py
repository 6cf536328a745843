"""Which cells are held out, and which make up each step."""

import numpy as np

from scpress.training.split import Order


def test_every_cell_is_seen_once_per_epoch():
    order = Order(100, 32, seed=0)
    seen = np.concatenate([order.rows(step) for step in range(25)])  # 8 epochs of 100
    np.testing.assert_array_equal(np.bincount(seen), np.full(100, 8))
    assert all(len(order.rows(step)) == 32 for step in range(10))
