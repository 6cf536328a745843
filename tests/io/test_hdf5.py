"""HDF5 files on a disk that fills up; tests/test_bad_input.py does the same through the verbs."""

import errno
import io
import resource

import h5py
import numpy as np
import pytest

from scpress.io.hdf5 import Disk, new_hdf5

NOISE = np.random.default_rng(0).integers(0, 2**31, 200_000)


def test_what_is_written_is_read(tmp_path):
    with new_hdf5(tmp_path / "a.h5") as (file, _):
        part = file.create_dataset("part", (0,), "f4", maxshape=(None,), chunks=(1000,))
        for start in range(0, 5500, 550):  # a chunk is written, read back and written again
            part.resize(start + 550, axis=0)
            part[start:] = NOISE[start : start + 550]
        file.create_dataset("whole", data=NOISE, compression="gzip")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        np.testing.assert_array_equal(file["part"], NOISE[:5500].astype(np.float32))
        np.testing.assert_array_equal(file["whole"], NOISE)


@pytest.mark.parametrize("limit", [0, 500, 100_000, 1_000_000])
def test_a_full_disk_is_the_systems_error(tmp_path, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    n_written = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="File too large") as error:  # noqa: SIM117, PT012
            with new_hdf5(tmp_path / "a.h5") as (file, disk):
                for number in range(100):
                    disk.check()
                    file.create_dataset(str(number), data=NOISE)
                    n_written += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.EFBIG
    assert n_written < 5  # it stopped soon after


def test_another_error_is_its_own(tmp_path):
    with pytest.raises(KeyError), new_hdf5(tmp_path / "a.h5") as (file, _):
        file["no"]


class Full(io.BytesIO):
    """A file of some bytes; each error says how much was asked when it was met."""

    room = 10

    def write(self, data):
        if self.tell() + len(data) > self.room:
            if self.tell() >= self.room:
                raise OSError(errno.ENOSPC, f"no room for {len(data)}")
            data = data[: self.room - self.tell()]  # what a system call may do
        return super().write(data)

    def truncate(self, size=None):
        if size is not None and size > self.room:
            raise OSError(errno.EFBIG, f"no file of {size}")
        return super().truncate(size)


@pytest.fixture
def full(tmp_path):
    with Disk(tmp_path / "a") as disk:
        disk._file.close()
        disk._file = Full()
        yield disk


def test_the_first_error_is_kept_until_it_is_asked_for(full):
    assert full.write(b"12345") == 5
    full.check()
    assert full.write(b"67890abc") == 8  # HDF5 is told that all was written
    assert full.write(b"abcdefghi") == 9
    full.truncate(99)
    for _ in range(2):
        with pytest.raises(OSError, match="no room for 3"):
            full.check()
    assert full._file.getvalue() == b"1234567890"


def test_a_file_that_cannot_be_made_so_long_is_an_error_too(full):
    assert full.truncate(99) == 99
    with pytest.raises(OSError, match="no file of 99"):
        full.check()


def test_nothing_is_written_after_an_error(full):
    full.write(b"x" * 11)
    full.seek(0)
    full.write(b"y")
    assert full._file.getvalue() == b"x" * 10


def test_what_could_not_be_written_is_read_as_zeros(full):
    full.write(b"12345")
    full.seek(3)
    buffer = bytearray(b"........")
    assert full.readinto(buffer) == 8
    assert buffer == b"45" + bytes(6)
    assert full.tell() == 5


def test_values_of_any_type_are_written_as_bytes(tmp_path):
    values = np.arange(5, dtype=np.float64)
    with Disk(tmp_path / "a") as disk:
        assert disk.write(values) == 40
        assert disk.tell() == 40
    assert (tmp_path / "a").read_bytes() == values.tobytes()
    disk.close()  # again


def test_the_error_of_the_disk_goes_before_what_came_of_it(tmp_path):
    with pytest.raises(OSError, match="full"), new_hdf5(tmp_path / "a.h5") as (_, disk):  # noqa: PT012
        disk._error = OSError(errno.ENOSPC, "full")
        raise KeyError("what HDF5 read back")
    with pytest.raises(OSError, match="full"), new_hdf5(tmp_path / "a.h5") as (_, disk):
        disk._error = OSError(errno.ENOSPC, "full")
