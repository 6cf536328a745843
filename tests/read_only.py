"""Counts that many tests share: none may change them, and the one that does is named."""

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse


def protect(value):
    """Make the arrays of a matrix, or of a dictionary however deep, read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif sparse.issparse(value):
        for array in (value.data, value.indices, value.indptr):
            protect(array)
    elif hasattr(value, "values") and not isinstance(value, pd.DataFrame):
        for one in value.values():
            protect(one)


@dataclass(frozen=True)
class Shared:
    """An AnnData whose arrays are read-only, and what it was when it was made."""

    adata: ad.AnnData
    before: ad.AnnData

    @classmethod
    def of(cls, adata):
        """Protect it."""
        # scipy would sort the columns of each row in place, in the first comparison.
        adata.X.sum_duplicates()
        shared = cls(adata, adata.copy())
        for value in (adata.X, adata.layers, adata.obsm, adata.varm, adata.obsp, adata.uns):
            protect(value)
        return shared

    def require_unchanged(self):
        """Tables and dictionaries cannot be locked, so they are compared."""
        pd.testing.assert_frame_equal(self.adata.obs, self.before.obs)
        pd.testing.assert_frame_equal(self.adata.var, self.before.var)
        for part in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            now, then = (set(getattr(one, part)) for one in (self.adata, self.before))
            assert now == then, part
        now, then = self.adata.X, self.before.X
        assert type(now) is type(then)
        for name in ("dtype", "shape", "data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(now, name), getattr(then, name))
