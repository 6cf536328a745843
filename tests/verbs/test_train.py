"""`train`: the model says who it is, checkpoints go when it is written; bad options."""

import pandas as pd
import pytest
from verbs.commands import DATA, Case, files_under, mixed, of_run, run

from scpress.model.fitted import load_model
from scpress.training.checkpoints import Checkpoint

CASES = [
    Case(
        "no_batch_column",
        of_run("train", *DATA, "--batch-key", "donor"),
        ("batch_key 'donor' is not a column of obs; found sample", "null for none"),
    ),
    Case(
        "no_covariate_column",
        of_run("train", *DATA, "--continuous-covariates", "age"),
        ("continuous covariate 'age' is not a column of obs; found sample", "Name a column"),
    ),
    Case(
        "covariate_of_text",
        of_run("train", *DATA, "--continuous-covariates", "label"),
        ("continuous covariate 'label' must be a number for every cell; found 'CD", "of numbers"),
    ),
    Case(
        "not_normalized",
        of_run("train", "--counts", "@counts.h5ad", "--normalized", "@counts.h5ad"),
        (r"var\['highly_variable'\] is missing", "Was the step that writes it run"),
    ),
    Case(
        "unknown_key",
        of_run("train", *DATA, "--n-latnt", "5"),
        ("unknown argument '--n-latnt'; did you mean '--n-latent'",),
    ),
    Case(
        "unknown_value",
        of_run("train", *DATA, "--preset", "scvii"),
        ("preset must be one of scvi, dca, .*; found 'scvii'; did you mean 'scvi'",),
    ),
    Case(
        "value_of_another_type",
        of_run("train", *DATA, "--max-steps", "many"),
        ("--max-steps: invalid int value: 'many'",),
    ),
    Case(
        "n_latent_above_genes",
        of_run("train", *DATA, "--n-latent", "101"),
        ("found n_latent 101 and 100 genes", "Lower n_latent or raise n_top_genes"),
    ),
    Case(
        "axes_that_do_not_go_together",
        of_run("train", *DATA, "--preset", "dca", "--prior", "kl"),
        ("prior kl needs encoder variational; found encoder deterministic",),
    ),
    Case(
        "one_thing_in_two_names",
        of_run("train", *DATA, "--preset", "dca", "--ae-type", "nb", "--likelihood", "zinb"),
        ("ae_type is DCA's name for likelihood and dispersion, and likelihood is given, too",),
    ),
    Case(
        "a_name_of_dca_without_counterpart",
        of_run("train", *DATA, "--preset", "dca", "--init", "glorot_uniform"),
        ("init cannot be 'glorot_uniform': weights always begin", "remove it"),
    ),
    Case("no_threads", of_run("train", *DATA, "--threads", "0"), ("at least 1; found 0",)),
    Case(
        "normalized_of_other_cells_train",
        mixed("normalized.h5ad", "train", *DATA, "--preset", "pca"),
        ("180", "90", "one run"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("train", *DATA, "--preset", "pca", "--n-latent", "5", "--batch-key", "null")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_a_kill_between_model_and_history_leaves_no_model(require_pair_repaired):
    names = {"--history": "history.tsv", "--output": "model.safetensors"}
    require_pair_repaired(WRITING, names)


TRAINING = (
    *("--preset", "pca", "--n-latent", "5", "--batch-key", "null"),
    *("--max-steps", "40", "--validate-every", "20", "--allow-failed-fit"),
)


def test_the_model_says_its_name_and_seed_and_has_its_history(run_folder, tmp_path):
    words = of_run("train", *DATA, *TRAINING, "--model", "mine", "--seed", "7")
    paths = ["--history", tmp_path / "h.tsv", "--output", tmp_path / "m" / "model.safetensors"]
    assert run([*words(run_folder, tmp_path), *paths]) == 0
    model = load_model(tmp_path / "m" / "model.safetensors")
    assert (model.record.model, model.record.seed) == ("mine", 7)
    assert pd.read_csv(tmp_path / "h.tsv", sep="\t")["step"].is_monotonic_increasing


def test_names_of_dca_train_the_model_that_ours_do(run_folder, tmp_path, capsys):
    """180 cells: an epoch of 162 is six batches of 30, the last one shorter."""
    common = ("--preset", "dca", "--batch-key", "null", "--batch-size", "30")
    common += ("--validate-every", "10", "--allow-failed-fit")
    asked = {
        "dca": ("--ae-type", "nb-conddisp", "--hidden-size", "12", "4", "12", "--epochs", "5"),
        "ours": ("--likelihood", "nb", "--hidden", "12", "--n-latent", "4", "--max-steps", "30"),
    }
    models = {}
    for name, flags in asked.items():
        words = of_run("train", *DATA, *common, *flags)(run_folder, tmp_path)
        path = tmp_path / name / "model.safetensors"
        assert run([*words, "--history", tmp_path / "h.tsv", "--output", path]) == 0
        models[name] = load_model(path)
    dca, ours = models.values()
    assert dca.config == ours.config
    assert dca.config.dispersion == "gene-cell"
    for key, weights in ours.network.state_dict().items():
        assert dca.network.state_dict()[key].equal(weights), key
    assert "epochs 5 of DCA is max_steps 30" in capsys.readouterr().err


def test_checkpoints_go_when_the_model_is_written(run_folder, tmp_path, monkeypatch):
    removed = []
    remove = Checkpoint.remove

    def noted(self):
        removed.extend(files_under(tmp_path))
        remove(self)

    monkeypatch.setattr(Checkpoint, "remove", noted)
    flags = ("--preset", "scvi", "--max-steps", "40", "--validate-every", "20")
    flags += ("--batch-key", "null", "--checkpoint-minutes", "0", "--allow-failed-fit")
    paths = ["--history", tmp_path / "h.tsv", "--output", tmp_path / "m" / "model.safetensors"]
    assert run([*of_run("train", *DATA, *flags)(run_folder, tmp_path), *paths]) == 0
    assert {"h.tsv", "m/model.safetensors"} < set(removed)
    assert files_under(tmp_path) == ["h.tsv", "m/model.safetensors"]


@pytest.mark.parametrize("given", [True, False])
def test_checkpoints_lie_where_they_were_asked_for_or_beside_the_model(
    run_folder, tmp_path, monkeypatch, given
):
    seen = []
    begin = Checkpoint.__init__

    def noted(self, folder, **keywords):
        seen.append((folder, keywords))
        begin(self, folder, **keywords)

    monkeypatch.setattr(Checkpoint, "__init__", noted)
    words = of_run("train", *DATA, *TRAINING, "--checkpoint-minutes", "0.25")(run_folder, tmp_path)
    words += ["--history", tmp_path / "h.tsv", "--output", tmp_path / "m" / "model.safetensors"]
    words += ["--checkpoints", tmp_path / "mine"] if given else []
    assert run(words) == 0
    folder = tmp_path / "mine" if given else tmp_path / "m" / "checkpoints"
    assert seen == [(folder, {"minutes": 0.25})]
