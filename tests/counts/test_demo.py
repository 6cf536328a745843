import warnings
from importlib import metadata

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from scpress.cli import main
from scpress.counts import demo as datasets
from scpress.errors import InputError


@pytest.fixture(scope="module")
def demo():
    return datasets.demo_counts()


def test_demo_is_whole_counts_whose_log_values_are_the_stored_ones(demo):
    assert demo.shape == (1000, 6397)
    assert demo.X.dtype == np.int32
    assert sparse.issparse(demo.X)
    assert demo.X.format == "csr"
    assert demo.X.data.min() == 1
    assert demo.obs_names.is_unique
    assert demo.obs["cell_type_annotations"].nunique() == 14
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = ad.read_h5ad(datasets._demo_path()).X
    # One factor per cell explains every stored value of the cell.
    for cell in (0, 1, 500, 999):
        linear = np.exp2(stored[cell].toarray().ravel().astype(float)) - 1
        counts = demo.X[cell].toarray().ravel()
        factor = linear.sum() / counts.sum()
        np.testing.assert_allclose(linear, counts * factor, rtol=1e-5)


def test_pbmc_is_whole_counts_with_the_original_library_size(pbmc):
    assert pbmc.shape == (700, 765)
    assert pbmc.X.dtype == np.int32
    assert pbmc.X.data.min() == 1
    share = np.asarray(pbmc.X.sum(axis=1)).ravel() / pbmc.obs["n_counts"].to_numpy()
    assert 0.1 < share.min() < share.max() < 0.3


def test_values_that_are_not_counts_are_refused():
    X = sparse.csr_matrix(np.array([[1.0, 2.4], [0.0, 3.0]]))
    with pytest.raises(InputError, match="does not give counts back"):
        datasets._as_counts(X, obs=None, genes=None, tolerance=1e-5, source="x")


def test_missing_package_names_the_command_that_installs_it(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(InputError, match=r"pip install --no-deps scspectra==0\.2\.1"):
        datasets.demo_counts()


def test_other_version_is_refused(monkeypatch):
    monkeypatch.setattr(datasets, "DEMO_VERSION", "9.9.9")
    with pytest.raises(InputError, match=r"9\.9\.9"):
        datasets.demo_counts()


def test_verb_writes_what_the_function_returns(tmp_path, demo):
    path = tmp_path / "data" / "demo.h5ad"
    assert main(["demo", "--output", str(path)]) == 0
    written = ad.read_h5ad(path)
    assert (written.X != demo.X).nnz == 0
    assert list(written.obs_names) == list(demo.obs_names)
