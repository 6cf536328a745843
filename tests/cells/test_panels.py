import re

import numpy as np
import pandas as pd
import pytest

from scpress.cells.panels import check_panel, match_panel, name_panel
from scpress.errors import InputError
from scpress.io.panel import read_panel

ROWS = [
    ("T cell", "", "CD3D", "ENSG00000167286", "positive"),
    ("T cell", "", "CD3E", "", "positive"),
    ("CD8 T", "T cell", "CD8A", "", "positive"),
    ("CD8 T", "T cell", "CD4", "", "negative"),
    ("B cell", "", "MS4A1", "ENSG00000156738", "positive"),
]
COLUMNS = ["cell_type", "parent", "gene_symbol", "gene_id", "direction"]


@pytest.fixture
def table():
    return pd.DataFrame(ROWS, columns=COLUMNS)


def test_optional_columns_are_filled_in():
    checked = check_panel(pd.DataFrame({"cell_type": ["B "], "gene_symbol": [" MS4A1"]}))
    assert checked.loc[0, "cell_type"] == "B"
    assert checked.loc[0, "gene_symbol"] == "MS4A1"
    assert checked.loc[0, "direction"] == "positive"
    assert checked.loc[0, "parent"] == ""


def changed(column, row, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="gene_symbol"), "no column 'gene_symbol'"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: pd.concat([t, t.iloc[[1]]]), "'CD3E' is listed twice for 'T cell'"),
        (changed("gene_symbol", 3, "CD8A"), "'CD8A' is listed twice for 'CD8 T'"),
        (changed("direction", 0, "up"), "found 'up'"),
        (lambda t: t.assign(typical=["3", "", "much", "1", "2"]), "of 10,000; found 'much'"),
        (lambda t: t.assign(typical=["3", "", "-1", "1", "2"]), "found '-1'"),
        (changed("direction", 2, "negative"), "'CD8 T' has no positive marker"),
        (changed("parent", 4, "Lymphocyte"), "parent 'Lymphocyte' of 'B cell'"),
        (changed("parent", 3, "B cell"), "'CD8 T' has several parents"),
        (changed("parent", slice(0, 1), "CD8 T"), "its own ancestor"),
        (changed("cell_type", 4, "unassigned"), "'unassigned' means no type"),
        (changed("cell_type", 4, ""), "row 5 of the marker table"),
        (changed("gene_symbol", 1, None), "row 2 of the marker table"),
    ],
)
def test_bad_tables_are_refused(table, change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_panel(change(table))


def test_genes_are_found_by_id_first_then_by_symbol(table):
    # The gene with CD3D's id has another symbol, and another gene is called CD3D.
    ids = ["ENSG1", "ENSG00000167286.12", "ENSG2", "ENSG3", "ENSG4"]
    symbols = ["CD3D", "renamed", "CD8A", "CD4", "CD8A"]
    panel = match_panel(check_panel(table), ids, symbols)
    assert panel.cell_types == ("T cell", "CD8 T", "B cell")
    assert panel.parent.tolist() == [-1, 0, -1]
    assert panel.columns.tolist() == [1, 2, 3]  # of the two CD8A, the first
    assert panel.positive.tolist() == [[True, False, False], [False, True, False], [False] * 3]
    assert panel.negative.tolist() == [[False] * 3, [False, False, True], [False] * 3]
    assert panel.n_listed.tolist() == [2, 1, 1]
    assert panel.children(-1).tolist() == [0, 2]
    assert panel.children(0).tolist() == [1]


def test_no_gene_in_common_names_examples(table):
    with pytest.raises(InputError, match="the table has CD3D, CD3E, CD8A, the data Cd3d, Cd3e"):
        match_panel(check_panel(table), ["", ""], ["Cd3d", "Cd3e"])


def test_missing_names_of_table_and_data_do_not_meet(table):
    table["gene_symbol"] = ["CD3D", "", "CD8A", "CD4", "MS4A1"]
    table.loc[1, "gene_id"] = "ENSG00000198851"
    panel = match_panel(check_panel(table), ["", "x"], ["", "MS4A1"])
    assert panel.columns.tolist() == [1]


def test_ids_alone_are_enough():
    panel = match_panel(read_panel(), ["ENSG00000156738"], [""])
    b_cell = panel.cell_types.index("B cell")
    assert np.flatnonzero(panel.positive.any(axis=1)).tolist() == [b_cell]


def test_a_typical_value_belongs_to_the_gene(table):
    panel = match_panel(
        check_panel(table.assign(typical=["5", "", "", "2", ""])),
        [""] * 3,
        ["CD3D", "CD8A", "CD4"],
    )
    np.testing.assert_allclose(panel.typical, [5e-4, 0, 2e-4])
    np.testing.assert_array_equal(match_panel(check_panel(table), [""], ["CD3D"]).typical, [0])


def test_a_family_is_a_type_and_all_below_it(table):
    panel = match_panel(check_panel(table), [""] * 3, ["CD3D", "CD8A", "MS4A1"])
    assert panel.with_descendants(np.array([0])).tolist() == [0, 1]
    assert panel.with_descendants(np.array([2])).tolist() == [2]


def test_a_panel_is_called_by_what_it_is_of_or_by_its_path():
    assert name_panel("lung") == "scpress's own of the lung"
    assert name_panel("my/lung.tsv") == "my/lung.tsv"
