"""Folders of the programs that write sparse matrices: the same counts from each of them."""

import gzip

import numpy as np
import pytest
from scipy import io as scipy_io
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw, recognize_format
from scpress.io.formats.layouts import find_layout, is_mtx_folder

GENES = [f"ENSG0000000000{i}" for i in range(5)]
SYMBOLS = [f"SYM{i}" for i in range(5)]
CELLS = ["ACGTACGTACGT", "CCGTACGTACGT", "GCGTACGTACGT", "TCGTACGTACGT"]
X = np.array([[1, 0, 2, 0, 0], [0, 3, 0, 0, 1], [4, 0, 0, 5, 0], [0, 0, 6, 0, 7]])


def lines(path, words, *, packed=False):
    text = "".join(f"{word}\n" for word in words)
    if packed:
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def mtx(path, matrix):
    scipy_io.mmwrite(path, sparse.coo_matrix(matrix), symmetry="general")


def kb(folder):
    mtx(folder / "cells_x_genes.mtx", X)
    lines(folder / "cells_x_genes.barcodes.txt", CELLS)
    lines(folder / "cells_x_genes.genes.txt", GENES)
    lines(folder / "cells_x_genes.genes.names.txt", SYMBOLS)


def kb_split(folder):
    half = X // 2
    for part, matrix in (("spliced", half), ("unspliced", X - half)):
        mtx(folder / f"{part}.mtx", matrix)
        lines(folder / f"{part}.barcodes.txt", CELLS)
        lines(folder / f"{part}.genes.txt", GENES)


def atlas(folder):
    mtx(folder / "E-1.aggregated_counts.mtx", X.T)
    lines(folder / "E-1.aggregated_counts.mtx_cols", CELLS)
    lines(folder / "E-1.aggregated_counts.mtx_rows", [f"{one}\t{one}" for one in GENES])


def only_the_matrix_has_a_prefix(folder):
    mtx(folder / "gene_sorted-matrix.mtx", X.T)
    lines(folder / "barcodes.tsv", CELLS)
    lines(folder / "genes.tsv", [f"{i}\t{s}" for i, s in zip(GENES, SYMBOLS, strict=True)])


def alevin_usa(folder):
    thirds = np.hstack([X // 3, X // 3, X - 2 * (X // 3)])
    mtx(folder / "quants_mat.mtx", thirds)
    lines(folder / "quants_mat_rows.txt", CELLS)
    lines(folder / "quants_mat_cols.txt", [g + p for p in ("", "-U", "-A") for g in GENES])


def alevin_plain(folder):
    (folder / "alevin").mkdir()
    folder = folder / "alevin"
    mtx(folder / "quants_mat.mtx", X)
    lines(folder / "quants_mat_rows.txt", CELLS)
    lines(folder / "quants_mat_cols.txt", GENES)


def parse(folder):
    mtx(folder / "DGE.mtx", X)
    rows = [f"{gene},{symbol},hg38" for gene, symbol in zip(GENES, SYMBOLS, strict=True)]
    lines(folder / "all_genes.csv", ["gene_id,gene_name,genome", *rows])
    lines(folder / "cell_metadata.csv", ["bc_wells,sample", *(f"{cell},one" for cell in CELLS)])


def velocyto(folder):
    half = X // 2
    for part, matrix in (("spliced", half), ("unspliced", X - half), ("ambiguous", 0 * X)):
        mtx(folder / f"{part}.mtx", matrix.T)
    lines(folder / "barcodes.tsv", CELLS)
    features = [f"{g}\t{s}\tGene Expression" for g, s in zip(GENES, SYMBOLS, strict=True)]
    lines(folder / "features.tsv", features)


def series(folder):
    mtx(folder / "GSM1_matrix.mtx", X.T)
    lines(folder / "GSM1_barcodes.tsv", CELLS)
    mtx(folder / "GSM2_matrix.mtx", 2 * X.T)
    lines(folder / "GSM2_barcodes.tsv", CELLS)
    lines(folder / "GSE9_features.tsv", [f"{g}\t{s}" for g, s in zip(GENES, SYMBOLS, strict=True)])


def plain_and_packed(folder):
    mtx(folder / "matrix.mtx", X.T)
    lines(folder / "barcodes.tsv", CELLS)
    lines(folder / "barcodes.tsv.gz", CELLS, packed=True)
    lines(folder / "genes.tsv", [f"{g}\t{s}" for g, s in zip(GENES, SYMBOLS, strict=True)])


# Writer -> the path within its folder, and whether it gives symbols.
LAYOUTS = {
    kb: ("", True),
    kb_split: ("", False),
    alevin_usa: ("", False),
    alevin_plain: ("", False),
    parse: ("", True),
    velocyto: ("", True),
    atlas: ("", False),
    only_the_matrix_has_a_prefix: ("", True),
    series: ("GSM1_matrix.mtx", True),
    plain_and_packed: ("", True),
}


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("max_bytes", [1, 2**20])
def test_every_layout_gives_the_same_counts(tmp_path, write, max_bytes):
    write(tmp_path)
    name, has_symbols = LAYOUTS[write]
    path = tmp_path / name
    assert recognize_format(path) == "10x_mtx"
    raw = open_raw(path, IngestOptions())
    found = sparse.vstack(list(raw.chunks(max_bytes))).toarray()
    np.testing.assert_array_equal(found, X)
    assert list(raw.obs.index) == CELLS
    assert list(raw.var["gene_id"]) == GENES
    if has_symbols:
        assert list(raw.var["gene_symbol"]) == SYMBOLS


def test_what_was_chosen_is_said(tmp_path):
    plain_and_packed(tmp_path)
    assert find_layout(tmp_path).messages == ["barcodes.tsv is read, not barcodes.tsv.gz beside it"]


def test_the_features_of_a_series_are_said_to_be(tmp_path):
    series(tmp_path)
    said = find_layout(tmp_path / "GSM2_matrix.mtx").messages
    assert said == ["there is no GSM2_features.tsv; GSE9_features.tsv of the folder is used"]


def test_the_features_of_another_sample_are_not_of_the_series(tmp_path):
    series(tmp_path)
    lines(tmp_path / "GSM2_features.tsv", [f"{g}\tOTHER" for g in GENES[::-1]])
    assert find_layout(tmp_path / "GSM1_matrix.mtx").genes == (tmp_path / "GSE9_features.tsv",)
    assert find_layout(tmp_path / "GSM2_matrix.mtx").genes == (tmp_path / "GSM2_features.tsv",)


def test_two_of_a_kind_are_named(tmp_path):
    plain_and_packed(tmp_path)
    lines(tmp_path / "features.tsv", GENES)
    with pytest.raises(InputError, match=r"holds both features\.tsv and genes\.tsv\. Which"):
        find_layout(tmp_path)


def test_a_plain_and_a_gzipped_matrix_must_be_alike(tmp_path):
    plain_and_packed(tmp_path)
    text = (tmp_path / "matrix.mtx").read_text().replace("5 4 8", "5 4 7")
    (tmp_path / "matrix.mtx.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(InputError, match=r"holds both matrix\.mtx and matrix\.mtx\.gz"):
        find_layout(tmp_path)


def test_several_samples_in_a_folder_want_the_path_of_one(tmp_path):
    series(tmp_path)
    with pytest.raises(InputError, match=r"GSM2_matrix\.mtx\. Give the path of one matrix"):
        find_layout(tmp_path)


def test_a_missing_table_is_named_with_what_is_there(tmp_path):
    kb(tmp_path)
    (tmp_path / "cells_x_genes.barcodes.txt").unlink()
    with pytest.raises(InputError, match=r"must hold one of cells_x_genes\.barcodes\.txt"):
        find_layout(tmp_path)


def test_a_folder_of_something_else_is_none(tmp_path):
    assert not is_mtx_folder(tmp_path)
    lines(tmp_path / "notes.txt", ["matrix.mtx"])
    (tmp_path / "._matrix.mtx").write_text("left by another system")
    assert not is_mtx_folder(tmp_path)
    assert not is_mtx_folder(tmp_path / "notes.txt")


def test_a_matrix_with_a_prefix_does_not_take_the_barcodes_of_another(tmp_path):
    only_the_matrix_has_a_prefix(tmp_path)
    mtx(tmp_path / "other-matrix.mtx", X.T)
    with pytest.raises(InputError, match=r"must hold one of gene_sorted-barcodes\.tsv"):
        find_layout(tmp_path / "gene_sorted-matrix.mtx")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_columns", [2, 3])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_line_without_its_last_column_is_damage(tmp_path, packed, n_columns, at):
    end = ".gz" if packed else ""
    mtx(tmp_path / "matrix.mtx", X.T)
    if packed:
        (tmp_path / "matrix.mtx.gz").write_bytes(
            gzip.compress((tmp_path / "matrix.mtx").read_bytes())
        )
        (tmp_path / "matrix.mtx").unlink()
    lines(tmp_path / f"barcodes.tsv{end}", CELLS, packed=packed)
    features = [[g, s, "Gene Expression"][:n_columns] for g, s in zip(GENES, SYMBOLS, strict=True)]
    features[at].pop()
    lines(tmp_path / f"features.tsv{end}", ["\t".join(words) for words in features], packed=packed)
    with pytest.raises(InputError, match=r"fewer fields|Expected \d fields in line"):
        open_raw(tmp_path, IngestOptions())


def test_one_matrix_has_no_layers_to_choose(tmp_path):
    kb(tmp_path)
    with pytest.raises(InputError, match=r"`layer` 'spliced' has no effect: .* holds one matrix"):
        open_raw(tmp_path, IngestOptions(layer="spliced"))
    open_raw(tmp_path, IngestOptions(layer="X"))
