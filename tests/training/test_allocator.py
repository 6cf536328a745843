"""Large blocks stay with the process while a training runs, and not longer."""

import ctypes

import pytest

from scpress.training.allocator import large_blocks_stay

# From malloc.h: what is above the one is given back, what is above the other is mapped.
TRIM, MAP = -1, -3


class _Libc:
    """Stands for the C library: keeps what it was told."""

    def __init__(self):
        self.told = {}

    def mallopt(self, parameter, value):
        self.told[parameter] = value
        return 1


def test_both_thresholds_are_raised_and_put_back_even_after_an_error(monkeypatch):
    libc = _Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)

    def fail():
        with large_blocks_stay():
            assert set(libc.told) == {TRIM, MAP}
            # A block of a step, 128 cells x 2,000 genes of float32 or float64, is below both.
            assert min(libc.told.values()) > 128 * 2000 * 8
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert libc.told == {TRIM: 128 * 2**10, MAP: 128 * 2**10}  # glibc's own


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    def missing(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with large_blocks_stay():
        pass
