"""`inspect`: bytes of every part, as a table and as JSON."""

import json

import pytest
from verbs.commands import must, require_one_line, run

from scpress.verbs.inspect import _lines


@pytest.fixture
def packed(run_folder, tmp_path):
    must(["pack", run_folder / "counts.h5ad"], tmp_path / "counts.scp")
    return tmp_path / "counts.scp"


def test_the_parts_add_up_to_the_file(packed, capsys):
    capsys.readouterr()
    assert run(["inspect", packed, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(found["sections"].values()) == found["file_bytes"] == packed.stat().st_size
    assert found["header"]["n_obs"] == 180
    assert found["bits_per_nonzero"] > 1


def test_the_table_says_the_same(packed, capsys):
    capsys.readouterr()
    assert run(["inspect", packed, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert run(["inspect", packed]) == 0
    text = capsys.readouterr().out
    assert "180 cells x 150 genes" in text
    for kind, n_bytes in found["sections"].items():
        assert f"{kind:<10}{n_bytes:>14,}" in text
    assert f"bits per nonzero: {found['bits_per_nonzero']:.3f}" in text
    assert f"chosen: {found['header']['codec']['chosen']}" in text


def test_what_each_model_would_cost_is_told_line_by_line():
    codec = {"chosen": "b", "why": "it is smallest", "rungs": {"a": 1200, "b": {"bytes": 900}}}
    head = {"n_obs": 0, "n_vars": 2, "nnz": 0, "sum": 0, "scpress": "0", "codec": codec}
    head |= {"place": "X", "storage": "csr", "dtype": "int32"}
    found = {"header": head, "sections": {}, "file_bytes": 5, "bits_per_nonzero": None}
    lines = _lines(found)
    assert lines[-4:-2] == ["chosen: b", "why: it is smallest"]
    assert lines[-2:] == ["rungs a: 1,200", "rungs b: {'bytes': 900}"]


def test_what_is_no_archive_is_one_line(run_folder, capsys):
    assert run(["inspect", run_folder / "counts.h5ad"]) == 2
    require_one_line("inspect", capsys.readouterr().err, "is none: it begins with")
