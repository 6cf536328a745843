"""Archives that older versions wrote are read for ever, to the same counts and names."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scpress import open_archive
from scpress.archive.numpy_reader import read_counts

FILES = Path(__file__).parents[1] / "files"
# Of each: shape, molecules, the first 16 digits of SHA-256 of the dense counts as int32, a name.
ARCHIVES = {
    "unreleased/counts.scp": (
        (200, 60),
        4_295_154_173,
        "7295fd95642299db",
        ("cell7", "ENSG00000000042"),
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_of_a_release_is_read_for_ever(name):
    shape, molecules, digest, (cell, gene) = ARCHIVES[name]
    with open_archive(FILES / name) as archive:
        X = archive[:]
        assert archive.obs_names[7] == cell
        assert archive.var_names[42] == gene
    assert X.shape == shape
    assert X.sum(dtype=np.int64) == molecules
    dense = X.toarray().astype("<i4")
    assert hashlib.sha256(dense.tobytes()).hexdigest()[:16] == digest
    indptr, indices, data, theirs = read_counts(str(FILES / name))
    alone = sparse.csr_matrix((data, indices, indptr), shape=theirs)
    np.testing.assert_array_equal(alone.toarray(), dense)


def test_a_damaged_archive_is_not_read_by_numpy_alone(tmp_path):
    data = (FILES / "unreleased/counts.scp").read_bytes()
    for broken, says in (
        (data[:-1], "not whole"),
        (b"x" + data[1:], "no archive of version 1"),
        (data[:8] + b"\2" + data[9:], "no archive of version 1"),
        (data[:2000] + bytes([data[2000] ^ 1]) + data[2001:], "section at byte .* is damaged"),
    ):
        (tmp_path / "a.scp").write_bytes(broken)
        with pytest.raises(ValueError, match=says):
            read_counts(str(tmp_path / "a.scp"))
