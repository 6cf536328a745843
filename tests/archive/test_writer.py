"""An archive is whole and holds what was read, or is not there."""

import dataclasses

import anndata as ad
import numpy as np
import pytest
from anndata.tests.helpers import assert_equal
from archive.conftest import few_cells
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scpress import settings
from scpress.archive import writer
from scpress.archive.codec import CountsCodec
from scpress.archive.reader import Archive
from scpress.archive.source import source_of
from scpress.archive.writer import compare, compare_with_file, in_chunks, write_archive
from scpress.config.archive import InputOptions
from scpress.errors import InputError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40)
TYPES = ("bool", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float32", "float64")
VALUES = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 2**31 - 1))


@pytest.mark.slow
@given(hnp.arrays(np.int64, SHAPES, elements=VALUES), st.sampled_from(["csr", "csc", "dense"]))
@hypothesis_settings(max_examples=40)
def test_any_counts_come_back(tmp_path_factory, X, storage):
    path = tmp_path_factory.mktemp("any") / "a.scp"
    adata = ad.AnnData(X if storage == "dense" else sparse.csr_matrix(X).asformat(storage))
    header = write_archive(path, source_of(adata))
    assert (header.nnz, header.sum) == ((X > 0).sum(), X.sum())
    with Archive(path) as archive:
        archive.require_whole()
        assert_equal(adata, archive.to_anndata(), exact=True)


# scipy has no sparse matrix of float16.
STORED = [
    (storage, dtype)
    for storage in ("csr", "csc", "dense")
    for dtype in TYPES
    if storage == "dense" or dtype != "float16"
]


@pytest.mark.parametrize(("storage", "dtype"), STORED)
def test_every_type_comes_back(tmp_path, dtype, storage):
    X = few_cells().X.toarray().clip(0, 1).astype(dtype)
    adata = ad.AnnData(X if storage == "dense" else sparse.csr_matrix(X).asformat(storage))
    write_archive(tmp_path / "a.scp", source_of(adata))
    with Archive(tmp_path / "a.scp") as archive:
        found = archive.to_anndata()
    assert_equal(adata, found, exact=True)
    assert found.X.dtype == dtype
    assert getattr(found.X, "format", "dense") == storage


def test_a_layer_and_wide_indices_come_back(tmp_path, cells):
    adata = cells.copy()
    X = adata.X.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    adata.layers["counts"] = X
    write_archive(tmp_path / "a.scp", source_of(adata, "layers/counts"))
    with Archive(tmp_path / "a.scp") as archive:
        found = archive.to_anndata()
    assert_equal(adata, found, exact=True)
    assert found.layers["counts"].indices.dtype == np.int64


def test_the_largest_counts_come_back(tmp_path):
    X = sparse.csr_matrix(np.array([[2**31 - 1, 0], [2_000_000_000, 1]]))
    write_archive(tmp_path / "a.scp", source_of(ad.AnnData(X)))
    with Archive(tmp_path / "a.scp") as archive:
        assert archive[:].toarray().tolist() == X.toarray().tolist()


@pytest.mark.parametrize("chunk_bytes", [1, 700, 10**6])
def test_the_bytes_depend_on_nothing_but_the_counts(
    packed, tmp_path, cells, monkeypatch, chunk_bytes
):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    write_archive(tmp_path / "a.scp", source_of(cells))
    assert (tmp_path / "a.scp").read_bytes() == packed.read_bytes()


def test_many_sections_are_the_same_counts(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(writer, "_SECTION_BYTES", 1)
    monkeypatch.setattr(settings, "chunk_bytes", 300)
    write_archive(tmp_path / "a.scp", source_of(cells))
    with Archive(tmp_path / "a.scp") as archive:
        assert len(archive._sections.find("CELL")) == 3
        assert_equal(cells, archive.to_anndata(), exact=True)


@given(st.lists(st.integers(0, 9)), st.integers(1, 7))
def test_blocks_are_cut_at_chunks(sizes, n):
    whole = sparse.csr_matrix(np.arange(1, 2 * sum(sizes) + 1).reshape(-1, 2))
    cuts = np.cumsum([0, *sizes])
    blocks = list(in_chunks((whole[a : a + m] for a, m in zip(cuts, sizes, strict=False)), n))
    assert all(block.shape[0] % n == 0 and block.shape[0] for block in blocks[:-1])
    if blocks:
        assert (sparse.vstack(blocks) != whole).nnz == 0
    else:
        assert sum(sizes) == 0


def broken(monkeypatch, method, change):
    real = getattr(CountsCodec, method)
    monkeypatch.setattr(CountsCodec, method, lambda self, *a: change(real(self, *a)))


def test_a_codec_that_loses_a_count_leaves_no_file(tmp_path, cells, monkeypatch):
    def change(block):
        block.data[-1] += 1
        return block

    broken(monkeypatch, "decode", change)
    with pytest.raises(InputError, match="decodes to other counts"):
        write_archive(tmp_path / "a.scp", source_of(cells))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("n_passes", "says"),
    [(1, "was read first: there are cells"), (2, "does not hold the counts of cells 0 to 47")],
)
def test_an_input_that_changes_while_it_is_packed_leaves_no_file(tmp_path, cells, n_passes, says):
    source = source_of(cells)
    passes = []

    def read():
        passes.append(1)
        X = cells.X.copy()
        X.data[5] += (len(passes) > n_passes) << 20
        yield X

    source = dataclasses.replace(source, read=read)
    (tmp_path / "a.scp").write_text("old")
    with pytest.raises(InputError, match=says):
        write_archive(tmp_path / "a.scp", source)
    assert [path.name for path in tmp_path.iterdir()] == ["a.scp"]
    assert (tmp_path / "a.scp").read_text() == "old"


def test_fewer_rows_than_cells_are_refused(tmp_path, cells):
    source = dataclasses.replace(source_of(cells), read=lambda: iter([cells.X[:30]]))
    with pytest.raises(InputError, match="60 cells and 30 rows"):
        write_archive(tmp_path / "a.scp", source)


def changes():
    def value(adata):
        adata.X.data[7] += 1

    def moved(adata):
        adata.X.indices[[0, 1]] = adata.X.indices[[1, 0]]
        adata.X.data[:2] = [5, 6]

    def cell(adata):
        adata.obs_names = ["other", *adata.obs_names[1:]]

    def gene(adata):
        adata.var_names = [*adata.var_names[:-1], "other"]

    def column(adata):
        adata.obs["size"] += 1e-9

    def layout(adata):
        adata.X = adata.X.tocsc()

    def kind(adata):
        adata.X = adata.X.astype(np.int64)

    def more(adata):
        adata.uns["more"] = 1

    says = {
        value: "counts of cells 0 to 47",
        moved: "counts of cells 0 to 47",
        cell: "obs/_index",
        gene: "var/_index",
        column: "obs/size",
        layout: "storage of the counts is csr, and of a.h5ad csc",
        kind: "dtype of the counts is int32, and of a.h5ad int64",
        more: "uns/more",
    }
    return [pytest.param(change, says[change], id=change.__name__) for change in says]


@pytest.mark.parametrize(("change", "says"), changes())
def test_what_differs_from_a_file_is_named(packed, tmp_path, cells, change, says):
    adata = cells.copy()
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with Archive(packed) as archive:
        compare_with_file(archive, path, InputOptions())
        change(adata)
        adata.write_h5ad(path)
        with pytest.raises(InputError, match=says):
            compare_with_file(archive, path, InputOptions())


def test_another_shape_is_named(packed, cells):
    with Archive(packed) as archive, pytest.raises(InputError, match=r"60 cells x 9 .* of 50 x 9"):
        compare(archive, source_of(cells[:50].copy()), "it")


def test_a_file_is_compared_by_the_matrices_that_were_packed(tmp_path, cells):
    adata = cells.copy()
    adata.layers["counts"], adata.layers["b"] = adata.X, adata.X * 2
    adata.raw = adata
    adata.X = adata.X.astype(np.float32)
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    write_archive(tmp_path / "a.scp", source_of(adata, "layers/counts"))
    with Archive(tmp_path / "a.scp") as archive:
        compare_with_file(archive, path, InputOptions())
        adata.layers["b"].data[3] += 1
        adata.write_h5ad(path)
        with pytest.raises(InputError, match="does not hold layers/b"):
            compare_with_file(archive, path, InputOptions())
