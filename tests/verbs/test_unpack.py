"""`unpack`: files that others read, and a part that nobody takes for the whole."""

import anndata as ad
import pytest
from anndata.tests.helpers import assert_equal
from verbs.commands import files_under, limited, must, of_run, require_one_line, run

from scpress.archive.reader import Archive


@pytest.fixture
def packed(run_folder, tmp_path):
    must(["pack", run_folder / "counts.h5ad"], tmp_path / "counts.scp")
    return tmp_path / "counts.scp"


def damage(path, number=1):
    with Archive(path) as archive:
        at = int(archive._places[number]) + 3
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_the_h5ad_is_equal_to_the_one_that_was_packed(run_folder, packed, tmp_path):
    must(["unpack", packed], tmp_path / "again.h5ad")
    assert_equal(
        ad.read_h5ad(run_folder / "counts.h5ad"), ad.read_h5ad(tmp_path / "again.h5ad"), exact=True
    )


def test_the_steps_go_on_from_what_was_unpacked(packed, tmp_path):
    must(["unpack", packed], tmp_path / "again.h5ad")
    must(["normalize", "--counts", tmp_path / "again.h5ad"], tmp_path / "normalized.h5ad")


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr", "mtx"])
def test_a_damaged_archive_is_one_line_and_leaves_nothing(packed, tmp_path, capsys, name):
    damage(packed)
    capsys.readouterr()
    assert run(["unpack", packed, "--output", tmp_path / name]) == 2
    says = r"damaged in chunk 1 \(cells 24 to 47\): its checksum is another"
    require_one_line("unpack", capsys.readouterr().err, says)
    assert files_under(tmp_path) == ["counts.scp"]


def test_a_part_is_written_on_request_with_an_error_and_a_code_of_its_own(packed, tmp_path, capsys):
    damage(packed)
    capsys.readouterr()
    output = tmp_path / "part.h5ad"
    assert run(["unpack", packed, "--skip-damaged", "--output", output]) == 4
    says = "is not the whole: it lacks 24 of the 180 cells", r"cells 24 to 47"
    require_one_line("unpack", capsys.readouterr().err, *says)
    assert ad.read_h5ad(output).n_obs == 156


def test_another_file_is_one_line(run_folder, tmp_path, capsys):
    words = of_run("unpack", "@counts.h5ad")(run_folder, tmp_path)
    assert run([*words, "--output", tmp_path / "a.h5ad"]) == 2
    require_one_line("unpack", capsys.readouterr().err, "is none: it begins with")


@pytest.mark.parametrize("name", ["made.h5ad", "made.zarr", "made"])
@pytest.mark.parametrize("most_bytes", [0, 300, 3000])
def test_a_full_disk_is_one_line(packed, tmp_path, capsys, name, most_bytes):
    capsys.readouterr()
    assert limited(["unpack", packed, "--output", tmp_path / name], most_bytes) == 2
    says = f"cannot write '.*{name}': File too large", "Free some"
    require_one_line("unpack", capsys.readouterr().err, *says)
    assert files_under(tmp_path) == ["counts.scp"]
