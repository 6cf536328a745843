"""HDF5 files on a disk that fills up; tests/test_bad_input.py does the same through the verbs."""

import errno
import resource

import h5py
import numpy as np
import pytest

from scpress.io.hdf5 import new_hdf5

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
