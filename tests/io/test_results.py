"""Files between steps are checked as they are read; those made in Python by their readers."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scpress.counts.frames import plain_frame
from scpress.errors import InputError
from scpress.io.results import read_counts, read_record, read_result
from scpress.tables.results import NORMALIZED
from scpress.tables.search import TrialScores


@pytest.fixture
def normalized():
    obs = pd.DataFrame({"library_size": [3, 4], "size_factor": [0.8, 1.2]}, index=["a", "b"])
    var = pd.DataFrame({"highly_variable": [True, False]}, index=["A", "B"])
    var["means"], var["variances"] = 1.0, 0.5
    made = ad.AnnData(np.eye(2, dtype=np.float32), obs=obs, var=var)
    record = {"flavor": "seurat_v3", "n_highly_variable": 1, "median_library_size": 3.5}
    made.uns["scpress"] = record | {"messages": np.array(["m"])}
    return made


def _read(adata, folder, result=NORMALIZED, **options):
    adata.write_h5ad(folder / "n.h5ad")
    return read_result(folder / "n.h5ad", result, **options)


def test_a_whole_file_is_read_as_it_is(normalized, tmp_path):
    found = _read(normalized, tmp_path)
    pd.testing.assert_frame_equal(found.obs, plain_frame(normalized.obs))
    assert _read(normalized, tmp_path, backed=True).isbacked


def test_what_is_wrong_is_said_of_the_file(normalized, tmp_path):
    normalized.obs["size_factor"] = [0.8, -1.2]
    with pytest.raises(InputError, match=r"n\.h5ad': obs\['size_factor'\].* holds -1\.2"):
        _read(normalized, tmp_path)
    # What no verb has written is left to the step that reads it.
    del normalized.uns["scpress"]
    assert _read(normalized, tmp_path).obs["size_factor"].min() < 0


@pytest.mark.parametrize("with_record", [True, False])
@pytest.mark.parametrize("axis", ["obs", "var"])
def test_names_that_repeat_tell_nothing_apart(normalized, tmp_path, axis, with_record):
    getattr(normalized, axis).index = ["twin", "twin"]
    if not with_record:
        del normalized.uns["scpress"]
    with pytest.warns(UserWarning, match="not unique"), pytest.raises(InputError, match="twin' tw"):
        _read(normalized, tmp_path)


def test_counts_stay_on_disk_and_may_be_a_users(normalized, tmp_path):
    normalized.obs["n_genes"] = 0.5  # scanpy's, of some other meaning
    del normalized.uns["scpress"]
    normalized.write_h5ad(tmp_path / "c.h5ad")
    assert read_counts(tmp_path / "c.h5ad").isbacked
    normalized.uns["scpress"] = {"genes_digest": "d", "messages": np.array(["m"])}
    normalized.write_h5ad(tmp_path / "c.h5ad")
    with pytest.raises(InputError, match=r"obs\['sample'\] is missing"):
        read_counts(tmp_path / "c.h5ad")


def test_a_table_is_read_or_its_file_is_named(tmp_path):
    path = tmp_path / "search_0_7.json"
    table = TrialScores(rung=0, slot=7)
    path.write_text(json.dumps(table.as_plain()))
    assert read_record(path, TrialScores) == table
    path.write_text(json.dumps(table.as_plain() | {"slot": "x"}))
    with pytest.raises(InputError, match=r"'slot' in '.*search_0_7\.json' is 'x'"):
        read_record(path, TrialScores)
