"""`anomaly` on the files of a run: an ensemble is of one model."""

import anndata as ad
import pytest
from verbs.commands import DATA, Case, files_under, must, of_run

FOLDS = ("--folds", "2")
CASES = [
    Case(
        "no_folds",
        of_run("anomaly", *DATA, "--model-files", "@model.safetensors"),
        ("folds is 0, which scores no cell",),
    ),
    Case(
        "no_count_model",
        of_run("anomaly", *DATA, *FOLDS, "--model-files", "@model.safetensors"),
        ("likelihood 'gaussian' gives a count no probability",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, tmp_path, require_refused):
    flags = ("--preset", "dca", "--hidden", "8", "--n-latent", "2", "--batch-key", "null")
    flags += ("--max-steps", "20", "--validate-every", "20", "--allow-failed-fit")
    flags += ("--dispersion", "gene")
    models = tmp_path / "m1.safetensors", tmp_path / "m2.safetensors", tmp_path / "m3.safetensors"
    for path, more in zip(models, ([], ["--seed", "4"], ["--n-latent", "3"]), strict=True):
        words = of_run("train", *DATA, *flags)(run_folder, tmp_path)
        must([*words, *more, "--history", tmp_path / "h.tsv"], path)
    words = of_run("anomaly", *DATA, *FOLDS, "--n-like", "20")(run_folder, tmp_path)
    must([*words, "--model-files", *models[:2], "--model", "d"], tmp_path / "anomaly.h5ad")
    found = ad.read_h5ad(tmp_path / "anomaly.h5ad")
    record = found.uns["scpress"]["anomaly"]
    assert (record["model"], list(record["seeds"])) == ("d", [0, 4])
    assert "checkpoints" not in " ".join(files_under(tmp_path))
    of_two = [*words, "--model-files", models[0], models[2]]
    case = Case("of_two", lambda *_: of_two, ("was trained with other options than",))
    require_refused(case)
