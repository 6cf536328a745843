import dataclasses
import logging
import mmap

import anndata as ad
import numpy as np
import pytest
import torch
import zarr
from anndata.io import sparse_dataset, write_elem
from builders import normalized_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.config.options import TrainOptions
from scpress.counts import matrix as count_functions
from scpress.counts import spill as rows
from scpress.counts.spill import RowKeeper
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.train import divide_rows, train

OPTIONS = TrainOptions(
    max_steps=60, validate_every=20, kl_warmup_steps=20, batch_size=64, batch_key=None
)


@given(
    st.lists(st.integers(0, 4), max_size=6),
    st.sampled_from([0, 1, 40, 10**9]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_blocks_come_back_as_one_matrix(sizes, max_bytes, wide, random):
    rng = np.random.default_rng(random.randrange(2**32))
    blocks = [sparse.random(n, 5, 0.4, "csr", np.float32, rng) for n in sizes]
    for block in blocks:
        block.data = rng.integers(1, 9, block.nnz).astype(np.int32)
    keeper = RowKeeper(n_vars=5, max_bytes=max_bytes)
    limit, widened = count_functions._INT32_MAX, rows._WIDENED
    try:
        if wide:
            count_functions._INT32_MAX, rows._WIDENED = 4, 3
        for block in blocks:
            keeper.add(block)
        found = keeper.matrix()
    finally:
        count_functions._INT32_MAX, rows._WIDENED = limit, widened
    expected = np.concatenate([np.zeros((0, 5), int), *(block.toarray() for block in blocks)])
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.dtype == np.int32
    assert found.indices.dtype == found.indptr.dtype


def _five_a_block(n_blocks):
    """Blocks of five counts, 40 bytes each."""
    block = sparse.csr_matrix(np.array([[1, 2, 0], [3, 4, 5]], dtype=np.int32))
    return [block * (i + 1) for i in range(n_blocks)]


@pytest.mark.parametrize(("max_bytes", "is_mapped"), [(80, False), (79, True), (40, True)])
def test_what_just_fits_stays_in_memory(tmp_path, monkeypatch, max_bytes, is_mapped):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keeper = RowKeeper(n_vars=3, max_bytes=max_bytes)
    for block in _five_a_block(2):
        keeper.add(block)
    found = keeper.matrix()
    assert _is_mapped(found.data) is _is_mapped(found.indices) is is_mapped
    expected = np.vstack([block.toarray() for block in _five_a_block(2)])
    np.testing.assert_array_equal(found.toarray(), expected)
    # The file has no name: nothing is left of it however the process ends.
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_the_budget_was_reached_is_written_once():
    keeper = RowKeeper(n_vars=3, max_bytes=100)
    blocks = _five_a_block(5)  # two in memory, the third goes to the file with them
    for block in blocks:
        keeper.add(block)
        assert len(keeper._blocks) < 3
    expected = np.vstack([block.toarray() for block in blocks])
    np.testing.assert_array_equal(keeper.matrix().toarray(), expected)


@pytest.mark.parametrize("max_bytes", [0, 10**9])
def test_room_behind_the_last_value_of_a_block_is_not_kept(max_bytes):
    block = sparse.csr_matrix(np.array([[1, 2], [0, 3]], dtype=np.int32))
    block.data, block.indices = np.append(block.data, 9), np.append(block.indices, 0)
    keeper = RowKeeper(n_vars=2, max_bytes=max_bytes)
    for _ in range(2):
        keeper.add(block)
    np.testing.assert_array_equal(keeper.matrix().toarray(), [[1, 2], [0, 3]] * 2)


def test_what_is_above_the_budget_is_mapped(pbmc):
    columns = np.arange(100)
    parts = (np.arange(0, 700, 2), np.arange(1, 700, 2))
    inside, mapped = (divide_rows(pbmc.X, columns, parts, mb) for mb in (1000, 0))
    for one, two, part in zip(inside, mapped, parts, strict=True):
        np.testing.assert_array_equal(one.toarray(), pbmc.X[part][:, :100].toarray())
        np.testing.assert_array_equal(two.toarray(), one.toarray())
        assert all(_is_mapped(part) for part in (two.data, two.indices))
        assert not _is_mapped(one.data)


def _is_mapped(array):
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array is not None


@pytest.mark.parametrize("preset", ["scvi", "dca"])
def test_training_from_a_file_gives_the_same_bits(pbmc, monkeypatch, preset):
    monkeypatch.setattr(settings, "chunk_bytes", 10_000)
    options = dataclasses.replace(OPTIONS, preset=preset)
    models = [
        train(pbmc, normalized_of(pbmc), dataclasses.replace(options, memory_mb=mb))[0]
        for mb in (1000, 0)
    ]
    states = [model.network.state_dict() for model in models]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_training_reads_a_matrix_on_disk(pbmc, tmp_path, kind):
    normalized = normalized_of(pbmc)
    expected = train(pbmc, normalized, OPTIONS)[1]
    if kind == "h5ad":
        write_h5ad(pbmc.copy(), tmp_path / "counts.h5ad")
        stored = read_h5ad(tmp_path / "counts.h5ad", backed=True)
    else:
        group = zarr.open_group(tmp_path / "counts.zarr", mode="w", zarr_format=2)
        write_elem(group, "X", pbmc.X)
        stored = ad.AnnData(sparse_dataset(group["X"]), obs=pbmc.obs, var=pbmc.var)
    assert train(stored, normalized, OPTIONS)[1].equals(expected)


def test_a_full_disk_for_temporary_files_is_one_line(pbmc, tmp_path, monkeypatch, capsys):
    from scpress.cli import main

    write_h5ad(pbmc.copy(), tmp_path / "counts.h5ad")
    write_h5ad(normalized_of(pbmc), tmp_path / "normalized.h5ad")

    monkeypatch.setattr(rows, "_nameless_file", lambda: open("/dev/full", "wb"))  # noqa: SIM115
    words = ["train", "--counts", tmp_path / "counts.h5ad", "--output", tmp_path / "m"]
    words += ["--normalized", tmp_path / "normalized.h5ad", "--history", tmp_path / "h"]
    words += ["--batch-key", "null", "--memory-mb", "0"]
    logging.getLogger("scpress").handlers.clear()
    assert main([str(word) for word in words]) == 2
    assert "cannot write: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
