"""Every format holds the same counts; every damaged file is one clear error."""

import errno
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_files import BARCODES, N_OBS
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io import formats
from scpress.io.formats import open_raw, recognize_format

CASES = (
    "h5ad_csr",
    "h5ad_csc",
    "h5ad_dense",
    "h5ad_int64",
    "h5ad_float32",
    "h5ad_uint16",
    "h5ad_float64_dense",
    "h5ad_layer",
    "h5ad_raw",
    "zarr_csr",
    "zarr_dense",
    "10x_v3",
    "10x_v2",
    "10x_v2_genome",
    "mtx_v2",
    "mtx_v3",
    "mtx_cells_first",
    "loom",
    "csv",
    "csv_genes",
    "tsv",
    "txt_r",
)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("max_bytes", [1, 300, 2**20])
def test_every_format_gives_the_same_counts_in_blocks_of_any_size(cases, counts, name, max_bytes):
    path, options = cases[name]
    raw = open_raw(path, IngestOptions(**options))
    blocks = list(raw.chunks(max_bytes))
    assert raw.shape == counts.shape
    assert list(raw.obs.index) == BARCODES
    assert all(sparse.issparse(block) and block.format == "csr" for block in blocks)
    np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), counts)
    if max_bytes == 1 and name.startswith(("h5ad_csr", "10x", "zarr", "loom", "csv")):
        assert len(blocks) >= N_OBS or name == "csv_genes"


def test_cases_are_all_there(cases):
    assert set(cases) == set(CASES)


def test_formats_are_recognized(cases, tmp_path):
    for name, (path, _) in cases.items():
        kind = recognize_format(path)
        assert name.startswith(kind.split("_")[0]) or (kind, name) in (
            ("10x_mtx", "mtx_v2"), ("10x_mtx", "mtx_v3"), ("10x_mtx", "mtx_cells_first"),
            ("tsv", "txt_r"),
        )  # fmt: skip
    shutil.copy(cases["h5ad_csr"][0], tmp_path / "renamed.h5")
    assert recognize_format(tmp_path / "renamed.h5") == "h5ad"
    with pytest.raises(InputError, match="not known from its name"):
        recognize_format(tmp_path / "counts.rds")
    with pytest.raises(InputError, match=r"it holds renamed\.h5"):
        recognize_format(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.H5AD", "h5ad"),
        ("a.csv.gz", "csv"),
        ("a.tsv", "tsv"),
        ("a.txt.gz", "tsv"),
        ("a.counts.loom", "loom"),
        ("x_matrix.mtx.gz", "10x_mtx"),
        ("a.h5", "10x_h5"),
        ("a.hdf5", "10x_h5"),
    ],
)
def test_a_name_tells_the_format_by_its_end(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"not what it says")
    assert recognize_format(tmp_path / name) == kind


@pytest.mark.parametrize("name", ["a", "a.gz", "a.rds", ".csv"])
def test_a_name_without_a_known_end_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"not known from its name\. Name it with `format`"):
        recognize_format(tmp_path / name)


def test_a_folder_of_zarr_needs_no_name(cases, tmp_path):
    for name in ("zarr_csr", "zarr_dense"):  # formats 2 and 3
        shutil.copytree(cases[name][0], tmp_path / name)
        assert recognize_format(tmp_path / name) == "zarr"
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="it holds nothing"):
        recognize_format(tmp_path / "nothing")


def test_the_format_that_is_named_goes_before_the_name(cases, counts, tmp_path):
    shutil.copy(cases["tsv"][0], tmp_path / "a.csv.gz")
    raw = open_raw(tmp_path / "a.csv.gz", IngestOptions(format="tsv"))
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks())).toarray(), counts)
    with pytest.raises(InputError, match=r"cannot be read as loom .* and `format` right"):
        open_raw(tmp_path / "a.csv.gz", IngestOptions(format="loom"))


def test_damage_in_a_later_block_is_one_line_too(tmp_path, cases):
    lines = cases["csv"][0].read_text().splitlines()
    lines[-1] = lines[-1].replace(lines[-1].split(",")[-1], "x")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    found = []
    with pytest.raises(InputError, match=r"a\.csv' cannot be read as csv \(could not convert"):
        found.extend(open_raw(tmp_path / "a.csv", IngestOptions()).chunks(1))
    assert len(found) == N_OBS - 1


def test_a_file_that_may_not_be_read_is_not_called_damaged(cases, monkeypatch):
    def refuse(*words):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setitem(formats._READERS, "h5ad", refuse)
    with pytest.raises(InputError, match=r"cannot read '.*': Permission denied"):
        open_raw(cases["h5ad_csr"][0], IngestOptions())


def test_counts_are_read_again_each_time(cases, counts):
    for name in ("h5ad_csr", "zarr_csr", "10x_v3", "mtx_v3", "loom", "csv"):
        raw = open_raw(cases[name][0], IngestOptions())
        next(raw.chunks(1))
        for _ in range(2):
            np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(300))).toarray(), counts)


def test_wrong_path_and_empty_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_raw(tmp_path / "none.h5ad", IngestOptions())
    (tmp_path / "empty.h5ad").touch()
    with pytest.raises(InputError, match="is empty"):
        open_raw(tmp_path / "empty.h5ad", IngestOptions())


TRUNCATED = ("h5ad_csr", "h5ad_dense", "10x_v3", "loom", "csv_genes", "tsv", "mtx_v3")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(TRUNCATED), fraction=st.floats(0, 0.999))
def test_truncated_files_give_one_line(cases, tmp_path, name, fraction):
    path, options = cases[name]
    copy = tmp_path / path.name
    if path.is_dir():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        cut = next(copy.glob("*matrix.mtx.gz"))
    else:
        shutil.copy(path, copy)
        cut = copy
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(InputError) as caught:
        list(open_raw(copy, IngestOptions(**options)).chunks())
    assert "\n" not in str(caught.value)


def test_a_damaged_index_of_links_is_one_line(cases, tmp_path):
    # One byte, the same each time: what any byte does is up to the HDF5 library, which may end the
    # process (so the damage of tests/fuzz is inside its datasets).
    path, options = cases["10x_v2"]
    data = bytearray(path.read_bytes())
    data[int(len(data) * 0.0216447)] = 0
    (tmp_path / path.name).write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        list(open_raw(tmp_path / path.name, IngestOptions(**options)).chunks())


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("10x_v3", "orientation", "genes_by_cells"),
        ("mtx_v2", "orientation", "genes_by_cells"),
        ("10x_v2", "layer", "spliced"),
        ("csv", "layer", "counts"),
        ("tsv", "layer", "raw"),
        ("mtx_v3", "layer", "counts"),
        *[(name, "genome", "GRCh38") for name in ("h5ad_csr", "zarr_csr", "loom", "csv", "mtx_v2")],
    ],
)
def test_an_option_without_effect_is_refused_by_its_name(cases, name, option, value):
    with pytest.raises(InputError, match=f"`{option}` '{value}' has no effect"):
        open_raw(cases[name][0], IngestOptions(**{option: value}))


@pytest.mark.parametrize("name", ["10x_v3", "csv", "mtx_v2", "loom", "h5ad_csr"])
def test_the_main_matrix_may_be_named_in_every_format(cases, counts, name):
    raw = open_raw(cases[name][0], IngestOptions(layer="X"))
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks())).toarray(), counts)
