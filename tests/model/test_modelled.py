"""The counts a model reads: some cells, blocks of cells, genes that are missing."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import normalized_of, untrained, with_covariates
from scipy import sparse

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.modelled import modelled_blocks, modelled_counts


@pytest.fixture
def data(pbmc):
    return with_covariates(pbmc).take(np.arange(50))


def test_some_of_the_cells_keep_what_goes_beside_them(data):
    rows = np.array([7, 3, 3, 40])
    for chosen in (data.take(rows), data.take(slice(3, 9))):
        at = rows if len(chosen) == 4 else np.arange(3, 9)
        np.testing.assert_array_equal(chosen.X.toarray(), data.X.toarray()[at])
        for name in ("size_factor", "batch", "continuous"):
            np.testing.assert_array_equal(getattr(chosen, name), getattr(data, name)[at])


def test_blocks_are_all_cells_in_order(data):
    blocks = list(data.blocks(n_cells=16))
    assert [len(block) for _, block in blocks] == [16, 16, 16, 2]
    seen = np.concatenate([np.arange(50)[rows] for rows, _ in blocks])
    np.testing.assert_array_equal(seen, np.arange(50))
    for rows, block in blocks:
        np.testing.assert_array_equal(block.X.toarray(), data.X[rows].toarray())
        np.testing.assert_array_equal(block.size_factor, data.size_factor[rows])


def test_tensors_of_some_cells_are_those_of_taking_them(data):
    model = untrained(data, TrainOptions(continuous_covariates=("depth",)), ("a", "b"))
    model.network.continuous_mean.fill_(0.3)
    rows = np.array([40, 2, 2, 11])
    ours, theirs = data.cells_at(model, rows), data.take(rows).cells_of(model)
    np.testing.assert_array_equal(ours.counts.dense(), data.X[rows].toarray())
    np.testing.assert_array_equal(ours.total, data.X[rows].sum(axis=1).A1)
    for name in ("pointers", "indices", "values"):
        assert torch.equal(getattr(ours.counts, name), getattr(theirs.counts, name)), name
    for name in ("size_factor", "total", "batch", "continuous"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("part", ["counts", "place", "size_factor", "batch", "continuous"])
def test_the_digest_is_of_all_that_training_reads(data, part):
    data.batch, data.continuous = data.batch.copy(), data.continuous.copy()
    changed = dataclasses.replace(data, X=data.X.copy())
    assert changed.digest() == data.digest()
    if part == "counts":
        changed.X.data[-1] += 1
    elif part == "place":
        last = changed.X[-1].indices
        free = np.setdiff1d(np.arange(changed.X.shape[1]), last)[0]
        changed.X.indices[-1] = free
    else:
        values = getattr(changed, part).copy()
        values[-1] += 1
        setattr(changed, part, values)
    assert changed.digest() != data.digest()


@pytest.fixture
def read(simulated):
    """(counts with a covariate, a model of some of their genes in another order)."""
    counts = simulated.copy()
    counts.obs["depth"] = np.arange(counts.n_obs, dtype=float)
    columns = np.random.default_rng(0).permutation(counts.n_vars)[:40]
    options = TrainOptions(n_latent=2, batch_key="batch", continuous_covariates=("depth",))
    names = tuple(sorted(set(counts.obs["batch"].astype(str))))
    part = with_covariates(counts)
    part.X = counts.X[:, columns]
    model = untrained(part, options, names)
    model.genes = counts.var_names[columns].tolist()
    model.symbols = counts.var["gene_symbol"].iloc[columns].tolist()
    model.median_library_size = 500.0
    return counts, model, columns


def test_what_a_model_reads_is_the_same_for_all_cells_and_for_blocks(read, monkeypatch):
    counts, model, columns = read
    monkeypatch.setattr("scpress.settings.chunk_bytes", 30_000)
    whole = modelled_counts(counts, normalized_of(counts), model)
    np.testing.assert_array_equal(whole.X.toarray(), counts.X[:, columns].toarray())
    library = counts.X.sum(axis=1).A1
    np.testing.assert_allclose(whole.size_factor, library / 500)
    names = [model.config.batches[code] for code in whole.batch]
    assert names == counts.obs["batch"].astype(str).tolist()
    np.testing.assert_array_equal(whole.continuous[:, 0], counts.obs["depth"])
    at = 0
    for rows, block in modelled_blocks(counts, None, model, n_cells=37):
        assert (rows.start, len(block)) == (at, rows.stop - rows.start)
        assert len(block) <= 37
        np.testing.assert_array_equal(block.X.toarray(), whole.X[rows].toarray())
        for name in ("size_factor", "batch", "continuous"):
            np.testing.assert_allclose(getattr(block, name), getattr(whole, name)[rows])
        at = rows.stop
    assert at == counts.n_obs


def test_a_known_library_is_believed_and_missing_genes_leave_it(read):
    counts, model, columns = read
    normalized = normalized_of(counts)
    normalized.obs["library_size"] = 1000.0
    lacking = counts[:, counts.var_names != model.genes[3]].copy()
    with pytest.raises(InputError, match=model.genes[3]):
        modelled_counts(lacking, normalized, model)
    blocks = modelled_blocks(lacking, normalized, model, max_missing_fraction=0.1)
    X = sparse.vstack([block.X for _, block in blocks if (block.size_factor == 2).all()])
    expected = counts.X[:, columns].toarray()
    expected[:, 3] = 0
    np.testing.assert_array_equal(X.toarray(), expected)


def test_the_library_of_other_cells_is_refused(read):
    counts, model, _ = read
    other = normalized_of(counts)[::-1].copy()
    with pytest.raises(InputError, match="cells"):
        modelled_counts(counts, other, model)
