"""AnnData files: which matrix and which genes are read."""

import contextlib
import importlib.util
import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import write_elem
from builders import write_zarr
from raw_files import BARCODES, IDS, N_OBS, N_VARS, SYMBOLS, annotated
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw
from scpress.io.formats.annotated import is_annotated_h5, is_zipped_zarr


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


@pytest.mark.parametrize("name", ["a.zarr", "a.h5ad"])
@pytest.mark.parametrize("table", ["obs", "var"])
def test_a_table_that_lost_its_attributes_is_damage_and_no_old_file(tmp_path, counts, name, table):
    write(annotated(sparse.csr_matrix(counts)), tmp_path / name)
    with (
        h5py.File(tmp_path / name, "a")
        if name == "a.h5ad"
        else contextlib.nullcontext(zarr.open_group(tmp_path / name, mode="a"))
    ) as store:
        for key in list(store[table].attrs):
            del store[table].attrs[key]
    with pytest.raises(InputError, match=f"{table} does not say where its names are"):
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


def write(adata, path):
    if path.suffix == ".h5ad":
        adata.write_h5ad(path)
    elif path.suffix == ".zip":
        write_zarr(adata, path.with_suffix(""), 2)
        shutil.make_archive(str(path.with_suffix("")), "zip", path.with_suffix(""))
    else:
        write_zarr(adata, path, 3)
    return path


NAMES = ["a.h5ad", "a.zarr", "a.zarr.zip"]


def read(path, max_bytes=300, **options):
    raw = open_raw(path, IngestOptions(**options))
    return raw, sparse.vstack(list(raw.chunks(max_bytes))).toarray()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.array])
def test_layers_of_parts_are_added_and_a_part_alone_is_told(tmp_path, counts, name, kind):
    half = counts // 2
    layers = {"S": kind(half), "U": kind(counts - half)}
    path = write(annotated(kind(half), layers=layers), tmp_path / name)
    raw, values = read(path, layer="S+U")
    np.testing.assert_array_equal(values, counts)
    assert raw.messages == ["molecules that are counted: S + U"]
    assert raw.places == ("X",)
    raw, values = read(path)
    np.testing.assert_array_equal(values, half)
    assert raw.messages == [
        f"X holds {half.sum()} molecules and the layers S, U together {counts.sum()}: X may be a "
        "part of them. `layer` S+U counts them all"
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.array])
@pytest.mark.parametrize("max_bytes", [1, 300, 2**20])
def test_genes_in_obs_are_turned_when_the_option_says_so(tmp_path, counts, name, kind, max_bytes):
    turned = annotated(sparse.csr_matrix(counts)).T
    made = ad.AnnData(kind(counts.T), obs=turned.obs, var=turned.var)
    made.obsm["PCs"] = np.ones((N_VARS, 2))
    path = write(made, tmp_path / name)
    raw, values = read(path, max_bytes, orientation="genes_by_cells")
    np.testing.assert_array_equal(values, counts)
    assert (list(raw.obs.index), list(raw.var.index)) == (BARCODES, SYMBOLS)
    assert set(raw.obs["donor"]) == {"a", "b"}
    assert raw.messages == ["obsm of what are genes is set aside: PCs"]
    blocks = list(open_raw(path, IngestOptions(orientation="genes_by_cells")).chunks(max_bytes))
    assert len(blocks) == (N_OBS if max_bytes == 1 else len(blocks))


@pytest.mark.parametrize("name", NAMES)
def test_genes_in_obs_are_refused_by_their_names(tmp_path, counts, name):
    made = ad.AnnData(
        counts.T.copy(), obs=pd.DataFrame(index=IDS), var=pd.DataFrame(index=BARCODES)
    )
    path = write(made, tmp_path / name)
    with pytest.raises(InputError, match="Set `orientation` to genes_by_cells"):
        open_raw(path, IngestOptions())


@pytest.mark.parametrize("name", NAMES)
def test_float16_is_read_with_a_word_on_what_it_cannot_hold(tmp_path, counts, name):
    small = np.minimum(counts, 2000)
    raw, values = read(write(annotated(small.astype(np.float16)), tmp_path / name))
    np.testing.assert_array_equal(values, small)
    assert raw.messages == ["the counts are stored as float16, which has no odd ones above 2048"]
    raw, values = read(tmp_path / name, orientation="genes_by_cells")
    np.testing.assert_array_equal(values, small.T)


def test_sparse_float16_is_read_too(tmp_path, counts):
    small = np.minimum(counts, 2000)
    path = write(annotated(sparse.csr_matrix(small.astype(np.float32))), tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        data = file["X/data"][:].astype(np.float16)
        del file["X/data"]
        file["X/data"] = data
    np.testing.assert_array_equal(read(path)[1], small)


def modalities(path, counts, names):
    """An h5mu file: an AnnData for every modality, the first with the counts."""
    with h5py.File(path, "w") as file:
        inside = file.create_group("mod")
        for at, name in enumerate(names):
            made = annotated(sparse.csr_matrix(counts * (at + 1)))
            write_elem(inside, name, made)
        write_elem(file, "obs", annotated(None).obs)
        write_elem(file, "var", annotated(None).var)
    return path


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["rna", "prot"], "the modality rna is read; prot set aside"),
        (["GEX", "atac"], "the modality GEX is read; atac set aside"),
        (["cells"], "the modality cells is read"),
    ],
)
def test_gene_expression_of_an_h5mu_file_is_read(tmp_path, counts, names, said):
    path = modalities(tmp_path / "a.h5mu", counts, names)
    raw, values = read(path)
    np.testing.assert_array_equal(values, counts)
    assert raw.messages == [said]


def test_modalities_without_a_known_name_are_named(tmp_path, counts):
    path = modalities(tmp_path / "a.h5mu", counts, ["one", "two"])
    with pytest.raises(InputError, match=r"holds the modalities one, two, .*write_h5ad"):
        open_raw(path, IngestOptions())


def test_a_folder_in_a_zip_file_is_found_and_another_zip_file_is_none(tmp_path, counts):
    write_zarr(annotated(sparse.csr_matrix(counts)), tmp_path / "in" / "a.zarr", 3)
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")
    np.testing.assert_array_equal(read(tmp_path / "a.zip")[1], counts)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "x.txt").write_text("x")
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "t")
    (tmp_path / "c.zip").write_bytes(b"PK no zip")
    for name in ("b.zip", "c.zip"):
        assert not is_zipped_zarr(tmp_path / name)
        with pytest.raises(InputError, match="is not known from its name"):
            open_raw(tmp_path / name, IngestOptions())
    with pytest.raises(InputError, match="holds no zarr group"):
        open_raw(tmp_path / "b.zip", IngestOptions(format="zarr"))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.array])
def test_zarr_of_format_3_with_shards_is_read(tmp_path, counts, kind):
    write_zarr(annotated(kind(counts)), tmp_path / "a.zarr", 3)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="a")
    for name in ["X"] if kind is np.array else ["X/data", "X/indices", "X/indptr"]:
        values, attributes = group[name][:], dict(group[name].attrs)
        sizes = {"chunks": (2,) * values.ndim, "shards": (4,) * values.ndim}
        group.create_array(name, data=values, overwrite=True, attributes=attributes, **sizes)
    raw, values = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(values, counts)
    assert list(raw.obs.index) == BARCODES


def test_probes_of_an_anndata_are_summed_by_gene(tmp_path, counts):
    var = pd.DataFrame(
        {"gene_id": [*IDS, *IDS[:2]], "filtered_probes": [True] * N_VARS + [True, False]},
        index=[f"{one}|probe{at}" for at, one in enumerate([*IDS, *IDS[:2]])],
    )
    probes = np.hstack([counts, counts[:, :2]])
    path = tmp_path / "a.h5ad"
    ad.AnnData(sparse.csr_matrix(probes), annotated(None).obs, var).write_h5ad(path)
    raw, values = read(path)
    expected = counts.copy()
    expected[:, 0] *= 2
    np.testing.assert_array_equal(values, expected)
    assert list(raw.var.index) == IDS
