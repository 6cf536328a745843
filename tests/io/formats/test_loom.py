"""Loom files: genes are the rows on disk, cells are read by chunks."""

import pytest
from raw_files import IDS, N_OBS

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def test_loom_keeps_attributes(cases):
    raw = open_raw(cases["loom"][0], IngestOptions())
    assert list(raw.var["Accession"]) == IDS
    assert set(raw.obs["donor"]) == {"d"}
    assert raw.obsm["umap"].shape == (N_OBS, 2)


def test_a_missing_layer_names_those_there_are(cases):
    with pytest.raises(InputError, match="no layer 'spliced'; it holds X, halved"):
        open_raw(cases["loom"][0], IngestOptions(layer="spliced"))
