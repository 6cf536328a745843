"""The same small counts in every way that they are stored."""

import h5py
import numpy as np
import pytest
from anndata.io import sparse_dataset, write_elem
from scipy import sparse


@pytest.fixture(scope="module")
def dense():
    values = np.random.default_rng(1).poisson(0.5, (40, 9)).astype(np.int32)
    values[3:6] = 0
    values.flags.writeable = False
    return values


@pytest.fixture(params=["csr", "csc", "dense", "disk_csr", "disk_csc", "disk_dense"])
def stored(request, dense, tmp_path):
    kind = request.param.removeprefix("disk_")
    X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.array}[kind](dense)
    if not request.param.startswith("disk"):
        yield X
        return
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_elem(file, "X", X)
        yield file["X"] if kind == "dense" else sparse_dataset(file["X"])
