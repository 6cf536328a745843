"""`verify`: an archive is whole, and what was packed."""

import shutil

import h5py
import pytest
from verbs.commands import must, require_one_line, run


@pytest.fixture
def packed(run_folder, tmp_path):
    must(["pack", run_folder / "counts.h5ad"], tmp_path / "counts.scp")
    return tmp_path / "counts.scp"


def test_a_whole_archive_is_said_to_be_one(packed, capsys):
    capsys.readouterr()
    assert run(["verify", packed]) == 0
    assert "is whole: 180 cells x 150 genes, " in capsys.readouterr().out


def test_it_is_compared_with_the_file_that_was_packed(run_folder, packed, tmp_path, capsys):
    assert run(["verify", packed, "--against", run_folder / "counts.h5ad"]) == 0
    assert "It holds what" in capsys.readouterr().out
    shutil.copy(run_folder / "counts.h5ad", tmp_path / "other.h5ad")
    with h5py.File(tmp_path / "other.h5ad", "r+") as file:
        file["X/data"][0] += 1
    assert run(["verify", packed, "--against", tmp_path / "other.h5ad"]) == 2
    says = "does not hold the counts of cells 0 to "
    text = capsys.readouterr().err
    require_one_line("verify", text, says)


@pytest.mark.parametrize("at", [3, 9, 40, -200, -60, -5])
def test_a_flipped_byte_is_one_line(packed, capsys, at):
    data = bytearray(packed.read_bytes())
    data[at] ^= 0x20
    packed.write_bytes(data)
    capsys.readouterr()
    assert run(["verify", packed]) == 2
    require_one_line("verify", capsys.readouterr().err, "counts.scp'")


def test_a_cut_is_one_line(packed, capsys):
    packed.write_bytes(packed.read_bytes()[:-1000])
    capsys.readouterr()
    assert run(["verify", packed]) == 2
    require_one_line("verify", capsys.readouterr().err, "is cut: it ends in section CELL")
