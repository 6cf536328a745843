"""Tables of rows come back as they were written, and each damaged field is one line."""

import dataclasses

import pandas as pd
import pytest

from scpress.cells.markers import no_markers
from scpress.errors import InputError
from scpress.io.files import save_table
from scpress.io.rows import read_rows
from scpress.tables.markers import Marker
from scpress.tables.training import HistoryRow

ROW = {"group": "0", "gene": "G", "gene_symbol": "S", "log2_fold_change": -1.5, "z": 3.0}
ROW |= {"p_value": 1e-300, "fdr": 0.04, "fraction_in_group": 1.0, "fraction_in_others": 0.0}


def test_words_that_look_like_something_else_are_words(tmp_path):
    names = ["NA", "nan", "1", "1e5", 'a "b"', "c\td", "True"]
    table = pd.DataFrame([ROW | {"group": name, "gene_symbol": ""} for name in names])
    save_table(table, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(read_rows(tmp_path / "t.tsv", Marker), table)


def test_a_table_without_rows_has_its_columns(tmp_path):
    save_table(no_markers(), tmp_path / "t.tsv")
    found = read_rows(tmp_path / "t.tsv", Marker)
    assert found.empty
    assert list(found.columns) == list(ROW)


def test_columns_of_a_newer_version_are_passed_over(tmp_path):
    save_table(pd.DataFrame([ROW | {"new": "word"}]), tmp_path / "t.tsv")
    assert list(read_rows(tmp_path / "t.tsv", Marker).columns) == list(ROW)


def test_a_column_with_a_default_may_lack_and_is_read_where_it_is(tmp_path):
    row = dict.fromkeys((f.name for f in dataclasses.fields(HistoryRow)), 1)
    for name in ("there.tsv", "lacking.tsv"):
        save_table(pd.DataFrame([row]), tmp_path / name)
        assert list(read_rows(tmp_path / name, HistoryRow).columns) == list(row)
        row.pop("validation_penalty", None)


HEADER = "\t".join(ROW)
LINE = "\t".join(map(str, ROW.values()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", r"t\.tsv' lacks group, gene, .*; it has nothing"),
        (b"\xff\xfe", "not a table separated by tabs .*utf-8"),
        (b'"open', "not a table separated by tabs .*unexpected end"),
        (HEADER.replace("fdr", "q").encode(), "lacks fdr; it has group"),
        (HEADER.replace("fdr", "z").encode(), "lacks z, fdr; it has group"),
        (
            f"{HEADER}\n{LINE}\n0\tG\n".encode(),
            r"line 3 of '.*t\.tsv' has 2 fields and the first 9",
        ),
        (f"{HEADER}\n{LINE}\tmore\n".encode(), "line 2 of .* has 10 fields and the first 9"),
        *(
            (
                f"{HEADER}\n{LINE}\n{LINE.replace(old, new)}\n".encode(),
                rf"'{name}' in line 3 of .* is",
            )
            for name, old, new in (
                ("fdr", "0.04", "nan"),
                ("fdr", "0.04", ""),
                ("fdr", "0.04", "word"),
                ("fdr", "0.04", "0_4"),
                ("fdr", "0.04", "-0.04"),
                ("fdr", "0.04", "4"),
                ("z", "3.0", "1e999"),
                ("log2_fold_change", "-1.5", "e"),
            )
        ),
    ],
)
def test_damage_is_named(tmp_path, text, says):
    (tmp_path / "t.tsv").write_bytes(text)
    with pytest.raises(InputError, match=says):
        read_rows(tmp_path / "t.tsv", Marker)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "t.tsv", Marker)
