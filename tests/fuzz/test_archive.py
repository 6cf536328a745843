"""Archives that are damaged by chance: the counts that were packed, or one line, and no third."""

import contextlib
import random
import resource
import struct
import zlib

import numpy as np
import pytest
from archive.conftest import few_cells
from archive.test_reader import sections_of, write_sections

from scpress.archive.reader import Archive
from scpress.archive.source import source_of
from scpress.archive.writer import write_archive
from scpress.errors import InputError

N_DAMAGED = 300
# What reading so small an archive may need at most beside what the process has by then.
MOST_BYTES = 2**29


def flip(data, drawn):
    at = drawn.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << drawn.randrange(8)]) + data[at + 1 :]


def overwrite(data, drawn):
    at, n = drawn.randrange(len(data)), drawn.choice([1, 2, 4, 8, 50])
    value = drawn.choice([bytes(n), b"\xff" * n, drawn.randbytes(n)])
    return data[:at] + value + data[at + n :]


def remove(data, drawn):
    at = drawn.randrange(len(data))
    return data[:at] + data[at + drawn.choice([1, 2, 8, 60]) :]


def repeat(data, drawn):
    at, n = drawn.randrange(len(data)), drawn.choice([1, 8, 60])
    return data[: at + n] + data[at:]


def exchange(data, drawn):
    n = drawn.choice([4, 8, 24, 80])
    a, b = sorted(drawn.sample(range(max(3 * n, len(data) - n)), 2))
    b = max(b, a + n)
    return data[:a] + data[b : b + n] + data[a + n : b] + data[a : a + n] + data[b + n :]


def cut(data, drawn):
    return data[: drawn.randrange(len(data))]


def extend(data, drawn):
    return data + drawn.randbytes(drawn.choice([1, 20, 500]))


DAMAGES = (flip, overwrite, remove, repeat, exchange, cut, extend)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_archive(folder / "a.scp", source_of(few_cells()))
    return folder / "a.scp"


@contextlib.contextmanager
def limited_memory():
    """No more than a little memory beside what the process has."""
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def counts_or_line(path):
    """The counts where all is whole, or None after an error of the user's."""
    with contextlib.suppress(InputError), limited_memory(), Archive(path) as archive:
        archive.require_whole()
        counts = archive[:].toarray()
        assert archive.to_anndata().shape == (60, 9)
        return counts
    return None


def test_damaged_files_are_refused(whole, tmp_path):
    data, drawn, path = whole.read_bytes(), random.Random(0), tmp_path / "a.scp"
    for _ in range(N_DAMAGED):
        changed = drawn.choice(DAMAGES)(data, drawn)
        path.write_bytes(changed)
        assert counts_or_line(path) is None or changed == data


def test_damage_under_checksums_that_are_right_gives_no_wrong_count(whole, tmp_path):
    """As of a writer with a fault: the sections say that they are whole."""
    sections, drawn = sections_of(whole), random.Random(1)
    wanted = few_cells().X.toarray()
    n_read = 0
    for _ in range(N_DAMAGED):
        changed = [list(section) for section in sections]
        one = drawn.choice(changed)
        one[1] = drawn.choice(DAMAGES)(one[1], drawn)
        named = dict(map(tuple, changed))
        head = named["HEAD"]
        for kind, key in (("MODL", b"model_crc32"), ("REST", b"rest_crc32")):
            old = zlib.crc32(dict(map(tuple, sections))[kind])
            new = zlib.crc32(named[kind])
            head = head.replace(b'"%s":%d' % (key, old), b'"%s":%d' % (key, new))
        changed[0][1] = head
        changed[-1][1] = struct.pack("<I", zlib.crc32(head)) + changed[-1][1][4:]
        found = counts_or_line(write_sections(tmp_path / "a.scp", changed))
        if found is not None:
            n_read += 1
            np.testing.assert_array_equal(found, wanted)
    assert 0 < n_read < N_DAMAGED / 2
