"""Small counts, and a file of them in every format."""

import numpy as np
import pytest
from raw_files import N_OBS, N_VARS, write_all


@pytest.fixture(scope="session")
def counts():
    values = np.random.default_rng(0).poisson(0.8, (N_OBS, N_VARS)).astype(np.int32)
    values[4] = 0
    values[:, 7] = 0
    values[0, 0] = 40_000
    values.flags.writeable = False
    return values


@pytest.fixture(scope="session")
def cases(tmp_path_factory, counts):
    """Format -> (path, options); the files are not to be changed."""
    return write_all(tmp_path_factory.mktemp("formats") / "all", counts)
