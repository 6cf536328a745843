"""AnnData files: which matrix and which genes are read."""

import importlib.util
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from builders import write_zarr
from raw_files import BARCODES, IDS, N_OBS, N_VARS, SYMBOLS, annotated
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw
from scpress.io.formats.annotated import is_annotated_h5


def test_a_missing_layer_names_those_there_are(cases):
    with pytest.raises(InputError, match="no counts at 'count'; it holds X, layer 'counts', raw"):
        open_raw(cases["h5ad_layer"][0], IngestOptions(layer="count"))


def test_files_of_old_anndata_versions_are_read():
    folder = Path(importlib.util.find_spec("scanpy").origin).parent / "datasets"
    path = folder / "10x_pbmc68k_reduced.h5ad"
    raw = open_raw(path, IngestOptions(layer="raw"))
    assert raw.shape == (700, 765)
    assert raw.places == ("X",)
    values = sparse.vstack(list(raw.chunks()))
    assert values.shape == raw.shape
    assert values.min() == 0


@pytest.fixture(params=["h5ad", "zarr"])
def several(request, tmp_path, counts):
    """X of some genes, a layer, and raw of all genes under other names."""
    made = annotated(sparse.csr_matrix(counts), layers={"twice": sparse.csr_matrix(2 * counts)})
    made.obsm["X_p"] = np.ones((N_OBS, 2))
    made.raw = ad.AnnData(
        sparse.csr_matrix(3 * np.hstack([counts, counts])),
        var=pd.DataFrame({"n": range(2 * N_VARS)}, index=[*IDS, *SYMBOLS]),
    )
    path = tmp_path / f"a.{request.param}"
    if request.param == "h5ad":
        made.write_h5ad(path)
    else:
        write_zarr(made, path, 2)
    return path


@pytest.mark.parametrize(
    ("layer", "times", "names", "places"),
    [
        (None, 1, SYMBOLS, ("layer 'twice'", "raw")),
        ("twice", 2, SYMBOLS, ("X", "raw")),
        ("raw", 3, [*IDS, *SYMBOLS], ("X", "layer 'twice'")),
    ],
)
def test_each_matrix_comes_with_its_genes(several, counts, layer, times, names, places):
    raw = open_raw(several, IngestOptions(layer=layer))
    assert list(raw.var.index) == names
    assert list(raw.obs.index) == BARCODES
    assert raw.shape == (N_OBS, len(names))
    assert raw.places == places
    assert list(raw.obsm) == ["X_p"]
    expected = times * (counts if len(names) == N_VARS else np.hstack([counts, counts]))
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(300))).toarray(), expected)


def test_columns_of_either_table_are_kept(several):
    assert list(open_raw(several, IngestOptions()).obs["donor"]) == ["a", "b"] * 11 + ["a"]
    assert list(open_raw(several, IngestOptions(layer="raw")).var["n"]) == list(range(2 * N_VARS))


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_a_matrix_that_does_not_fit_its_tables_is_refused(tmp_path, counts, axis):
    path = tmp_path / "a.h5ad"
    annotated(sparse.csr_matrix(counts)).write_h5ad(path)
    short = annotated(sparse.csr_matrix(counts))
    short = short[1:] if axis == "obs" else short[:, 1:]
    short.copy().write_h5ad(tmp_path / "short.h5ad")
    with h5py.File(path, "a") as file, h5py.File(tmp_path / "short.h5ad") as other:
        del file[axis]
        other.copy(axis, file)
    cells, genes = (N_OBS - 1, N_VARS) if axis == "obs" else (N_OBS, N_VARS - 1)
    with pytest.raises(
        InputError,
        match=f"X is {N_OBS} x {N_VARS}, but there are {cells} cells and {genes} genes",
    ):
        open_raw(path, IngestOptions())


def test_files_of_another_kind_say_what_they_hold(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w").create_group("other")
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file.create_group("other")
        file.create_group("obs")
    for name, found in (("a.zarr", "other"), ("a.h5ad", "obs, other")):
        with pytest.raises(InputError, match=f"not an AnnData file: it holds {found}, no obs and"):
            open_raw(tmp_path / name, IngestOptions())


def test_an_anndata_is_known_by_both_its_tables(cases, tmp_path):
    assert is_annotated_h5(cases["h5ad_csr"][0])
    assert not is_annotated_h5(cases["10x_v3"][0])
    with h5py.File(tmp_path / "obs.h5", "w") as file:
        file.create_group("obs")
    assert not is_annotated_h5(tmp_path / "obs.h5")
    (tmp_path / "text.h5").write_text("not hdf5")
    assert not is_annotated_h5(tmp_path / "text.h5")
    assert not is_annotated_h5(tmp_path / "none.h5")
