"""What the rules share: checked input, command-line words, resources, jobs left in the queue."""

import os
import subprocess
from types import SimpleNamespace

import anndata as ad
import pytest
from builders import ROOT
from scipy import sparse

CONFIG = {
    "samples": "samples.tsv",
    "models": {"vae": {}, "linear": {"preset": "pca"}},
    "primary_model": "vae",
    "seeds": [7, 3],
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Run rules/common.smk, which is plain Python, as Snakemake would, beside one sample."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.h5ad").touch()
    (tmp_path / "samples.tsv").write_text("sample\tpath\ns1\traw.h5ad\n")
    path = ROOT / "workflow/rules/common.smk"

    def run(*, remote_exec=False, **changes):
        names = {
            "config": CONFIG | changes,
            "workflow": SimpleNamespace(
                source_path=lambda name: (path.parent / name).resolve(), remote_exec=remote_exec
            ),
        }
        exec(compile(path.read_text(), str(path), "exec"), names)
        return SimpleNamespace(**names)

    return run


def write_counts(path, n_obs=500):
    ad.AnnData(sparse.random(n_obs, 200, density=0.1, format="csr")).write_h5ad(path)


def value_of(flag, words):
    return words[words.index(flag) + 1]


# checked input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"trian": {}, "seeds": []}, "unknown key 'trian' in the configuration; did you mean 't"),
        ({"samples": "no.tsv"}, "no sample sheet 'no.tsv'; 'samples' in the configuration names"),
        ({"annotate": {"panel": "no.tsv"}}, "no such file: 'no.tsv', which 'annotate.panel' in"),
    ],
)
def test_the_first_problem_ends_the_run_in_one_line(load, changes, line):
    with pytest.raises(SystemExit) as end:
        load(**changes)
    assert end.value.code.startswith(f"scpress: error: {line}")
    assert len(end.value.code.splitlines()) == 1


def test_a_submitted_job_asks_only_about_its_own_input(load, tmp_path):
    """Another sample's file that vanished during the run must not end this one's job."""
    (tmp_path / "raw.h5ad").unlink()
    with pytest.raises(SystemExit):
        load()
    common = load(remote_exec=True, annotate={"panel": "no.tsv"})
    assert common.SAMPLES["s1"]["path"] == "raw.h5ad"
    assert common.PANEL == ["no.tsv"]


def test_files_of_the_configuration_are_inputs(load, tmp_path):
    (tmp_path / "genes.txt").touch()
    common = load(normalize={"gene_list": "genes.txt"}, annotate={"panel": None})
    assert (common.GENE_LIST, common.PANEL) == (["genes.txt"], [])
    # The name of a panel that comes with the package is no file.
    assert load(annotate={"panel": "lung"}).PANEL == []


# command-line words -------------------------------------------------------------------------------


def test_columns_of_the_sheet_become_options_and_metadata(load, tmp_path):
    (tmp_path / "samples.tsv").write_text(
        "# two of my samples\nsample\tpath\tlayer\tdonor\tage\n"
        "s1\traw.h5ad\tcounts\td 1\t\ns2\traw.h5ad\t\t\t34\n\n"
    )
    common = load(ingest={"layer": "raw"})
    first, second = (common.ingest_flags(SimpleNamespace(sample=sample)) for sample in ("s1", "s2"))
    assert first[:2] == ["--metadata", "donor=d 1"]
    assert value_of("--layer", first) == "counts"
    assert second[:2] == ["--metadata", "age=34"]
    assert value_of("--layer", second) == "raw"


def test_donors_are_summed_up_where_the_sheet_names_two_and_compared_where_asked(load, tmp_path):
    assert load().DONOR_FILES == []
    assert load().DONOR_TABLES == {}
    sheet = "sample\tpath\tdonor\ns1\traw.h5ad\td1\ns2\traw.h5ad\t"
    (tmp_path / "samples.tsv").write_text(sheet + "d1\n")
    assert load().DONOR_FILES == []
    (tmp_path / "samples.tsv").write_text(sheet + "d2\n")
    assert load().DONOR_FILES == ["results/cohort.h5ad"]
    assert load().DONOR_TABLES == {"--cohort": "results/cohort.h5ad"}
    asked = load(biomarkers={"condition_key": "condition"}, survival={"time_key": "days"})
    assert asked.DONOR_FILES == [
        "results/cohort.h5ad",
        "results/biomarkers.json",
        "results/survival.json",
    ]
    # The page reads the genes, too.
    assert asked.DONOR_TABLES == asked.DONOR_RECORDS | {
        "--biomarker-genes": "results/biomarkers.tsv"
    }
    assert asked.DONOR_RECORDS["--survival"] == "results/survival.json"
    asked = load(drug_response={"obs_prefix": "auc|"}, perturbation={"condition_key": "stim"})
    assert (
        asked.DONOR_TABLES
        == asked.DONOR_RECORDS
        == {
            "--cohort": "results/cohort.h5ad",
            "--drug-response": "results/drug_response.json",
            "--perturbation": "results/perturbation.json",
        }
    )
    asked = load(donor_subtypes={"max_subtypes": 5})
    assert asked.DONOR_FILES == ["results/cohort.h5ad", "results/donor_subtypes.json"]


def test_a_comparison_without_donors_ends_the_run_in_one_line(load):
    with pytest.raises(SystemExit, match="compares donors, and the sample sheet names 0; give it"):
        load(biomarkers={"condition_key": "condition"})


def test_null_is_said_only_against_a_default(load):
    common = load(train={"batch_key": None})
    words = common.flags("train", {"n_latent": None})
    assert value_of("--batch-key", words) == "null"
    assert "--n-latent" not in words


def test_each_kind_of_value_has_its_words_and_the_users_order_changes_none(load):
    sections = {"qc": {"min_genes": 5, "doublets": False}, "cluster": {"resolutions": [0.4, 1.5]}}
    words = load(**sections).flags("qc")
    assert value_of("--min-genes", words) == "5"
    assert "--no-doublets" in words
    assert "--doublets" in load(qc={"doublets": True}).flags("qc")
    assert load(qc={"doublets": False, "min_genes": 5}).flags("qc") == words
    words = load(**sections).flags("cluster")
    assert words[words.index("--resolutions") :][1:3] == ["0.4", "1.5"]


def test_a_models_options_come_before_those_of_the_section(load):
    common = load(
        models={"small": {"n_latent": 3}, "usual": {}},
        primary_model="usual",
        train={"n_latent": 12, "max_steps": 50},
    )
    small, usual = (common.train_flags(SimpleNamespace(model=name)) for name in common.MODELS)
    assert value_of("--n-latent", small) == "3"
    assert value_of("--n-latent", usual) == "12"
    assert value_of("--max-steps", small) == value_of("--max-steps", usual) == "50"


def test_dcas_names_are_words_where_they_are_given(load):
    asked = {"preset": "dca", "hidden_size": [9, 3, 9], "batchnorm": False, "ae_type": "nb"}
    common = load(models={"dca": asked, "vae": {}}, primary_model="vae")
    dca, vae = (common.train_flags(SimpleNamespace(model=name)) for name in common.MODELS)
    at = dca.index("--hidden-size")
    assert dca[at + 1 : at + 4] == ["9", "3", "9"]
    assert "--no-batchnorm" in dca
    assert value_of("--ae-type", dca) == "nb"
    assert not {"--hidden-size", "--no-batchnorm", "--ae-type", "--epochs"} & set(vae)


def test_genes_are_chosen_with_the_options_of_the_first_network_and_of_normalize(load):
    common = load(
        models={"line": {"preset": "pca"}, "net": {"n_latent": 3}, "other": {}},
        primary_model="net",
        normalize={"n_top_genes": 500, "flavor": "auto", "batch_key": None},
        genes={"numbers": [10, 20], "max_cells": 400},
    )
    words = common.genes_flags(SimpleNamespace())
    asked = {"--model": "net", "--n-top-genes": "500", "--flavor": "auto", "--rank-within": "null"}
    asked |= {"--min-cells-per-batch": "50", "--max-cells": "400", "--n-latent": "3"}
    assert {flag: value_of(flag, words) for flag in asked} == asked
    # batch_key is the covariate of the training.
    assert value_of("--batch-key", words) == "sample"
    assert common.GENES == ["results/genes.json"]
    assert load().GENES == []


def test_the_first_model_is_primary_where_nothing_scores_and_that_is_said(load, capsys):
    load(primary_model="auto", thin={"folds": 0}).say_primary()
    assert capsys.readouterr().out == (
        "scpress: primary_model is vae, the first of the list, as there are no scores "
        "(thin: folds: 0).\n"
    )
    for changes in ({"primary_model": "auto"}, {"thin": {"folds": 0}}):
        load(**changes).say_primary()
    assert capsys.readouterr().out == ""


def test_threads_of_the_configuration_are_said_to_every_verb(load):
    common = load(threads=3)
    for section in ("qc", "train", "report"):
        assert value_of("--threads", common.flags(section)) == "3"


def test_threads_of_a_rule_are_its_own_where_it_has_some(load):
    common = load(threads={"train": 4, "likelihood": 3, "score": 2})
    wildcards = SimpleNamespace(model="vae", split="all", seed="7")
    assert common.threads_of("train") == 4
    assert value_of("--threads", common.train_flags(wildcards)) == "4"
    # Trainings of another rule are as wide as that rule says.
    assert value_of("--threads", common.likelihood_flags(wildcards)) == "3"
    assert common.threads_flag("score") == ["--threads", "2"]
    assert value_of("--threads", common.flags("qc")) == "1"
    assert load(threads={"default": 5, "qc": 1}).threads_of("train") == 5


def test_pca_runs_with_one_seed_whoever_chose_it(load):
    common = load()
    assert (common.seeds("vae"), common.seeds("linear")) == ([7, 3], [7])
    assert common.model_files("a", every_seed=True) == [
        f"results/models/{run}/a" for run in ("vae/all/7", "vae/all/3", "linear/all/7")
    ]
    assert common.model_files("a", ["vae"]) == ["results/models/vae/all/7/a"]
    # The preset may stand in the train section alone.
    assert load(models={"vae": {}}, train={"preset": "pca"}).seeds("vae") == [7]


# resources ----------------------------------------------------------------------------------------


def test_memory_and_time_double_with_attempts_up_to_the_limits(load, tmp_path):
    common = load(max_mem_mb=5000, max_runtime=400)
    write_counts(tmp_path / "a.h5ad")
    inputs, attempts = [str(tmp_path / "a.h5ad"), "markers.tsv"], (1, 2, 3)
    megabytes = [common.memory("train")(None, inputs, attempt) for attempt in attempts]
    # 1,500 MB to begin with, 1 kB a cell, 24 bytes a stored value.
    first = 1500 + round((1000 * 500 + 24 * 10_000) / 1e6)
    assert megabytes == [first, 2 * first, 5000]
    minutes = [common.minutes("train")(None, inputs, attempt) for attempt in attempts]
    assert minutes == [120, 240, 400]
    # Snakemake asks again once the file exists only if this raises.
    with pytest.raises(FileNotFoundError):
        common.memory("train")(None, [str(tmp_path / "later.h5ad")], 1)


def test_a_job_is_as_large_as_its_sample_its_cells_or_all_samples(load, tmp_path):
    for name, n_obs in (("raw", 100), ("b", 200), ("c", 300)):
        write_counts(tmp_path / f"{name}.h5ad", n_obs)
    common = load()
    size = common.sample_size(SimpleNamespace(sample="s1"), ["not there yet.h5ad"])
    assert size == (100, 100 * 20)
    assert common.input_size(None, ["b.h5ad", "c.h5ad", "history.tsv"]) == (300, 300 * 20)
    both = SimpleNamespace(counts=["b.h5ad", "c.h5ad"])
    assert common.merged_size(None, both) == (500, 500 * 20)


# jobs left in the queue ---------------------------------------------------------------------------


@pytest.mark.parametrize("remote_exec", [False, True])
def test_jobs_of_a_killed_driver_are_cancelled_by_the_next_one(load, monkeypatch, remote_exec):
    common = load(remote_exec=remote_exec)
    asked = []
    here, comment = os.getcwd(), "rule_train_wildcards_vae"
    rows = [f"7|{here}|{comment}", f"8|/elsewhere|{comment}", f"9|{here}|my own"]

    def run(words, **_):
        asked.append(words)
        if words[0] == "scancel":
            rows[:] = [row for row in rows if row.split("|")[0] not in words]
        return SimpleNamespace(stdout="\n".join(rows))

    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/squeue")
    monkeypatch.setattr(subprocess, "run", run)
    common.cancel_left_over_jobs()
    # Not by a job, which would cancel itself.
    cancelled = [words for words in asked if words[0] == "scancel"]
    assert cancelled == ([] if remote_exec else [["scancel", "7"]])
