"""Cell Ranger's files: which features are genes, and how entries become cells."""

import re

import h5py
import numpy as np
import pytest
from raw_files import BARCODES, IDS, N_OBS, N_VARS, SYMBOLS, write_10x_v2, write_10x_v3, write_mtx
from scipy import io as scipy_io
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import matrix_market, mtx, open_raw
from scpress.steps.ingest import iter_counts


def test_antibodies_are_set_aside_with_a_message(cases):
    raw = open_raw(cases["10x_v3"][0], IngestOptions())
    assert list(raw.var["gene_id"]) == IDS
    assert raw.messages == [
        f"2 of type Antibody Capture set aside; {N_VARS} of type Gene Expression kept"
    ]


def test_genome_must_be_named_when_there_are_several(cases):
    path = cases["10x_v2_genome"][0]
    with pytest.raises(InputError, match="holds the genomes GRCh38, mm10"):
        open_raw(path, IngestOptions())
    with pytest.raises(InputError, match="no genes of genome 'mm10'; found GRCh38"):
        open_raw(cases["10x_v3"][0], IngestOptions(genome="mm10"))


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


def read(path, max_bytes=2**20, **options):
    raw = open_raw(path, IngestOptions(**options))
    return sparse.vstack(list(raw.chunks(max_bytes))).toarray()


@pytest.mark.parametrize("genome", ["GRCh38", "mm10"])
def test_of_two_genomes_in_one_matrix_the_named_one_is_kept(tmp_path, counts, genome):
    path = tmp_path / "a.h5"
    write_10x_v3(path, counts)
    with h5py.File(path, "a") as file:
        file["matrix/features/genome"][...] = np.array(["GRCh38", "mm10"] * 6 + ["GRCh38"], "S")
    # Features 3 and 4 are antibodies, of a genome each.
    own = [i for i in range(13) if i % 2 == (genome == "mm10") and i not in (3, 4)]
    columns = [i if i < 3 else i - 2 for i in own]
    raw = open_raw(path, IngestOptions(genome=genome))
    assert list(raw.var["gene_id"]) == [IDS[i] for i in columns]
    for max_bytes in (1, 500, 2**20):
        found = read(path, max_bytes, genome=genome)
        np.testing.assert_array_equal(found, counts[:, columns])
    np.testing.assert_array_equal(read(path, genome="mm10+GRCh38"), counts)
    with pytest.raises(InputError, match=r"2 genomes, GRCh38 \(6 genes\), mm10 \(5 genes\)"):
        open_raw(path, IngestOptions())


def test_each_genome_of_version_2_has_its_own_matrix(tmp_path, counts):
    path = tmp_path / "a.h5"
    write_10x_v2(path, counts, genomes=("GRCh38", "mm10"))
    with h5py.File(path, "a") as file:
        file["mm10/data"][...] = file["mm10/data"][...] * 2
        file.create_group("empty")
    np.testing.assert_array_equal(read(path, genome="GRCh38"), counts)
    np.testing.assert_array_equal(read(path, genome="mm10"), 2 * counts)
    with pytest.raises(InputError, match="holds the genomes GRCh38, mm10; found genome 'hg19'"):
        open_raw(path, IngestOptions(genome="hg19"))


def test_a_genome_that_is_named_and_absent_is_refused_also_where_there_is_one(tmp_path, counts):
    write_10x_v2(tmp_path / "a.h5", counts)
    with pytest.raises(InputError, match="holds the genomes GRCh38; found genome 'mm10'"):
        open_raw(tmp_path / "a.h5", IngestOptions(genome="mm10"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("something")
    with pytest.raises(InputError, match="not a 10x HDF5 file: it holds something"):
        open_raw(tmp_path / "b.h5", IngestOptions())


def test_a_file_without_genes_names_what_it_measured(tmp_path, counts):
    write_10x_v3(tmp_path / "a.h5", counts)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["matrix/features/feature_type"]
        file["matrix/features/feature_type"] = np.array(["Peaks"] * (N_VARS + 2), dtype="S")
    with pytest.raises(InputError, match="no features of type Gene Expression; found Peaks"):
        open_raw(tmp_path / "a.h5", IngestOptions())


@pytest.mark.parametrize("max_bytes", [0, 16, 15 * 16, 40 * 16, 2**20])
def test_a_block_of_hdf5_has_as_many_cells_as_fit(cases, counts, max_bytes):
    sizes = np.count_nonzero(counts, axis=1)
    expected, start = [], 0
    while start < N_OBS:
        stop = start + 1
        while stop < N_OBS and 16 * sizes[start : stop + 1].sum() <= max_bytes:
            stop += 1
        expected.append(stop - start)
        start = stop
    raw = open_raw(cases["10x_v2"][0], IngestOptions())
    assert [block.shape[0] for block in raw.chunks(max_bytes)] == expected


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("barcodes", lambda x: x[1:], r"tables do not fit its shape, 11 x 23"),
        ("genes", lambda x: x[1:], "tables do not fit its shape"),
        ("indptr", lambda x: x[:-1], "has 23 row pointers; 24 are needed for its 23 rows"),
        ("indptr", lambda x: np.append(x[:-1], x[-1] + 1), "row pointers do not fit"),
        ("indptr", lambda x: np.concatenate([x[:1], x[-1:], x[2:]]), "row pointers do not"),
        ("data", lambda x: x[:-1], r"has \d+ values and \d+ indices"),
    ],
)
def test_damaged_hdf5(tmp_path, counts, name, change, match):
    write_10x_v2(tmp_path / "a.h5", counts)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        values = change(file[f"GRCh38/{name}"][:])
        del file[f"GRCh38/{name}"]
        file[f"GRCh38/{name}"] = values
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "a.h5", IngestOptions())


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


def test_as_many_cells_as_genes_are_features_first(tmp_path, counts):
    """As Cell Ranger writes it, where the sizes cannot tell."""
    square = counts[:N_VARS]
    write_mtx(tmp_path / "m", square, version=2)
    (tmp_path / "m" / "barcodes.tsv").write_text("\n".join(BARCODES[:N_VARS]) + "\n")
    np.testing.assert_array_equal(read(tmp_path / "m"), square)


def test_features_of_a_folder_that_are_not_genes_are_set_aside(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    lines = [f"{i}\t{s}\tGene Expression" for i, s in zip(IDS, SYMBOLS, strict=True)]
    lines[5] = lines[5].replace("Gene Expression", "Antibody Capture")
    (tmp_path / "m" / "genes.tsv").write_text("\n".join(lines) + "\n")
    raw = open_raw(tmp_path / "m", IngestOptions())
    assert "1 of type Antibody Capture set aside; 10 of type Gene Expression" in raw.messages[0]
    assert "feature_type" not in raw.var
    np.testing.assert_array_equal(read(tmp_path / "m"), np.delete(counts, 5, axis=1))


def test_of_several_samples_in_a_folder_the_matrix_says_which(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=3, prefix="GSM1_")
    write_mtx(tmp_path / "n", 2 * counts, version=3, prefix="GSM2_")
    for path in (tmp_path / "n").iterdir():
        path.rename(tmp_path / "m" / path.name)
    for number in (1, 2):
        found = read(tmp_path / "m" / f"GSM{number}_matrix.mtx.gz")
        np.testing.assert_array_equal(found, number * counts)
    with pytest.raises(InputError, match=r"must hold one of .*; found GSM1_matrix.mtx.gz, GSM2_"):
        open_raw(tmp_path / "m", IngestOptions())
    (tmp_path / "m" / "GSM1_barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"must hold one of GSM1_barcodes.tsv, GSM1_barcodes"):
        open_raw(tmp_path / "m" / "GSM1_matrix.mtx.gz", IngestOptions())


def test_names_with_quotes_and_missing_values_stay_text(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    names = ["NA", 'a"b', *SYMBOLS[2:]]
    text = "".join(f"{i}\t{s}\n" for i, s in zip(IDS, names, strict=True))
    (tmp_path / "m" / "genes.tsv").write_text(text)
    assert list(open_raw(tmp_path / "m", IngestOptions()).var["gene_symbol"]) == names


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.replace("\n1 1 40000\n", "\n1.5 1 40000\n"), "cannot be read as 10x_mtx"),
        (lambda t: t.replace("\n1 1 40000\n", "\n1 1 4\x000000\n"), "holds a NUL byte"),
        (lambda t: t.replace("\n1 1 40000\n", '\n1 1 "40000"\n'), "Unable to parse string"),
        (lambda t: re.sub(r"^11 23 .*$", "11 23 0", t, flags=re.M), "promises 0 entries and holds"),
        (
            lambda t: re.sub(r"(?m)^(\d+ \d+) \d+$", r"\1 True", t).replace("23 True", "23 133", 1),
            "values of type bool",
        ),
    ],
)
def test_words_that_are_no_whole_numbers_are_damage(tmp_path, counts, change, match):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "m", IngestOptions())


def test_a_matrix_of_no_entries_is_zeros(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    rewrite(tmp_path / "m", [], (N_VARS, N_OBS))
    np.testing.assert_array_equal(read(tmp_path / "m"), np.zeros((N_OBS, N_VARS)))


@pytest.mark.parametrize("entries", [[0.5, 0.5], [2**31 - 1] * 2, [2**62] * 4, [5, -3]])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_entries_of_one_place_are_counts_each_and_together(tmp_path, counts, entries, is_sorted):
    write_mtx(tmp_path / "m", counts, version=2)
    lines = [(3, 2, value) for value in entries]
    rewrite(tmp_path / "m", [*lines, (1, 3 if is_sorted else 1, 1)], (N_VARS, N_OBS), "real")
    raw = open_raw(tmp_path / "m", IngestOptions())
    with pytest.raises(InputError, match="counts must be non-negative integers; found"):
        list(iter_counts(raw, None, sample="s"))
