"""Tables of text: what their rows are, and what is wrong with others."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.genes import find_ids_and_symbols
from scpress.errors import InputError
from scpress.io.formats import open_raw
from scpress.steps.ingest import iter_counts

ACTB = ("ACTB", "GAPDH", "MALAT1", "B2M")
CELLS = ("AAACCCAAGGAGAGTA-1", "AAACGCTTCAGCCCAG-1", "AAAGAACAGACGACTG-1")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (",A,B\n", "no rows"),
        (",A,B\nc1,1\n", "Are the fields separated by commas"),
        ("|A|B\nc1|1|2\n", "Are the fields separated by commas"),
        (",A,B\nc1,1,2\nc2,1,x\n", "could not convert string to float"),
        (",A,B\nc1,1,2\nc2,1,2,3,4\n", "cannot be read as csv"),
    ],
)
def test_malformed_csv(tmp_path, text, match):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        list(open_raw(path, IngestOptions()).chunks())


def test_repeated_names_in_csv_stay_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("cell,A,NA,A\nNA,1,2,3\nc2,0,0,1\n")
    raw = open_raw(path, IngestOptions())
    assert list(raw.var.index) == ["A", "NA", "A"]
    assert list(raw.obs.index) == ["NA", "c2"]


TABLE = "cell,A,B,C\nc1,1,2,3\nc2,4,5,6\n"


@pytest.mark.parametrize("max_bytes", [1, 10**6])
def test_rows_are_what_the_orientation_says(tmp_path, max_bytes):
    (tmp_path / "a.csv").write_text(TABLE)
    raw = open_raw(tmp_path / "a.csv", IngestOptions())
    assert (list(raw.obs.index), list(raw.var.index)) == (["c1", "c2"], ["A", "B", "C"])
    values = sparse.vstack(list(raw.chunks(max_bytes))).toarray()
    np.testing.assert_array_equal(values, [[1, 2, 3], [4, 5, 6]])
    raw = open_raw(tmp_path / "a.csv", IngestOptions(orientation="genes_by_cells"))
    assert (list(raw.obs.index), list(raw.var.index)) == (["A", "B", "C"], ["c1", "c2"])
    values = sparse.vstack(list(raw.chunks(max_bytes))).toarray()
    np.testing.assert_array_equal(values, [[1, 4], [2, 5], [3, 6]])


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (5, [5])])
def test_a_block_has_as_many_rows_as_its_bytes_say(tmp_path, rows, sizes):
    (tmp_path / "a.csv").write_text(",A,B,C\n" + "".join(f"c{i},{i},0,1\n" for i in range(5)))
    raw = open_raw(tmp_path / "a.csv", IngestOptions())
    # 16 bytes for each of three fields.
    assert [block.shape[0] for block in raw.chunks(48 * rows)] == sizes


@pytest.mark.parametrize(
    "text",
    [
        "A\tB\nc1\t1\t2\n",  # as R writes it
        "\tA\tB\nc1\t1\t2\n",
        "cell\tA\tB\r\nc1\t1\t2\r\n",
        '"cell"\t"A"\t"B"\n"c1"\t1\t2\n',
        "cell\tA\tB\nc1\t1.0\t2e0",
    ],
)
def test_headers_and_ends_of_lines_of_every_kind(tmp_path, text):
    (tmp_path / "a.tsv").write_bytes(text.encode())
    raw = open_raw(tmp_path / "a.tsv", IngestOptions())
    assert (list(raw.obs.index), list(raw.var.index)) == (["c1"], ["A", "B"])
    np.testing.assert_array_equal(next(raw.chunks()).toarray(), [[1, 2]])


def test_a_name_may_hold_the_separator_and_stays_text(tmp_path):
    (tmp_path / "a.csv").write_text('cell,"A,B",2\n007,1,2\n')
    raw = open_raw(tmp_path / "a.csv", IngestOptions())
    assert list(raw.var.index) == ["A,B", "2"]
    assert list(raw.obs.index) == ["007"]


@pytest.mark.parametrize(
    ("name", "separator", "said"),
    [
        ("a.csv", ";", "semicolons"),
        ("a.csv", "\t", "tabs"),
        ("a.tsv", ",", "commas"),
        ("a.txt", " ", "spaces"),
    ],
)
@pytest.mark.parametrize("has_corner", [True, False])
def test_a_separator_of_another_kind_is_found_and_named(
    tmp_path, name, separator, said, has_corner
):
    text = TABLE if has_corner else TABLE.removeprefix("cell,")
    (tmp_path / name).write_text(text.replace(",", separator))
    raw = open_raw(tmp_path / name, IngestOptions())
    assert (list(raw.obs.index), list(raw.var.index)) == (["c1", "c2"], ["A", "B", "C"])
    np.testing.assert_array_equal(next(raw.chunks()).toarray(), [[1, 2, 3], [4, 5, 6]])
    assert raw.messages == [f"the fields are separated by {said}"]


def test_columns_of_text_in_front_name_the_rows_too(tmp_path):
    text = f"id,symbol,{CELLS[0]},{CELLS[1]}\nENSG00000000001,ACTB,1,2\nENSG00000000002,B2M,3,4\n"
    (tmp_path / "a.csv").write_text(text)
    raw = open_raw(tmp_path / "a.csv", IngestOptions(orientation="genes_by_cells"))
    ids, symbols = find_ids_and_symbols(raw.var)
    assert list(ids) == ["ENSG00000000001", "ENSG00000000002"]
    assert list(symbols) == ["ACTB", "B2M"]
    assert list(raw.obs.index) == list(CELLS[:2])
    np.testing.assert_array_equal(next(raw.chunks()).toarray(), [[1, 3], [2, 4]])
    (tmp_path / "b.csv").write_text("cell,type,A,B\nc1,T cell,1,2\nc2,,3,4\n")
    raw = open_raw(tmp_path / "b.csv", IngestOptions())
    assert list(raw.obs["type"]) == ["T cell", ""]
    assert raw.messages == ["columns of text: type"]
    np.testing.assert_array_equal(next(raw.chunks()).toarray(), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("cell,A,type\nc1,1,T cell\n", "the column 'type' holds 'T cell', which is no count"),
        ("cell,A,B\nc1,x,y\n", "the column 'B' holds 'y', which is no count"),
        ("cell,A,B,\nc1,1,2,\n", "its lines end with a separator"),
        (",A,B\nc1,1,2,\n", "its lines end with a separator"),
        ("gene,cell,count\nA,c1,3\nB,c1,1\n", r"one column of numbers, 'count', behind 2 of text"),
        ("gene,µ\nc1,1\n", "holds the byte 0xb5, which is no text in UTF-8"),
        ("gene,A\nµ,1\n", "holds the byte 0xb5, which is no text in UTF-8"),
    ],
)
def test_what_stands_where_no_count_can_is_named(tmp_path, text, match):
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=match):
        list(open_raw(tmp_path / "a.csv", IngestOptions()).chunks())


@pytest.mark.parametrize("orientation", ["cells_by_genes", "genes_by_cells"])
def test_a_gene_that_is_none_by_its_name_is_told_and_stays(tmp_path, orientation):
    table = pd.DataFrame({"cell": ["c1", "c2"], "ACTB": [1, 2], "seurat_clusters": [3, 3]})
    table = table.set_index("cell")
    (table if orientation == "cells_by_genes" else table.T).to_csv(tmp_path / "a.csv")
    raw = open_raw(tmp_path / "a.csv", IngestOptions(orientation=orientation))
    assert list(raw.var.index) == ["ACTB", "seurat_clusters"]
    assert raw.messages == ["taken for genes, though none by their names: seurat_clusters"]


def test_a_missing_value_is_not_taken_for_a_zero(tmp_path):
    (tmp_path / "a.csv").write_text(",A,B\nc1,1,\n")
    block = next(open_raw(tmp_path / "a.csv", IngestOptions()).chunks())
    assert np.isnan(block.toarray()[0, 1])  # which require_counts refuses


@pytest.mark.parametrize("genes", [ACTB, [f"ENSG{i:011d}" for i in range(4)]])
def test_a_table_that_lies_on_its_side_is_refused_by_its_names(tmp_path, genes):
    lines = [f"{gene},1,2,3" for gene in genes]
    (tmp_path / "a.csv").write_text("\n".join([",".join(["", *CELLS]), *lines]) + "\n")
    with pytest.raises(InputError, match="Set `orientation` to genes_by_cells"):
        open_raw(tmp_path / "a.csv", IngestOptions())
    raw = open_raw(tmp_path / "a.csv", IngestOptions(orientation="genes_by_cells"))
    assert (list(raw.obs.index), list(raw.var.index)) == (list(CELLS), list(genes))
    lines = [f"{cell},1,2,3,4" for cell in CELLS]
    (tmp_path / "b.csv").write_text("\n".join([",".join(["", *genes]), *lines]) + "\n")
    with pytest.raises(InputError, match="Set `orientation` to cells_by_genes"):
        open_raw(tmp_path / "b.csv", IngestOptions(orientation="genes_by_cells"))


@pytest.mark.parametrize(
    "text",
    [
        "####\n## Rhapsody, of BD\n##\ncell,A,B\nc1,1,2\n",
        "#cell,A,B\nc1,1,2\n",
        "# one\n#cell,A,B\nc1,1,2\n",
        "\ufeffcell,A,B\nc1,1,2\n",
        "\ufeffA,B\nc1,1,2\n",
    ],
)
def test_comments_and_a_byte_order_mark_are_not_names(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    raw = open_raw(tmp_path / "a.csv", IngestOptions())
    assert (list(raw.obs.index), list(raw.var.index)) == (["c1"], ["A", "B"])
    np.testing.assert_array_equal(next(raw.chunks()).toarray(), [[1, 2]])


def test_rows_of_no_gene_are_set_aside_with_their_molecules(tmp_path):
    rows = {"A": "1,2", "N_unmapped": "7,7", "__no_feature": "5,0", "ERCC-00002": "3,0", "B": "0,4"}
    lines = ["gene,c1,c2", *(f"{name},{values}" for name, values in rows.items())]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    raw = open_raw(tmp_path / "a.csv", IngestOptions(orientation="genes_by_cells"))
    assert list(raw.var.index) == ["A", "B"]
    np.testing.assert_array_equal(next(raw.chunks()).toarray(), [[1, 0], [2, 4]])
    assert raw.messages == [
        "2 rows that are no genes set aside (N_unmapped, __no_feature): 19 of 29 molecules",
        "1 spike-ins set aside (ERCC-00002): 3 of 29 molecules",
    ]


def test_a_column_of_numbers_beside_barcodes_is_told_and_stays(tmp_path):
    lines = [f"gene,length,{CELLS[0]},{CELLS[1]},{CELLS[2]}", "ACTB,1000,1,2,3", "B2M,500,4,5,6"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    raw = open_raw(tmp_path / "a.csv", IngestOptions(orientation="genes_by_cells"))
    assert list(raw.obs.index) == ["length", *CELLS]
    assert raw.messages == ["taken for cells, though none by their names: length"]


@pytest.mark.parametrize("value", ["NA", "nan", "", "1,5", "1'000", "-", "N/A", "null"])
def test_what_is_no_number_in_the_first_row_does_not_lose_a_gene(tmp_path, value):
    (tmp_path / "a.tsv").write_text(f"cell\tA\tB\nc1\t{value}\t2\nc2\t3\t4\n")
    raw = open_raw(tmp_path / "a.tsv", IngestOptions())
    assert list(raw.var.index) == ["A", "B"]
    with pytest.raises(InputError, match=r"could not convert|non-negative integers; found nan"):
        list(iter_counts(raw, None, sample="s"))
