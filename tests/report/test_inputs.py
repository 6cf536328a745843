"""What the sections ask of a run."""

import numpy as np
import pandas as pd
import pytest

from scpress.errors import InputError
from scpress.report.inputs import ReportInputs


def test_the_primary_model_is_the_one_of_the_clusters_and_comes_first(full):
    assert full.primary == "m"
    assert list(full.models) == ["m", "other"]
    full.cells.uns["scpress"]["cluster"]["model"] = "other"
    assert list(full.models) == ["other", "m"]
    full.cells.uns["scpress"]["cluster"]["model"] = "not there"
    assert full.primary == "m"


def test_sizes_leave_out_empty_categories(full):
    full.cells.obs["leiden"] = pd.Categorical(["1"] * full.cells.n_obs, categories=["0", "1"])
    from scpress import slots

    assert full.sizes(slots.LEIDEN) == {"1": full.cells.n_obs}
    assert full.column(slots.UMAP) is None


def test_what_a_column_and_the_record_cannot_hold_is_refused(full):
    from scpress import slots

    full.cells.obs["library_size"] = "many"
    with pytest.raises(InputError, match=r"obs\['library_size'\].* must hold whole numbers"):
        full.column(slots.LIBRARY_SIZE)
    full.cells.uns["scpress"]["cluster"]["model"] = 3
    with pytest.raises(InputError, match=r"'model' in 'cluster' in uns\['scpress'\] of the cells"):
        assert full.primary


def test_labels_of_genes_are_symbols_or_else_names(full):
    full.cells.var["gene_symbol"] = ["", None, *["S"] * (full.cells.n_vars - 2)]
    labels = full.gene_labels()
    assert list(labels[:3]) == [*full.cells.var_names[:2], "S"]


def test_shown_rows_are_all_or_a_sorted_sample_of_the_size(full):
    inputs = ReportInputs(full.cells)
    np.testing.assert_array_equal(inputs.shown_rows(10**6), np.arange(full.cells.n_obs))
    rows = inputs.shown_rows(50)
    assert len(np.unique(rows)) == 50
    assert (np.diff(rows) > 0).all()
