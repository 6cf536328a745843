import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpress.config.response import DrugResponseOptions
from scpress.errors import InputError
from scpress.io.responses import read_drug_features, read_responses

OPTIONS = DrugResponseOptions()
LONG = "line\tdrug\tresponse\nb\tY\t2.5\na\tX\t-1\nb\tX\t1e-3\n"
WIDE = "line,X,Y\nb,0.001,2.5\na,-1,NA\n"


def read(tmp_path, text, **options):
    path = tmp_path / "table"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_responses(path, DrugResponseOptions(**options))


def test_long_and_wide_tables_say_the_same(tmp_path):
    wanted = pd.DataFrame({"X": [-1.0, 0.001], "Y": [np.nan, 2.5]}, index=["a", "b"])
    for text in (LONG, WIDE, "\ufeff" + LONG):
        found = read(tmp_path, text).sort_index()
        pd.testing.assert_frame_equal(
            found, wanted, check_names=False, check_index_type=False, check_column_type=False
        )


def test_columns_have_the_names_of_the_options(tmp_path):
    text = "Cell,Compound,IC50,other\na,X,2,n\n"
    named = {"line_key": "Cell", "drug_key": "Compound", "response_key": "IC50"}
    assert read(tmp_path, text, **named).loc["a", "X"] == 2


def test_a_row_without_a_response_is_dropped_where_that_is_asked_for(tmp_path):
    text = LONG + "c\tX\t\n"
    with pytest.raises(InputError, match=r"line 5 of .* has no response of line 'c' to drug 'X'"):
        read(tmp_path, text)
    assert list(read(tmp_path, text, missing="drop").index) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (LONG + "b\tX\t3\n", "line 5 of .* is line 'b' with drug 'X' again; keep one response"),
        (LONG + "c\tX\thigh\n", "'response' in line 5 of .* must be a number; found 'high'"),
        (LONG + "c\tX\tinf\n", "must be a number; found 'inf'"),
        (LONG + "c\tX\t1_0\n", "must be a number; found '1_0'"),
        (LONG + "\tX\t3\n", "line 5 of .* has no 'line'"),
        (LONG + "c\t\t3\n", "line 5 of .* has no 'drug'"),
        (LONG + "c\tX\n", "line 5 of .* has 2 values and its header 3"),
        (WIDE + "b,1,2\n", "line 4 of .* is line 'b' again"),
        (WIDE + "c,1,x\n", "'Y' in line 4 of .* must be a number; found 'x'"),
        ("line,X,X\na,1,2\n", "column 'X' is twice"),
        ("cell,X\na,1\n", "has no column 'line'; it has cell, X"),
        ("line,response\na,1\n", "has a column 'response' and none of drugs, 'drug'"),
        ("line,X\n", "has no rows below its header"),
        ("", "has no rows below its header"),
        ("line\tdrug\tresponse\na\tX\tNA\n", "has no response of line 'a'"),
        (b"\xff\xfe\x00", "is not a table separated by tabs or commas"),
        ('line,X\n"a,1\n', "is not a table"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, text, line):
    with pytest.raises(InputError, match=line) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_table_without_any_response_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no row of .* has a response"):
        read(tmp_path, "line\tdrug\tresponse\na\tX\tNA\n", missing="drop")


@settings(max_examples=40)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_a_table_of_numbers_or_one_line(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    encoded = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    for header in (b"", b"line,drug,response\n", b"line\tX\n"):
        try:
            found = read(folder, header + encoded, missing="drop")
        except InputError as error:
            lines = str(error).splitlines()
        else:
            lines = ["read"]
            assert not np.isinf(found.to_numpy()).any()
        assert len(lines) == 1


def test_features_of_drugs_lack_nothing(tmp_path):
    path = tmp_path / "features.tsv"
    path.write_text("drug\tmass\tis_kinase\nX\t1.5\t1\nY\t2\t0\n")
    assert read_drug_features(path, OPTIONS).loc["Y"].tolist() == [2.0, 0.0]
    path.write_text("drug\tmass\nX\t1.5\nY\t\n")
    with pytest.raises(InputError, match="has no 'mass' of drug 'Y'"):
        read_drug_features(path, OPTIONS)
    with pytest.raises(InputError, match="no such file"):
        read_drug_features(tmp_path / "none", OPTIONS)
