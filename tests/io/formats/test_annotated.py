"""AnnData files: which matrix and which genes are read."""

import importlib.util
from pathlib import Path

import pytest
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def test_a_missing_layer_names_those_there_are(cases):
    with pytest.raises(InputError, match="no counts at 'count'; it holds X, layer 'counts', raw"):
        open_raw(cases["h5ad_layer"][0], IngestOptions(layer="count"))


def test_files_of_old_anndata_versions_are_read():
    folder = Path(importlib.util.find_spec("scanpy").origin).parent / "datasets"
    path = folder / "10x_pbmc68k_reduced.h5ad"
    raw = open_raw(path, IngestOptions(layer="raw"))
    assert raw.shape == (700, 765)
    assert raw.places == ("X",)
    values = sparse.vstack(list(raw.chunks()))
    assert values.shape == raw.shape
    assert values.min() == 0
