"""Files are either whole or not there, and what cannot be read or written is one line."""

import json

import pandas as pd
import pytest

from scpress.errors import InputError
from scpress.io.files import atomic_path, read_json, read_lines, write_json, write_table


def test_json_tables_and_lists(tmp_path):
    write_json({"b": 1, "a": [None]}, tmp_path / "deep" / "a.json")
    assert read_json(tmp_path / "deep" / "a.json") == {"a": [None], "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
    (tmp_path / "bad.json").write_text(json.dumps([1])[:-1])
    with pytest.raises(InputError, match="is not JSON"):
        read_json(tmp_path / "bad.json")
    write_table(pd.DataFrame({"x": [1]}), tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_text() == "x\n1\n"
    (tmp_path / "list.txt").write_text("# genes\nA\n\n B \n")
    assert read_lines(tmp_path / "list.txt") == ["A", "B"]
    (tmp_path / "none.txt").write_text("# genes\n")
    with pytest.raises(InputError, match="lists nothing"):
        read_lines(tmp_path / "none.txt")


def test_atomic_path_replaces_only_on_success(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text(str(2 / 0))
    assert (tmp_path / "a").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1
