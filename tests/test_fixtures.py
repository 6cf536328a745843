"""What tests share cannot be changed, or the test that changed it fails."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from read_only import Shared
from scipy import sparse


@pytest.mark.parametrize("name", ["pbmc", "simulated"])
@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_shared_counts_cannot_be_written_to(request, name, part):
    array = getattr(request.getfixturevalue(name).X, part)
    with pytest.raises(ValueError, match="read-only"):
        array[0] += 1


def test_the_truth_of_simulated_counts_cannot_be_written_to(simulated):
    folds = simulated.uns["simulation"]["type_fold_change"]
    with pytest.raises(ValueError, match="read-only"):
        folds[:] = 1


def test_a_copy_can_be_changed(pbmc):
    copy = pbmc.copy()
    copy.X.data[0] += 1
    copy.obs["new"] = 1
    assert copy.X.data[0] != pbmc.X.data[0]


@pytest.fixture
def shared():
    made = ad.AnnData(
        sparse.csr_matrix(np.eye(3, dtype=np.int32)),
        obs=pd.DataFrame({"kind": ["a", "b", "a"]}, index=["1", "2", "3"]),
        uns={"deep": {"array": np.zeros(2)}},
    )
    made.layers["counts"] = made.X.copy()
    return Shared.of(made)


def change_value(adata):
    adata.obs.loc["1", "kind"] = "b"


def change_name(adata):
    adata.var_names = ["A", "B", "C"]


def change_matrix(adata):
    adata.X = adata.X * 2


def write(adata):
    adata.strings_to_categoricals()  # as every writer of h5ad does


def add(adata):
    adata.uns["scpress"] = {}


@pytest.mark.parametrize("change", [change_value, change_name, change_matrix, write, add])
def test_a_change_of_what_cannot_be_locked_is_noticed(shared, change):
    shared.require_unchanged()
    change(shared.adata)
    with pytest.raises(AssertionError):
        shared.require_unchanged()


def test_layers_and_dictionaries_are_locked_however_deep(shared):
    for array in (shared.adata.layers["counts"].data, shared.adata.uns["deep"]["array"]):
        assert not array.flags.writeable


@pytest.mark.usefixtures("pbmc", "simulated")
def test_the_check_goes_with_every_test_that_uses_them(request):
    assert "_shared_counts_stay" in request.fixturenames
    assert {"_shared_pbmc", "_shared_simulated"} <= set(request.fixturenames)
