"""What the host sends arrives in its place; on a GPU it may run ahead."""

import numpy as np
import pytest
import torch

from scpress.training.fused.feed import Feed

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
def test_the_first_of_each_array_arrives_and_the_rest_stays(device):
    feed = Feed({"a": (5, torch.int64), "b": (3, torch.float32)}, torch.device(device))
    places = {name: one.data_ptr() for name, one in feed.there.items()}
    seen = []
    for i in range(1, 7):
        arrays = feed.arrays()
        arrays["a"][:], arrays["b"][:] = np.arange(5) + 10 * i, i
        feed.send({"a": 2 + i % 2, "b": 3})
        seen.append({name: one.clone() for name, one in feed.there.items()})
    for i, found in enumerate(seen, start=1):
        assert found["a"][:2].tolist() == [10 * i, 10 * i + 1]
        assert found["b"].tolist() == [i] * 3
    # Only odd rounds sent a third one, none a fourth.
    assert [found["a"][2].item() for found in seen] == [12, 12, 32, 32, 52, 52]
    assert seen[-1]["a"][3:].tolist() == [0, 0]
    assert {name: one.data_ptr() for name, one in feed.there.items()} == places
