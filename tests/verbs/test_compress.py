"""`compress`: one JSON file, the same each time."""

import json

import pytest
from verbs.commands import DATA, MODEL, Case, mixed, of_run, run

CASES = [
    Case(
        "latent_of_other_cells_compress",
        mixed("latent.h5ad", "compress", *DATA, *MODEL, "--latent", "@latent.h5ad"),
        ("counts has 180 cells and latent 90",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb_writes_the_same_json_twice(run_folder, tmp_path):
    words = of_run("compress", *DATA, *MODEL, "--latent", "@latent.h5ad")(run_folder, tmp_path)
    words += ["--pca-ranks", "2", "5", "--precisions", "float32", "--n-neighbors", "3"]
    texts = []
    for name in ("one.json", "two.json"):
        assert run([*words, "--output", tmp_path / name]) == 0
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["model"] == "pca"
