"""Entries of a sparse matrix in a text file become blocks of whole cells."""

import numpy as np
import pytest
from raw_files import N_OBS, N_VARS, write_mtx
from scipy import io as scipy_io
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import matrix_market, mtx, open_raw


def read(path, max_bytes=2**20, **options):
    raw = open_raw(path, IngestOptions(**options))
    return sparse.vstack(list(raw.chunks(max_bytes))).toarray()


def test_unsorted_mtx_is_sorted(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[3:][::-1]) + "\n")
    raw = open_raw(tmp_path / "m", IngestOptions())
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(64))).toarray(), counts)


def test_scipy_reads_our_mtx_fixture_alike(cases, counts):
    matrix = scipy_io.mmread(cases["mtx_v2"][0] / "matrix.mtx")
    np.testing.assert_array_equal(matrix.toarray().T, counts)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.replace(" 23 ", " 24 ", 1), "Do the three files belong together"),
        (lambda t: "\n".join(t.splitlines()[:-1]), r"promises \d+ entries and holds"),
        (lambda t: t.replace("\n1 1 40000\n", "\n99 1 40000\n"), "outside its"),
        (lambda t: t.replace("coordinate", "array"), "not a sparse matrix of counts"),
        (lambda t: t.replace("40000", "many"), "Unable to parse string"),
    ],
)
def test_damaged_mtx(tmp_path, counts, change, match):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "m", IngestOptions())


def rewrite(folder, entries, shape, kind="integer"):
    """The matrix of a folder anew, from lines of (feature, cell, value) from 1."""
    lines = [f"%%MatrixMarket matrix coordinate {kind} general", "%", "%"]
    lines += [" ".join(map(str, [*shape, len(entries)]))]
    lines += [" ".join(map(str, entry)) for entry in entries]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("max_bytes", [1, 48 * 3, 48 * 20, 2**20])
def test_cells_that_go_on_in_the_next_part_and_cells_without_entries(tmp_path, counts, max_bytes):
    """Cell 4 is empty, and so are the first and the last two here."""
    counts = counts.copy()
    counts[[0, -2, -1]] = 0
    counts[10] = 1  # longer than a part
    write_mtx(tmp_path / "m", counts, version=2)
    raw = open_raw(tmp_path / "m", IngestOptions())
    blocks = list(raw.chunks(max_bytes))
    np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), counts)
    if max_bytes == 1:
        assert len(blocks) == N_OBS


@pytest.mark.parametrize("max_bytes", [1, 2**20])
def test_entries_in_any_order_and_listed_twice_are_added_up(tmp_path, counts, max_bytes):
    write_mtx(tmp_path / "m", counts, version=2)
    matrix = sparse.coo_matrix(counts.T)
    entries = list(zip(matrix.row + 1, matrix.col + 1, matrix.data, strict=True))
    order = np.random.default_rng(0).permutation(len(entries))
    shuffled = [entries[i] for i in order] + [(3, 5, 2), (3, 5, 2)]
    rewrite(tmp_path / "m", shuffled, (N_VARS, N_OBS))
    expected = counts.copy()
    expected[4, 2] += 4
    np.testing.assert_array_equal(read(tmp_path / "m", max_bytes), expected)


@pytest.mark.parametrize("cells", [[2, 3, 4, 1, 1, 5], [1, 2, 3, 3, 2, 4], [4, 4, 4, 3, 3, 3]])
def test_entries_are_sorted_only_if_the_parts_are_too(tmp_path, counts, monkeypatch, cells):
    iterate = matrix_market.iter_entries
    for module in (matrix_market, mtx):
        monkeypatch.setattr(
            module, "iter_entries", lambda path, n, **k: iterate(path, min(n, 3), **k)
        )
    write_mtx(tmp_path / "m", counts, version=2)
    entries = [(gene, cell, 10 * gene) for gene, cell in enumerate(cells, start=1)]
    rewrite(tmp_path / "m", entries, (N_VARS, N_OBS))
    path = tmp_path / "m" / "matrix.mtx"
    assert not matrix_market.check_entries(path, (N_VARS, N_OBS), 6, cells_first=False)
    rewrite(tmp_path / "m", sorted(entries, key=lambda e: e[1]), (N_VARS, N_OBS))
    assert matrix_market.check_entries(path, (N_VARS, N_OBS), 6, cells_first=False)
    expected = np.zeros((N_OBS, N_VARS))
    for gene, cell, value in entries:
        expected[cell - 1, gene - 1] = value
    np.testing.assert_array_equal(read(tmp_path / "m", 48), expected)


@pytest.mark.parametrize(
    ("entry", "is_inside"),
    [
        ((N_VARS, N_OBS, 7), True),
        ((1, 1, 7), True),
        ((N_VARS + 1, 1, 7), False),
        ((1, N_OBS + 1, 7), False),
        ((0, 1, 7), False),
        ((1, 0, 7), False),
    ],
)
def test_an_entry_at_the_edge_is_inside_and_one_beyond_is_not(tmp_path, counts, entry, is_inside):
    write_mtx(tmp_path / "m", counts, version=2)
    rewrite(tmp_path / "m", [entry], (N_VARS, N_OBS))
    if is_inside:
        assert read(tmp_path / "m")[entry[1] - 1, entry[0] - 1] == 7
    else:
        with pytest.raises(InputError, match="an entry is outside its 11 x 23 matrix"):
            open_raw(tmp_path / "m", IngestOptions())


@pytest.mark.parametrize("difference", [-1, 1])
def test_an_entry_less_and_one_more_than_promised(tmp_path, counts, difference):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    n = np.count_nonzero(counts)
    path.write_text(path.read_text().replace(f" {n}\n", f" {n + difference}\n", 1))
    with pytest.raises(InputError, match=f"promises {n + difference} entries and holds {n}"):
        open_raw(tmp_path / "m", IngestOptions())


def test_counts_that_are_written_as_real_numbers_stay_what_they_are(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    rewrite(tmp_path / "m", [(2, 3, "1.5"), (1, 4, "2.0")], (N_VARS, N_OBS), kind="real")
    found = read(tmp_path / "m")
    assert (found[2, 1], found[3, 0], found.sum()) == (1.5, 2, 3.5)


@pytest.mark.parametrize("kind", ["pattern", "complex"])
def test_a_matrix_of_something_else_is_refused(tmp_path, counts, kind):
    write_mtx(tmp_path / "m", counts, version=2)
    rewrite(tmp_path / "m", [(2, 3, 1)], (N_VARS, N_OBS), kind=kind)
    with pytest.raises(InputError, match="not a sparse matrix of counts in Matrix Market format"):
        open_raw(tmp_path / "m", IngestOptions())


def test_an_empty_matrix_has_cells_and_genes(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    rewrite(tmp_path / "m", [], (N_VARS, N_OBS))
    np.testing.assert_array_equal(read(tmp_path / "m"), np.zeros((N_OBS, N_VARS)))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("coordinate integer", "coordinate unsigned-integer"),
        lambda t: t.replace("11 23 ", "1.1e+01 2.3e1 ", 1),
        lambda t: t.replace("%made\n", "%made\n\n%\n\n", 1),
        lambda t: t.replace("\n1 1 40000\n", "\n1e+00 1 4e4\n"),
        lambda t: t.replace("\n", "\r\n") + "\r\n",
    ],
)
def test_numbers_and_lines_as_other_programs_write_them(tmp_path, counts, change):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_bytes(changed.encode())
    np.testing.assert_array_equal(read(tmp_path / "m"), counts)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("\n1 1 40000\n", "\n1.5 1 40000\n", "not whole"),
        ("11 23 ", "11.5 23 ", "three whole numbers"),
        ("11 23 ", "11 ", "three whole numbers"),
    ],
)
def test_numbers_that_are_not_whole_are_not_cut(tmp_path, counts, old, new, match):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "m", IngestOptions())
