import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import scanpy as sc
from builders import ROOT

PAGE = ROOT / "docs" / "python.md"


@pytest.mark.filterwarnings("ignore")  # scanpy's and umap's own
def test_the_page_runs_as_it_stands_and_scanpy_takes_the_result(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    here = Path.cwd()
    names: dict = {}
    os.chdir(tmp_path)
    try:
        for block in blocks:
            exec(block, names)
        assert names["choice"].chosen == "vae"
        adata = names["adata"]
        assert set(adata.obs["subtype"].astype(str))
        plt.switch_backend("agg")
        sc.pl.umap(adata, color=["leiden", "cell_type"], show=False)
        plt.close("all")
        adata.write_h5ad("out.h5ad")
        again = sc.read_h5ad("out.h5ad")
        assert (again.layers["counts"] != adata.layers["counts"]).nnz == 0
        sc.tl.umap(again, maxiter=2)
        assert again.uns["rank_genes_groups"]["names"].shape[0] == again.n_vars
    finally:
        os.chdir(here)
