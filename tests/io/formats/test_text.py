"""Tables of text: what their rows are, and what is wrong with others."""

import pytest

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (",A,B\n", "no rows"),
        (",A,B\nc1,1\n", "Are the fields separated by commas"),
        (";A;B\nc1;1;2\n", "Are the fields separated by commas"),
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
