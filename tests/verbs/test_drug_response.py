"""`drug_response`: the step's record and table, or one line and no file."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from verbs.commands import run

from scpress.io.h5ad import write_h5ad
from scpress.tables.response import DrugResponse


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An h5ad of 20 lines, and a wide table of their responses to three drugs."""
    folder = tmp_path_factory.mktemp("drugs")
    rng = np.random.default_rng(0)
    names = [f"l{one}" for one in range(20)]
    X = rng.normal(size=(20, 5))
    write_h5ad(ad.AnnData(X, obs=pd.DataFrame(index=names)), folder / "lines.h5ad")
    table = pd.DataFrame(X[:, :3] + rng.normal(0, 0.1, (20, 3)), names, ["A", "B", "C"])
    table.to_csv(folder / "wide.csv", index_label="line")
    features = pd.DataFrame({"f": [1.0, 2.0, 3.0]}, index=["A", "B", "C"])
    features.to_csv(folder / "features.tsv", sep="\t", index_label="drug")
    return folder


def words(folder, made, *more):
    paths = ["--expression", folder / "lines.h5ad", "--responses", folder / "wide.csv"]
    paths += ["--output", made / "d.json", "--scores", made / "d.tsv"]
    few = ["--n-folds", "2", "--n-repeats", "1", "--n-permutations", "1", "--min-lines", "10"]
    return ["drug_response", *paths, *few, "--learners", "ridge", "--views", "genes", *more]


def test_the_verb_writes_a_record_and_a_table(folder, tmp_path):
    assert run(words(folder, tmp_path, "--drug-features", folder / "features.tsv")) == 0
    record = DrugResponse.from_plain(json.loads((tmp_path / "d.json").read_text()), "it")
    assert record.has_drug_features
    assert (record.n_lines, record.n_drugs, record.n_pairs) == (20, 3, 60)
    table = pd.read_csv(tmp_path / "d.tsv", sep="\t")
    assert set(table["split"]) == {"line", "drug", "both"}
    assert "ridge+drug_features" in set(table["model"])


def test_an_ic50_below_zero_is_one_line_and_no_file(folder, tmp_path, capsys):
    assert run(words(folder, tmp_path, "--scale", "log")) == 2
    assert "above 0 where scale is log; found -" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
