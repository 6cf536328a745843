import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import cli
from scpress.receptors.contigs import RESIDUES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Counts of 30 cells, and their chains in both formats."""
    folder = tmp_path_factory.mktemp("receptors")
    rng = np.random.default_rng(0)
    texts = ["CAS" + "".join(rng.choice(list(RESIDUES), size=6)) + "F" for _ in range(30)]
    table = pd.DataFrame({"barcode": [f"c{n}" for n in range(30)], "chain": "TRB", "cdr3": texts})
    table = table.assign(v_gene="TRBV2", j_gene="TRBJ1-1", productive="True", umis=2)
    table.to_csv(folder / "contigs.csv", index=False)
    names = {"barcode": "cell_id", "chain": "locus", "cdr3": "junction_aa", "v_gene": "v_call"}
    airr = table.rename(columns={**names, "j_gene": "j_call", "umis": "umi_count"})
    airr.to_csv(folder / "airr.tsv", sep="\t", index=False)
    counts = ad.AnnData(sparse.csr_matrix(np.ones((30, 2), dtype=np.int32)))
    counts.obs_names = [f"s1_c{n}" for n in range(30)]
    counts.write_h5ad(folder / "counts.h5ad")
    return folder


def call(folder, *tables, output="receptors.h5ad"):
    given = ["--counts", str(folder / "counts.h5ad"), "--receptors", *tables]
    made = ["--output", str(folder / output), "--sequences", str(folder / "sequences.tsv")]
    return cli.main(["receptors", *given, "--method", "kmers", "--n-latent", "3", *made])


def test_both_formats_give_one_result(folder, capsys):
    for name in ("contigs.csv", "airr.tsv"):
        assert call(folder, f"s1={folder / name}", output=f"{name}.h5ad") == 0
        assert f"receptors: {name}: 30 chains of 30 rows.\n" in capsys.readouterr().err
    first, second = (ad.read_h5ad(folder / f"{one}.h5ad") for one in ("contigs.csv", "airr.tsv"))
    np.testing.assert_array_equal(first.obsm["X_receptor"], second.obsm["X_receptor"])
    assert np.isfinite(first.obsm["X_receptor"][:, 3:]).all()
    assert len(pd.read_csv(folder / "sequences.tsv", sep="\t")) == 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("contigs.csv",), "--receptors takes NAME=PATH; found 'contigs.csv'."),
        (("s1=x.csv", "s1=x.csv"), "--receptors has 's1=x.csv' twice"),
        (("s1=x.csv",), "no such file: 'x.csv'"),
    ],
)
def test_what_names_no_table_is_refused(folder, capsys, words, message):
    assert call(folder, *words, output="none.h5ad") == 2
    assert message in capsys.readouterr().err
    assert not (folder / "none.h5ad").exists()
