"""Loom files: genes are the rows on disk, cells are read by chunks."""

import h5py
import numpy as np
import pytest
from raw_files import BARCODES, IDS, N_OBS, N_VARS, SYMBOLS, write_loom
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def test_loom_keeps_attributes(cases):
    raw = open_raw(cases["loom"][0], IngestOptions())
    assert list(raw.var["Accession"]) == IDS
    assert set(raw.obs["donor"]) == {"d"}
    assert raw.obsm["umap"].shape == (N_OBS, 2)


def test_a_missing_layer_names_those_there_are(cases):
    with pytest.raises(InputError, match="no counts at 'spliced'; it holds X, layer 'halved'"):
        open_raw(cases["loom"][0], IngestOptions(layer="spliced"))


def test_a_layer_is_read_in_place_of_the_matrix(cases, counts):
    raw = open_raw(cases["loom"][0], IngestOptions(layer="halved"))
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(200))).toarray(), counts / 2)
    assert open_raw(cases["loom"][0], IngestOptions()).places == ("layer 'halved'",)
    assert raw.places == ("X",)


@pytest.mark.parametrize(
    ("cells_at_most", "cells"),
    [
        (0, 1),
        (3, 3),  # the budget goes before whole chunks
        (5, 5),
        (9, 5),
        (10, 10),
        (14, 10),
        (100, 100),
    ],
)
def test_blocks_are_whole_chunks_of_five_cells_where_they_fit(cases, cells_at_most, cells):
    raw = open_raw(cases["loom"][0], IngestOptions())
    rows = [block.shape[0] for block in raw.chunks(cells_at_most * N_VARS * 4)]
    whole, rest = divmod(N_OBS, cells)
    assert rows == [cells] * whole + [rest] * bool(rest)


def test_a_matrix_without_chunks_is_read_too(tmp_path, counts):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        del file["matrix"]
        file["matrix"] = counts.T
    raw = open_raw(tmp_path / "a.loom", IngestOptions())
    blocks = list(raw.chunks(7 * N_VARS * 4))
    assert [block.shape for block in blocks] == [(7, N_VARS)] * 3 + [(2, N_VARS)]
    np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), counts)


def test_names_are_the_most_usual_ones_and_the_others_stay_columns(tmp_path, counts):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        file["col_attrs/barcode"] = np.array(["x"] * N_OBS, dtype="S")
        file["col_attrs/words"] = np.full((N_OBS, 2), b"x")
        file["row_attrs/length"] = np.arange(N_VARS)
        file.create_group("row_attrs/folder")
    raw = open_raw(tmp_path / "a.loom", IngestOptions())
    assert list(raw.obs.index) == BARCODES
    assert list(raw.var.index) == SYMBOLS
    assert set(raw.obs) == {"barcode", "donor"}
    assert list(raw.var["length"]) == list(range(N_VARS))
    # One value a cell is a column, several are an array, others are neither.
    assert list(raw.obsm) == ["umap"]
    np.testing.assert_array_equal(raw.obsm["umap"], np.arange(2.0 * N_OBS).reshape(N_OBS, 2))


@pytest.mark.parametrize(
    ("remove", "match"),
    [
        ("col_attrs/CellID", "does not name its cells: it has donor; one of CellID, obs_names"),
        ("col_attrs", "not a loom file: it holds layers, matrix, row_attrs"),
        ("matrix", "not a loom file: it holds col_attrs, layers, row_attrs"),
    ],
)
def test_what_is_missing_is_said(tmp_path, counts, remove, match):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        del file[remove]
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "a.loom", IngestOptions())


@pytest.mark.parametrize(("name", "what"), [("row_attrs/Gene", "genes"), ("col_attrs/x", "cells")])
def test_an_attribute_of_another_length_is_damage(tmp_path, counts, name, what):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        if name in file:
            del file[name]
        file[name] = np.arange(5)
    size = N_VARS if what == "genes" else N_OBS
    with pytest.raises(InputError, match=f"{name} has 5 values, and there are {size} {what}"):
        open_raw(tmp_path / "a.loom", IngestOptions())


def test_genes_without_symbols_are_named_by_their_ids(tmp_path, counts):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        del file["row_attrs/Gene"]
    assert list(open_raw(tmp_path / "a.loom", IngestOptions()).var.index) == IDS


def test_records_are_set_aside_and_named(tmp_path, counts):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        file["col_attrs/Embedding"] = np.zeros(N_OBS, [("_X", "f8"), ("_Y", "f8")])
        file["row_attrs/Regulons"] = np.zeros(N_VARS, [("TP53_(+)", "i8")])
        file.move("col_attrs/CellID", "col_attrs/Cell")
    raw = open_raw(tmp_path / "a.loom", IngestOptions())
    assert list(raw.obs.index) == BARCODES
    assert "Embedding" not in raw.obs
    assert "Regulons" not in raw.var
    assert raw.messages == [
        "set aside, because they hold records: col_attrs/Embedding, row_attrs/Regulons"
    ]


def turned_loom(path, counts, *, names=("Gene", "CellID")):
    """Genes on the axis of cells, as a transposed matrix was written."""
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=counts, chunks=(4, 5))
        file[f"col_attrs/{names[0]}"] = np.array(IDS, dtype="S")
        file[f"row_attrs/{names[1]}"] = np.array(BARCODES, dtype="S")
        file.create_group("layers")
    return path


@pytest.mark.parametrize("names", [("Gene", "CellID"), ("CellID", "Gene")])
@pytest.mark.parametrize("max_bytes", [1, 300, 2**20])
def test_a_loom_file_that_lies_on_its_side_is_turned(tmp_path, counts, names, max_bytes):
    path = turned_loom(tmp_path / "a.loom", counts, names=names)
    with pytest.raises(InputError, match=r"does not name its cells|`orientation` to genes_by"):
        open_raw(path, IngestOptions())
    raw = open_raw(path, IngestOptions(orientation="genes_by_cells"))
    values = sparse.vstack(list(raw.chunks(max_bytes))).toarray()
    np.testing.assert_array_equal(values, counts)
    assert (list(raw.obs.index), list(raw.var.index)) == (BARCODES, IDS)


def test_layers_of_parts_are_added_and_a_part_alone_is_told(tmp_path, counts):
    path = tmp_path / "a.loom"
    write_loom(path, counts)
    half = counts // 2
    with h5py.File(path, "a") as file:
        del file["layers/halved"], file["matrix"]
        file["matrix"] = half.T
        file["layers/spliced"] = half.T
        file["layers/unspliced"] = (counts - half).T
    raw = open_raw(path, IngestOptions(layer="spliced+unspliced"))
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(200))).toarray(), counts)
    raw = open_raw(path, IngestOptions())
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(200))).toarray(), half)
    assert f"X holds {half.sum()} molecules" in raw.messages[0]
    assert "`layer` spliced+unspliced counts them all" in raw.messages[0]


def test_a_layer_of_another_shape_is_damage(tmp_path, counts):
    write_loom(tmp_path / "a.loom", counts)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        del file["layers/halved"]
        file["layers/halved"] = counts[:, :5].T
    with pytest.raises(InputError, match=r"layers/halved is \(5, 23\), the matrix \(11, 23\)"):
        open_raw(tmp_path / "a.loom", IngestOptions(layer="halved"))


@pytest.mark.parametrize("repeats", [False, True])
def test_numbers_name_cells_unless_they_repeat(tmp_path, counts, repeats):
    write_loom(tmp_path / "a.loom", counts)
    numbers = np.arange(N_OBS)[::-1] // (2 if repeats else 1)
    with h5py.File(tmp_path / "a.loom", "a") as file:
        del file["col_attrs/CellID"]
        file["col_attrs/Cell"] = numbers
    raw = open_raw(tmp_path / "a.loom", IngestOptions())
    named = range(N_OBS) if repeats else numbers
    assert list(raw.obs.index) == [str(number) for number in named]
    assert list(raw.obs.get("Cell", [])) == (list(numbers) if repeats else [])
