"""`inspect`: bytes of every part, as a table and as JSON."""

import json

import pytest
from verbs.commands import must, require_one_line, run


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
    run(["inspect", packed, "--json"])
    found = json.loads(capsys.readouterr().out.partition("\n")[2].join(["{\n", ""]))
    assert run(["inspect", packed]) == 0
    text = capsys.readouterr().out
    assert "180 cells x 150 genes" in text
    for kind, n_bytes in found["sections"].items():
        assert f"{kind:<10}{n_bytes:>14,}" in text
    assert f"bits per nonzero: {found['bits_per_nonzero']:.3f}" in text
    assert f"chosen: {found['header']['codec']['chosen']}" in text


def test_what_is_no_archive_is_one_line(run_folder, capsys):
    assert run(["inspect", run_folder / "counts.h5ad"]) == 2
    require_one_line("inspect", capsys.readouterr().err, "is none: it begins with")
