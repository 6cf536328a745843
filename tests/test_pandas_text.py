"""Text as pandas 3 and anndata 0.13 keep it, in files and in memory, through the whole chain.

Those types can be made with every pandas, and that layout be written with every anndata, so the
tests mean the same on each stack.
"""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from builders import write_zarr
from scipy import sparse

from scpress.cli import main
from scpress.config.options import MergeOptions, QcOptions
from scpress.io.h5ad import read_h5ad, write_h5ad, write_h5ad_streamed
from scpress.steps.ingest import ingest
from scpress.steps.merge import merge
from scpress.steps.qc import qc

CELLS, GENES = [f"BC{i}" for i in range(12)], [f"G{i}" for i in range(8)]


def text(values):
    return pd.array(values, dtype="string")


def as_pandas_3(dtype="string"):
    obs = pd.DataFrame(
        {
            "barcode": pd.array(CELLS, dtype=dtype),
            "patient": pd.array(["p1", None, "p2"] * 4, dtype=dtype),
            "once": pd.array([None, *CELLS[1:]], dtype=dtype),
            "kind": pd.Categorical(text(["a", "b"] * 6)),
            "n": pd.array([None, *range(11)], dtype="Int64"),
            "ok": pd.array([None, True] * 6, dtype="boolean"),
        },
        index=pd.Index(CELLS, dtype=dtype),
    )
    ids = pd.array([f"ENSG{i:011d}" for i in range(8)], dtype=dtype)
    var = pd.DataFrame({"gene_ids": ids}, index=pd.Index(GENES, dtype=dtype))
    counts = np.random.default_rng(0).poisson(2.0, (12, 8)).astype(np.float32)
    adata = ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=var)
    table = {"x": np.arange(12), "note": pd.array(CELLS, dtype=dtype)}
    adata.obsm["table"] = pd.DataFrame(table, index=adata.obs_names)
    return adata


def write_as_pandas_3(adata, path, zarr_format=None):
    with ad.settings.override(allow_write_nullable_strings=True):
        if zarr_format is None:
            adata.write_h5ad(path)
            with h5py.File(path) as file:
                assert file["obs/barcode"].attrs["encoding-type"] == "nullable-string-array"
        else:
            write_zarr(adata, path, zarr_format)


def require_ingested(made, sample="s"):
    assert made.obs_names.tolist() == [f"{sample}_{name}" for name in CELLS]
    assert made.var["gene_id"].tolist() == [f"ENSG{i:011d}" for i in range(8)]
    assert made.var["gene_symbol"].tolist() == GENES
    assert made.obs["barcode"].tolist() == CELLS
    assert made.obs["patient"].isna().tolist() == [False, True, False] * 4
    assert made.obs["patient"].dropna().tolist() == ["p1", "p2"] * 4
    assert made.obs["once"].dropna().tolist() == CELLS[1:]
    assert made.obs["kind"].tolist() == ["a", "b"] * 6
    assert made.obs["n"].dropna().tolist() == list(range(11))
    assert made.obs["ok"].dropna().tolist() == [True] * 6
    assert made.obsm["table"]["x"].tolist() == list(range(12))
    assert made.obsm["table"]["note"].tolist() == CELLS
    assert made.obsm["table"].index.tolist() == made.obs_names.tolist()


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_a_file_of_anndata_013_is_ingested(tmp_path, zarr_format):
    path = tmp_path / ("in.h5ad" if zarr_format is None else "in.zarr")
    write_as_pandas_3(as_pandas_3(), path, zarr_format)
    output = tmp_path / "out.h5ad"
    assert main(["ingest", str(path), "--sample", "s", "--output", str(output)]) == 0
    require_ingested(read_h5ad(output))
    # Stored as every anndata reads and writes it.
    with h5py.File(output) as file:
        kinds: list[str] = []
        file.visititems(lambda _, one: kinds.append(one.attrs.get("encoding-type")))
    assert "string-array" in kinds
    assert "nullable-string-array" not in kinds


@pytest.mark.parametrize(
    "dtype", ["string", pd.StringDtype("python", na_value=np.nan)], ids=["NA", "NaN"]
)
def test_an_anndata_in_memory_is_ingested_and_anndata_writes_the_result(tmp_path, dtype):
    given = as_pandas_3(dtype)
    before = given.obs.dtypes.to_dict()
    made = ingest(given, sample="s")
    require_ingested(made)
    assert given.obs.dtypes.to_dict() == before
    made.write_h5ad(tmp_path / "a.h5ad")
    require_ingested(ad.read_h5ad(tmp_path / "a.h5ad"))


def test_samples_of_both_layouts_merge(tmp_path):
    plain = as_pandas_3()
    write_h5ad(plain, tmp_path / "plain.h5ad")  # as anndata 0.12 stores it
    given = {"a": as_pandas_3(), "b": ad.read_h5ad(tmp_path / "plain.h5ad")}
    options = QcOptions(doublets=False, min_counts=1, min_genes=1)
    samples = {}
    for name, adata in given.items():
        counts = ingest(adata, sample=name)
        samples[name] = counts, qc(counts, options)
    merged = merge(samples, MergeOptions(min_cells=0))
    write_h5ad_streamed(tmp_path / "m.h5ad", merged, {"X": [merged.X]}, dtypes={"X": np.int32})
    again = read_h5ad(tmp_path / "m.h5ad")
    assert again.obs["barcode"].tolist() == CELLS * 2
    assert again.obs["patient"].isna().sum() == 8
    assert np.isnan(again.obs["n"].to_numpy()).tolist() == ([True] + [False] * 11) * 2
    assert again.obs["n"].dropna().tolist() == [*range(11)] * 2
    assert again.obsm["table"]["x"].tolist() == [*range(12)] * 2
    assert again.obsm["table"]["note"].tolist() == CELLS * 2


@pytest.mark.parametrize("backed", [False, True])
def test_text_that_was_read_is_of_one_kind(tmp_path, backed):
    write_as_pandas_3(as_pandas_3(), tmp_path / "a.h5ad")
    adata = read_h5ad(tmp_path / "a.h5ad", backed=backed)
    types = [adata.obs_names.dtype, adata.var_names.dtype]
    types += [*adata.obs.dtypes, *adata.var.dtypes, *adata.obsm["table"].dtypes]
    assert not any(isinstance(one, pd.StringDtype) for one in types)
    assert isinstance(adata.obs["patient"].dtype, pd.CategoricalDtype)
    assert adata.obs["once"].isna().sum() == 1
