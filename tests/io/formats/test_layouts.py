"""Which files of a folder are read, and when it cannot be told."""

import gzip

import pytest
from raw_files import write_mtx

from scpress.errors import InputError
from scpress.io.formats import recognize_format
from scpress.io.formats.layouts import find_layout, is_mtx_folder


def unpack(path):
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


@pytest.mark.parametrize(
    ("unpacked", "end"),
    [
        (("matrix.mtx", "barcodes.tsv", "features.tsv"), ""),
        (("barcodes.tsv",), ".gz"),
    ],
)
def test_of_plain_and_gzipped_tables_those_like_the_matrix_are_read(
    tmp_path, counts, unpacked, end
):
    folder = tmp_path / "m"
    write_mtx(folder, counts, version=3)
    for name in unpacked:
        unpack(folder / f"{name}.gz")
    layout = find_layout(folder)
    assert layout.matrices[""].name == f"matrix.mtx{end}"
    assert (layout.cells[0].name, layout.genes[0].name) == (
        f"barcodes.tsv{end}",
        f"features.tsv{end}",
    )
    assert len(layout.messages) == len(unpacked)


def test_two_of_a_kind_that_differ_are_named(tmp_path, counts):
    folder = tmp_path / "m"
    write_mtx(folder, counts, version=3)
    (folder / "genes.tsv").write_text("other")
    with pytest.raises(InputError, match=r"holds both features\.tsv\.gz and genes\.tsv\. Which"):
        find_layout(folder)
    (folder / "genes.tsv").unlink()
    unpack(folder / "matrix.mtx.gz")
    text = (folder / "matrix.mtx").read_text()
    (folder / "matrix.mtx").write_text(text.replace("11 23 ", "11 24 ", 1))
    with pytest.raises(InputError, match=r"holds both matrix\.mtx and matrix\.mtx\.gz"):
        find_layout(folder)


def test_features_of_the_series_serve_its_samples_and_those_of_a_sample_no_other(tmp_path, counts):
    folder = tmp_path / "m"
    write_mtx(folder, counts, version=3, prefix="GSM1_")
    features = folder / "GSM1_features.tsv.gz"
    features = features.rename(folder / "GSE9_features.tsv.gz")
    assert find_layout(folder).genes == (features,)
    (folder / "GSM2_matrix.mtx.gz").write_bytes((folder / "GSM1_matrix.mtx.gz").read_bytes())
    features.rename(folder / "GSM2_features.tsv.gz")
    with pytest.raises(InputError, match=r"must hold one of GSM1_features\.tsv"):
        find_layout(folder / "GSM1_matrix.mtx.gz")


def test_leftovers_of_other_systems_are_not_seen(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=3)
    for name in ("matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"):
        (tmp_path / "m" / f"._{name}").write_bytes(b"junk")
    assert find_layout(tmp_path / "m").messages == []


def test_a_folder_above_names_those_with_a_matrix(tmp_path, counts):
    (tmp_path / "Gene").mkdir()
    write_mtx(tmp_path / "Gene" / "raw", counts, version=2)
    write_mtx(tmp_path / "Gene" / "filtered", counts, version=2)
    assert is_mtx_folder(tmp_path / "Gene" / "raw")
    assert not is_mtx_folder(tmp_path)
    with pytest.raises(InputError, match=r"holds no matrix itself; .*Gene/filtered', '.*Gene/raw'"):
        recognize_format(tmp_path)


def test_the_folder_of_velocyto_has_three_matrices_and_one_pair_of_tables(tmp_path, counts):
    folder = tmp_path / "m"
    write_mtx(folder, counts, version=2)
    for part in ("spliced", "unspliced"):
        (folder / f"{part}.mtx").write_bytes((folder / "matrix.mtx").read_bytes())
    (folder / "matrix.mtx").rename(folder / "ambiguous.mtx")
    layout = find_layout(folder)
    assert set(layout.matrices) == {"spliced", "unspliced", "ambiguous"}
    assert not layout.cells_first
    assert len(layout.cells) == len(layout.genes) == 1
    assert list(find_layout(folder / "spliced.mtx").matrices) == ["spliced"]
