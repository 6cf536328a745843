"""What the host tells the device about the next steps, copied there while it computes."""

import numpy as np
import torch
from torch import Tensor

_SLOTS = 2


class Feed:
    """Arrays of fixed size that go from the host to the same place of a device again and again.

    On a GPU nothing waits: an array is written to pinned memory and copied by a stream of its own,
    beside the steps that are computed, and only what has arrived is moved to its place between
    them. The host waits where it is two sendings ahead.

    Attributes
    ----------
    there
        The arrays on the device, by name.
    """

    def __init__(self, sizes: dict[str, tuple[int, torch.dtype]], device: torch.device):
        self._on_gpu = device.type == "cuda"
        self.there = {k: torch.zeros(n, dtype=t, device=device) for k, (n, t) in sizes.items()}
        self._slots = [_Slot(sizes, device) for _ in range(_SLOTS if self._on_gpu else 1)]
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None
        self._n_sent = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays to write what is sent next to."""
        slot = self._slots[self._n_sent % len(self._slots)]
        if slot.arrived is not None:
            slot.arrived.synchronize()
        return {name: one.numpy() for name, one in slot.host.items()}

    def send(self, lengths: dict[str, int]) -> None:
        """Send the first so many of each array."""
        slot = self._slots[self._n_sent % len(self._slots)]
        self._n_sent += 1
        parts = {name: slice(length) for name, length in lengths.items()}
        if not self._on_gpu:
            for name, part in parts.items():
                self.there[name][part].copy_(slot.host[name][part])
            return
        assert self._stream is not None
        assert slot.arrived is not None
        assert slot.moved is not None
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(slot.moved)
            for name, part in parts.items():
                slot.arriving[name][part].copy_(slot.host[name][part], non_blocking=True)
            slot.arrived.record(self._stream)
        computing = torch.cuda.current_stream()
        computing.wait_event(slot.arrived)
        for name, part in parts.items():
            self.there[name][part].copy_(slot.arriving[name][part])
        slot.moved.record(computing)


class _Slot:
    """What is on its way: in memory of the host, and where it arrives on a GPU."""

    def __init__(self, sizes: dict[str, tuple[int, torch.dtype]], device: torch.device):
        on_gpu = device.type == "cuda"
        self.host: dict[str, Tensor] = {
            name: torch.zeros(n, dtype=dtype, pin_memory=on_gpu)
            for name, (n, dtype) in sizes.items()
        }
        self.arriving: dict[str, Tensor] = {}
        self.arrived = self.moved = None
        if on_gpu:
            self.arriving = {name: one.to(device) for name, one in self.host.items()}
            self.arrived, self.moved = torch.cuda.Event(), torch.cuda.Event()
