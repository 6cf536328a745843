"""An archive that is open: any cells and genes as in memory, and damage by chunk."""

import itertools
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from anndata.tests.helpers import assert_equal
from archive.conftest import few_cells
from hypothesis import given
from hypothesis import strategies as st

import scpress
from scpress import settings
from scpress.archive.codec import CountsCodec
from scpress.archive.container import SectionReader, SectionWriter
from scpress.archive.reader import Archive, DamagedChunksError, counts_checksum
from scpress.archive.source import source_of
from scpress.archive.writer import write_archive
from scpress.config.options import NormalizeOptions
from scpress.counts.matrix import gene_totals, iter_chunks, select_columns
from scpress.errors import InputError
from scpress.steps.normalize import normalize


@pytest.fixture
def archive(packed):
    with Archive(packed) as one:
        yield one


def test_the_package_opens_it_without_loading_anything_before(packed):
    with scpress.open_archive(str(packed)) as one:
        assert one.shape == (60, 9)
    code = "import sys, scpress; assert not {'numpy', 'anndata'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'open'"):
        scpress.open  # noqa: B018


def test_it_tells_what_it_is(archive, cells, packed):
    assert (archive.n_obs, archive.n_vars, len(archive)) == (60, 9, 60)
    assert archive.dtype == np.int32
    assert archive.path == packed
    assert list(archive.obs_names) == list(cells.obs_names)
    assert list(archive.var_names) == list(cells.var_names)
    assert_equal(archive.obs, cells.obs)
    assert_equal(archive.var, cells.var)
    assert repr(archive) == f"Archive of 60 cells x 9 genes in '{packed}'"


def test_the_anndata_comes_back(archive, cells):
    assert_equal(cells, archive.to_anndata(), exact=True)


ROWS = [
    slice(None),
    slice(3, 50),
    slice(None, None, -1),
    slice(10, 10),
    slice(-5, None, 2),
    7,
    -1,
    np.int32(24),
    [],
    [5, 5, 59, 0],
    np.arange(60) % 7 == 0,
    np.zeros(60, dtype=bool),
    np.array([59, 23, 24], dtype=np.uint8),
]


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_cells_are_those_of_the_matrix_in_memory(archive, cells, rows):
    X = cells.X
    wanted = X[[rows]] if np.ndim(rows) == 0 and not isinstance(rows, slice) else X[rows]
    found = archive[rows]
    assert found.format == "csr"
    assert found.dtype == X.dtype
    assert (found.toarray() == wanted.toarray()).all()
    assert found.shape == wanted.shape


@given(st.lists(st.integers(-60, 59)), st.lists(st.integers(-9, 8)))
def test_any_cells_and_genes_are_those_in_memory(packed, cells, rows, genes):
    with Archive(packed) as one:
        found = one[rows, genes]
    assert found.shape == (len(rows), len(genes))
    wanted = cells.X.toarray()[np.array(rows, dtype=int)][:, np.array(genes, dtype=int)]
    assert (found.toarray() == wanted).all()


@pytest.mark.parametrize(
    "genes", ["G3x", ["G3x", "G0x"], 3, slice(2, 5), [8, -1], np.arange(9) > 4, []], ids=str
)
def test_genes_have_names_and_positions(archive, cells, genes):
    wanted = cells[:, [genes] if isinstance(genes, str | int) else genes].X
    assert (archive[4:40, genes].toarray() == wanted[4:40].toarray()).all()


def test_genes_that_are_not_there_or_there_twice_are_refused(tmp_path, archive):
    with pytest.raises(InputError, match="has no genes named 'G9x'"):
        archive[:, ["G1x", "G9x"]]
    adata = few_cells()
    adata.var_names = ["twice", "twice", *adata.var_names[2:]]
    write_archive(tmp_path / "a.scp", source_of(adata))
    with Archive(tmp_path / "a.scp") as one, pytest.raises(InputError, match="has 2 genes named"):
        one[:, "twice"]


@pytest.mark.parametrize(
    "rows", [60, -61, [0, 60], np.ones(59, dtype=bool), [[1]], 1.5, "cell1"], ids=str
)
def test_cells_that_are_not_there_are_refused(archive, rows):
    with pytest.raises(IndexError, match="cell"):
        archive[rows]


@pytest.mark.parametrize("chunk_bytes", [1, 500, 10**6])
def test_steps_walk_over_it_as_over_a_matrix_on_disk(archive, cells, monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    blocks = list(iter_chunks(archive.X))
    assert [start for start, _, _ in blocks] == [0, *(stop for _, stop, _ in blocks[:-1])]
    assert (sum(b.sum() for _, _, b in blocks)) == cells.X.sum()
    assert (gene_totals(archive) == np.asarray(cells.X.sum(axis=0)).ravel()).all()
    found = select_columns(archive, np.array([1, 4]))
    assert (found.toarray() == cells.X[:, [1, 4]].toarray()).all()


def test_a_step_gives_what_it_gives_of_the_anndata(archive, cells):
    options = NormalizeOptions(batch_key=None, n_top_genes=5)
    assert_equal(normalize(cells, options), normalize(archive, options))


def test_what_is_beside_the_genes_is_read_by_name(cells, tmp_path):
    cells = cells.copy()
    cells.varm["measured"] = np.arange(2 * cells.n_vars).reshape(-1, 2) % 3 > 0
    cells.uns["scpress"] = {"sample_names": ["a", "b"]}
    write_archive(tmp_path / "beside.scp", source_of(cells))
    with Archive(tmp_path / "beside.scp") as archive:
        assert list(archive.varm) == ["measured"]
        np.testing.assert_array_equal(archive.varm["measured"], cells.varm["measured"])
        assert archive.varm["measured"].dtype == bool
        assert list(archive.uns["scpress"]["sample_names"]) == ["a", "b"]


@pytest.mark.parametrize("rows", [1, 24, 25, 1000])
def test_blocks_of_so_many_cells_are_all_of_them(archive, cells, rows):
    blocks = list(archive.iter_chunks(rows))
    assert {stop - start for start, stop, _ in blocks[:-1]} <= {rows}
    whole = np.vstack([block.toarray() for _, _, block in blocks])
    assert (whole == cells.X.toarray()).all()


def test_a_few_cells_read_only_their_chunks(archive, monkeypatch):
    read = []
    monkeypatch.setattr(
        SectionReader,
        "read_at",
        lambda self, offset, n, real=SectionReader.read_at: read.append(n) or real(self, offset, n),
    )
    archive.codec  # noqa: B018
    read.clear()
    archive[[3, 50]]
    sizes = [int(n) for n in archive._index.n_bytes]
    assert read == [sizes[0], sizes[2]]


# damage ------------------------------------------------------------------------------------------


def sections_of(path):
    reader = SectionReader(path)
    try:
        return [[one.kind, reader.read_section(one)] for one in reader.sections]
    finally:
        reader.close()


def write_sections(path, sections):
    with path.open("wb") as file:
        writer = SectionWriter(file)
        for kind, payload in sections:
            writer.add(kind, payload)
        writer.finish()
    return path


@pytest.fixture
def rewritten(packed, tmp_path):
    """The archive with one section changed and all checksums of sections made anew."""

    def rewrite(kind, change):
        sections = sections_of(packed)
        for section in sections:
            if section[0] == kind:
                section[1] = change(section[1])
        return write_sections(tmp_path / "changed.scp", sections)

    return rewrite


def read_everything(path):
    with Archive(path) as one:
        one.require_whole()
        return one.to_anndata()


def test_no_flipped_byte_gives_another_anndata(packed, tmp_path):
    data = packed.read_bytes()
    path = tmp_path / "a.scp"
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises(InputError) as caught:
            read_everything(path)
        assert "\n" not in str(caught.value)


def test_no_byte_of_the_chunks_changes_counts_though_the_sections_are_whole(rewritten, cells):
    n_bytes = len(sections_of(rewritten("CELL", lambda data: data))[3][1])
    for at in range(n_bytes):
        path = rewritten(
            "CELL", lambda data, at=at: data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        )
        with pytest.raises(DamagedChunksError, match=r"damaged in chunk \d \(cells \d+ to \d+\)"):
            read_everything(path)


def test_chunks_that_changed_places_are_found(rewritten, archive):
    first, second = (int(n) for n in archive._index.n_bytes[:2])

    def swap(data):
        return data[first : first + second] + data[:first] + data[first + second :]

    with pytest.raises(InputError, match=r"damaged in chunk 0 \(cells 0 to 23\): its checksum"):
        read_everything(rewritten("CELL", swap))


def test_only_the_cells_of_a_damaged_chunk_are_lost(rewritten, archive, cells):
    first = int(archive._index.n_bytes[0])
    path = rewritten("CELL", lambda data: data[: first + 3] + b"!" + data[first + 4 :])
    with Archive(path) as one:
        assert (one[:24].toarray() == cells.X[:24].toarray()).all()
        assert (one[48:].toarray() == cells.X[48:].toarray()).all()
        with pytest.raises(DamagedChunksError, match=r"chunk 1 \(cells 24 to 47\)"):
            one[30]
        with pytest.raises(DamagedChunksError, match="chunk 1"):
            one[:]
        assert list(np.flatnonzero(~one.whole_cells())) == list(range(24, 48))


@pytest.mark.parametrize("kind", ["MODL", "REST"])
def test_a_section_of_another_archive_is_refused(rewritten, tmp_path, kind):
    other = few_cells(n_vars=9 if kind == "REST" else 8, seed=1)
    write_archive(tmp_path / "other.scp", source_of(other))
    payload = dict(map(tuple, sections_of(tmp_path / "other.scp")))[kind]
    with pytest.raises(InputError, match=f"section {kind} .*: it is of another archive"):
        read_everything(rewritten(kind, lambda _: payload))


def test_an_index_of_another_archive_is_refused(rewritten, tmp_path):
    write_archive(tmp_path / "other.scp", source_of(few_cells(seed=1)))
    payload = dict(map(tuple, sections_of(tmp_path / "other.scp")))["INDX"]
    with pytest.raises(InputError, match=r"section INDX .*: it is of an archive with another"):
        read_everything(rewritten("INDX", lambda _: payload))


def test_counts_that_were_not_packed_are_refused_whatever_the_bytes_say(
    packed, tmp_path, archive, cells
):
    """Chunks of other counts, with a checksum of their bytes that is right."""
    other = cells.X.copy()
    other.data = other.data.copy()
    first_cell = other.data[: other.indptr[1]]
    most = int(first_cell.argmax())
    first_cell[most] -= 1
    first_cell[most - 1] += 1
    codec = CountsCodec.fit(lambda: iter([cells.X]), cells.shape)
    assert codec.to_bytes() == archive.codec.to_bytes()
    chunks = codec.encode(other)
    sections = sections_of(packed)
    sections[3][1] = b"".join(chunks)
    index = archive._index
    payload = type(index)(
        np.array([len(chunk) for chunk in chunks]),
        index.nonzeros,
        np.array([zlib.crc32(chunk) for chunk in chunks]),
        index.counts_crc32,
    ).to_bytes(sections[0][1])
    sections[4][1] = payload
    with pytest.raises(DamagedChunksError, match=r"chunk 0 .*decodes to other counts"):
        read_everything(write_sections(tmp_path / "a.scp", sections))


def test_sections_of_cells_must_be_as_long_as_their_chunks(rewritten):
    for change in (lambda data: data[:-1], lambda data: data + b"\0"):
        with pytest.raises(InputError, match=r"section INDX .*: its chunks have"):
            read_everything(rewritten("CELL", change))


def test_a_chunk_is_not_in_two_sections(packed, tmp_path):
    sections = sections_of(packed)
    cells = sections[3][1]
    sections[3:4] = [["CELL", cells[:5]], ["CELL", cells[5:]]]
    with pytest.raises(InputError, match="a chunk is in two sections"):
        read_everything(write_sections(tmp_path / "a.scp", sections))


def test_chunks_may_be_in_many_sections(packed, tmp_path, archive, cells):
    sections = sections_of(packed)
    data = sections[3][1]
    cuts = np.cumsum([0, *archive._index.n_bytes])
    parts = [data[a:b] for a, b in itertools.pairwise(cuts)]
    sections[3:4] = [["CELL", part] for part in [b"", parts[0], parts[1] + parts[2], b""]]
    path = write_sections(tmp_path / "a.scp", sections)
    assert_equal(cells, read_everything(path), exact=True)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("HEAD", b"{}"), ("HEAD", b"\xff"), ("INDX", b""), ("MODL", b"?"), ("REST", b"?")],
)
def test_a_section_that_is_none_is_named(rewritten, kind, payload):
    with pytest.raises(InputError, match=f"damaged in section {kind} "):
        read_everything(rewritten(kind, lambda _: payload))


def test_the_sums_of_the_header_are_held_against_the_counts(packed, tmp_path, cells):
    total = int(cells.X.sum())
    sections = sections_of(packed)
    sections[0][1] = sections[0][1].replace(b'"sum":%d' % total, b'"sum":%d' % (total + 1))
    sections[4][1] = struct.pack("<I", zlib.crc32(sections[0][1])) + sections[4][1][4:]
    path = write_sections(tmp_path / "a.scp", sections)
    with pytest.raises(InputError, match=f"holds {total} molecules and says {total + 1}"):
        read_everything(path)


def test_the_checksum_of_counts_is_what_the_page_says(cells):
    rows = cells.X[:2]
    n0, n1 = np.diff(rows.indptr)
    numbers = [n0, n1, *rows.indices, *rows.data]
    assert counts_checksum(rows) == zlib.crc32(struct.pack(f"<{len(numbers)}I", *numbers))


def test_bytes_of_the_parts_add_up_to_the_file(archive, packed):
    found = archive.describe()
    assert found["file_bytes"] == packed.stat().st_size == sum(found["sections"].values())
    coded = sum(found["sections"][kind] for kind in ("CELL", "MODL", "INDX"))
    assert found["bits_per_nonzero"] == 8 * coded / archive.header.nnz
