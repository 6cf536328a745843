"""Bytes of an archive survive JSON, and what is no such table is refused."""

import pytest

from scpress.errors import InputError
from scpress.tables.archive import PackedBytes

BYTES = PackedBytes(
    n_cells=3,
    n_genes=2,
    n_nonzeros=4,
    input_bytes=900,
    archive_bytes=300,
    sections={"CELL": 250, "frames": 50},
    rung="nb",
)


def test_the_table_comes_back():
    assert PackedBytes.from_plain(BYTES.as_plain(), "it") == BYTES


@pytest.mark.parametrize("name", ["archive_bytes", "sections"])
def test_a_table_that_lacks_a_field_says_who_makes_it(name):
    plain = BYTES.as_plain()
    del plain[name]
    with pytest.raises(InputError, match=f"it lacks '{name}'.* run `scpress pack` again"):
        PackedBytes.from_plain(plain, "it")
