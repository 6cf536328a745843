"""Archives of a few cells, and the places where they are damaged."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.archive.source import source_of
from scpress.archive.writer import write_archive


def few_cells(n_obs=60, n_vars=9, seed=0):
    """Some counts, most of them zero, with a table of each axis and a little of all else."""
    drawn = np.random.default_rng(seed)
    X = sparse.csr_matrix(drawn.poisson(0.7, (n_obs, n_vars)).astype(np.int32))
    obs = pd.DataFrame(
        {
            "sample": pd.Categorical(drawn.choice(["a", "b"], n_obs)),
            "size": drawn.random(n_obs),
        },
        index=[f"cell{i}" for i in range(n_obs)],
    )
    names = [f"G{j}x" for j in range(n_vars)]
    chromosomes = pd.Categorical(["1"] * n_vars)
    var = pd.DataFrame({"chromosome": chromosomes, "id": names[::-1]}, index=names)
    uns = {"source": "drawn", "record": {"n": 3}}
    obsm = {"X_pca": drawn.random((n_obs, 2)).astype(np.float32)}
    return ad.AnnData(X, obs=obs, var=var, uns=uns, obsm=obsm)


@pytest.fixture(scope="session")
def cells():
    """60 cells x 9 genes; take a copy to change."""
    return few_cells()


@pytest.fixture(scope="session")
def packed(cells, tmp_path_factory):
    """The archive of `cells`: read it, and write copies elsewhere."""
    path = tmp_path_factory.mktemp("packed") / "cells.scp"
    write_archive(path, source_of(cells))
    return path
