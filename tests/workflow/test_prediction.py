"""What a job asks for: sizes read from headers, of every format, and the amounts that follow."""

import gzip
import re

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from builders import ROOT, write_zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import io, sparse

from scpress.steps.doctor import load_module

prediction = load_module(ROOT / "workflow/prediction.py")
N_CELLS, N_GENES = 40, 30


@pytest.fixture(scope="module")
def X():
    counts = sparse.random(N_CELLS, N_GENES, density=0.2, format="csr", random_state=0)
    counts.data = np.ceil(counts.data * 5).astype(np.float32)
    return counts


def write_h5ad(X, path):
    ad.AnnData(X).write_h5ad(path)


def write_layer(X, path):
    ad.AnnData(shape=X.shape, layers={"counts": X}).write_h5ad(path)


def write_raw(X, path):
    adata = ad.AnnData(X)
    adata.raw = adata
    adata = adata[:, :2].copy()
    adata.write_h5ad(path)


def write_counts_zarr(X, path, zarr_format=2):
    write_zarr(ad.AnnData(X), path, zarr_format)
    assert zarr.open_group(str(path), mode="r")["X/data"].size == X.nnz


def write_10x(X, path, group="matrix"):
    with h5py.File(path, "w") as file:
        one = file.create_group(group)
        one["shape"] = X.shape[::-1]
        one["data"], one["indices"], one["indptr"] = X.data, X.indices, X.indptr
        one["barcodes"] = np.arange(N_CELLS).astype("S")


def write_mtx(X, path):
    path.mkdir()
    io.mmwrite(path / "plain.mtx", X.T)
    with gzip.open(path / "GSM1_matrix.mtx.gz", "wb") as file:
        file.write((path / "plain.mtx").read_bytes())
    (path / "plain.mtx").unlink()


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_h5ad, "a.h5ad"),
        (write_layer, "a.h5ad"),
        (write_raw, "a.h5ad"),
        (write_counts_zarr, "a.zarr"),
        (lambda X, path: write_counts_zarr(X, path, 3), "a.zarr"),
        (write_10x, "a.h5"),
        (lambda X, path: write_10x(X, path, "GRCh38"), "a.h5"),
        (write_mtx, "folder"),
    ],
    ids=["h5ad", "layer", "raw", "zarr 2", "zarr 3", "10x 3", "10x 2", "mtx"],
)
def test_a_sparse_header_says_cells_and_stored_values(X, tmp_path, write, name):
    write(X, tmp_path / name)
    assert prediction.measure(tmp_path / name) == (N_CELLS, X.nnz)


def test_an_index_in_the_layout_of_pandas_3_is_counted_by_its_values(X, tmp_path):
    adata = ad.AnnData(X)
    adata.obs_names = pd.Index(adata.obs_names, dtype="string")
    with ad.settings.override(allow_write_nullable_strings=True):
        adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert isinstance(file["obs"][file["obs"].attrs["_index"]], h5py.Group)
    assert prediction.measure(tmp_path / "a.h5ad") == (N_CELLS, X.nnz)


def test_a_dense_matrix_is_taken_to_be_filled_to_a_fifth(X, tmp_path):
    write_h5ad(X.toarray(), tmp_path / "a.h5ad")
    assert prediction.measure(tmp_path / "a.h5ad") == (N_CELLS, N_CELLS * N_GENES // 5)
    with h5py.File(tmp_path / "a.loom", "w") as file:
        file["matrix"] = X.toarray().T
    assert prediction.measure(tmp_path / "a.loom") == (N_CELLS, N_CELLS * N_GENES // 5)


def test_a_latent_has_cells_only(tmp_path):
    latent = ad.AnnData(shape=(N_CELLS, 0), obsm={"X_a": np.zeros((N_CELLS, 3))})
    latent.write_h5ad(tmp_path / "a.h5ad")
    assert prediction.measure(tmp_path / "a.h5ad") == (N_CELLS, 0)


def test_a_table_is_measured_by_its_bytes(X, tmp_path):
    np.savetxt(
        tmp_path / "a.csv", X.toarray(), fmt="%d", delimiter=",", header="g" + ",g" * N_GENES
    )
    cells, nonzeros = prediction.measure(tmp_path / "a.csv")
    assert N_CELLS <= cells <= 2 * N_CELLS
    assert X.nnz <= nonzeros <= 2 * X.nnz


def test_a_damaged_file_is_measured_by_its_bytes_and_a_missing_one_raises(X, tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_bytes(bytes(10_000))
    assert prediction.measure(path) == (5, 5000)
    write_h5ad(X, tmp_path / "b.h5ad")
    (tmp_path / "b.h5ad").rename(path)
    assert prediction.measure(path) == (N_CELLS, X.nnz)  # not the old answer
    path.unlink()
    # Snakemake asks again once the file exists only if this raises.
    with pytest.raises(FileNotFoundError):
        prediction.measure(path)


def test_without_h5py_the_bytes_are_the_guide(X, tmp_path, monkeypatch):
    write_h5ad(X, tmp_path / "a.h5ad")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    size = (tmp_path / "a.h5ad").stat().st_size
    assert prediction.measure(tmp_path / "a.h5ad").nonzeros == size // 2


NAMES = ("a.h5ad", "a.h5", "a.loom", "a.mtx", "a.mtx.gz", "a.csv", "a.csv.gz", "a.tsv", "a")


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode), st.sampled_from(NAMES))
def test_any_bytes_of_any_name_have_a_size(tmp_path_factory, content, name):
    """What is wrong with a file its own job says, and not the rule that asks for memory."""
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(content)
    size = prediction.measure(path)
    assert min(size) >= 0
    assert prediction.memory_mb("train", size) >= prediction.COSTS["train"].mb


def test_files_that_are_joined_add_up_and_of_the_same_cells_the_largest_counts():
    sizes = [prediction.Size(10, 500), prediction.Size(30, 0), prediction.Size(20, 900)]
    assert prediction.total(sizes) == (60, 1400)
    assert prediction.largest(sizes) == (30, 900)


@pytest.mark.parametrize("rule", prediction.COSTS)
def test_memory_and_time_grow_with_the_data_from_what_an_empty_job_takes(rule):
    cost, empty = prediction.COSTS[rule], prediction.Size(0, 0)
    assert (prediction.memory_mb(rule, empty), prediction.runtime_minutes(rule, empty)) == (
        cost.mb,
        cost.minutes,
    )
    for cells, nonzeros in ((10**6, 0), (0, 10**9), (10**6, 10**9)):
        size = prediction.Size(cells, nonzeros)
        megabytes = (cost.bytes_per_cell * cells + cost.bytes_per_nonzero * nonzeros) / 10**6
        assert prediction.memory_mb(rule, size) - cost.mb == round(megabytes)
        minutes = prediction.runtime_minutes(rule, size) - cost.minutes
        assert minutes == round(cost.minutes_per_1000_cells * cells / 1000)


def test_every_rule_has_a_cost_and_every_group_is_known():
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.M))
    assert rules == set(prediction.COSTS)
    grouped = {}
    for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", text, re.M | re.S):
        for group in re.findall(r'group:\s+"(\w+)"', body):
            grouped.setdefault(group, []).append(name)
        assert re.search(rf'mem_mb=memory\("{name}"[,)]', body), name
        assert re.search(rf'runtime=minutes\("{name}"[,)]', body), name
    assert {name: tuple(rules) for name, rules in grouped.items()} == prediction.GROUPS


# Peaks in MB, measured by benchmarks/scale.py: (cells, stored values).
MEASURED = {
    (10_000, 1_600_000): {"ingest": 185, "qc": 418, "merge": 228, "normalize": 223, "train": 575}
    | {"embed": 499, "evaluate": 758, "cluster": 521, "compress": 723, "assemble": 400},
    (40_000, 6_400_000): {"ingest": 295, "qc": 616, "merge": 485, "normalize": 446, "train": 660}
    | {"embed": 619, "denoise": 587, "evaluate": 956, "cluster": 1015, "annotate": 598}
    | {"subtype": 437, "compress": 970, "assemble": 526, "report": 317},
    (200_000, 32_000_000): {"ingest": 410, "merge": 710, "normalize": 620, "train": 1200}
    | {"embed": 810, "cluster": 1380, "annotate": 770, "subtype": 970, "compress": 1170}
    | {"assemble": 730, "report": 700},
}


@pytest.mark.parametrize("size", MEASURED)
def test_predictions_cover_what_was_measured_by_a_third(size):
    for rule, peak in MEASURED[size].items():
        assert prediction.memory_mb(rule, prediction.Size(*size)) >= 1.33 * peak, rule


def test_a_job_without_counts_asks_for_what_it_starts_with():
    size = prediction.largest([])
    assert prediction.memory_mb("choose", size) == prediction.COSTS["choose"].mb
    assert prediction.runtime_minutes("choose", size) == prediction.COSTS["choose"].minutes
