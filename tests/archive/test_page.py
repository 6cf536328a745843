"""What docs/archive.md says is what is written: a reader made from the page reads it."""

import json
import random
import zlib

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from archive import page
from scipy import sparse

from scpress.archive.reader import Archive, counts_checksum
from scpress.archive.source import source_of
from scpress.archive.texts import pack_text
from scpress.archive.writer import write_archive

DRAWN = random.Random(0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        "".join(f"RP11-{DRAWN.randrange(900)}P{i % 13}.{i % 5}\n" for i in range(200)).encode(),
        "".join("".join(DRAWN.choices("ACGT", k=14)) + "-1\n" for _ in range(200)).encode(),
        bytes(range(256)) * 3,
        DRAWN.randbytes(1500),
    ],
    ids=["nothing", "empty line", "genes", "barcodes", "every byte", "no text"],
)
def test_texts_are_coded_as_the_page_says(text):
    assert page.read_text(pack_text(text), len(text)) == text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An archive with names, numbers and texts that each take a way of their own."""
    drawn = np.random.default_rng(0)
    names = ["".join(drawn.choice(list("ACGT"), 16)) + "-1" for _ in range(300)]
    obs = pd.DataFrame({"size": drawn.integers(0, 9**9, 300)}, index=names)
    var = pd.DataFrame({"id": [f"ENSG{j:011d}" for j in range(40)]})
    var.index = [f"gene{j}" for j in range(40)]
    X = sparse.csr_matrix(drawn.poisson(0.5, (300, 40)))
    adata = ad.AnnData(X, obs=obs, var=var, obsm={"X_pca": drawn.random((300, 3))})
    path = tmp_path_factory.mktemp("made") / "a.scp"
    write_archive(path, source_of(adata))
    return adata, path


def test_the_names_are_read_with_the_standard_library(made):
    adata, path = made
    sections = dict(page.read_sections(path.read_bytes()))
    files = page.read_files(sections["REST"])
    assert page.read_names(files, "obs") == list(adata.obs_names)
    assert page.read_names(files, "var") == list(adata.var_names)
    with Archive(path) as archive:
        assert archive.files() == files


def test_the_index_is_where_the_page_says(made):
    adata, path = made
    sections = page.read_sections(path.read_bytes())
    named = dict(sections)
    head = json.loads(named["HEAD"])
    assert (head["n_obs"], head["n_vars"], head["nnz"]) == (300, 40, adata.X.nnz)
    assert head["model_crc32"] == zlib.crc32(named["MODL"])
    assert head["rest_crc32"] == zlib.crc32(named["REST"])
    assert int.from_bytes(named["INDX"][:4], "little") == zlib.crc32(named["HEAD"])
    cells = b"".join(payload for kind, payload in sections if kind == "CELL")
    at = row = 0
    for n_bytes, nonzeros, coded, counts in zip(*page.read_index(named["INDX"], head), strict=True):
        assert zlib.crc32(cells[at : at + n_bytes]) == coded
        block = adata.X[row : row + head["cells_per_chunk"]]
        assert (block.nnz, counts_checksum(block)) == (nonzeros, counts)
        at, row = at + n_bytes, row + head["cells_per_chunk"]
    assert at == len(cells)
