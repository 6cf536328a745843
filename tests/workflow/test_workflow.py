"""The workflow: entry points, errors before anything runs, what runs again, and a whole run."""

import argparse
import filecmp
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
import yaml
from builders import ROOT
from scipy import sparse

from scpress.config.flags import add_flags, options_from
from scpress.config.options import VERBS

SHIPPED = yaml.safe_load((ROOT / "config/config.yaml").read_text())
# Small enough for a test; every rule runs, and a network trains.
SMALL = {
    "samples": "samples.tsv",
    "seeds": [0],
    "models": {
        "vae": {"hidden": [32], "max_steps": 150, "learning_rate": 0.01, "kl_warmup_steps": 20},
        "pca": {"preset": "pca", "n_latent": 5},
    },
    "primary_model": "vae",
    "qc": {"min_genes": 10, "doublets": False},
    "normalize": {"n_top_genes": 200},
    "cluster": {"resolutions": [0.4, 0.8], "n_subsamples": 2},
    "evaluate": {"resolutions": [0.4]},
    "subtype": {"n_subsamples": 2},
    "compress": {"pca_ranks": [2, 5]},
}


def snakemake(folder, *words, code=0):
    """Run Snakemake in a folder; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--show-failed-logs", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == code, text[-5000:]
    return text


def job_counts(text):
    """{rule: jobs} of a dry run."""
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", text, re.S)
    return {} if table is None else {k: int(v) for k, v in re.findall(r"(\w+) +(\d+)", table[1])}


def write_config(folder, **changes):
    """A folder with one sample that does not have to be read, and the small configuration."""
    folder.mkdir(exist_ok=True)
    (folder / "raw.h5ad").touch()
    (folder / "samples.tsv").write_text("sample\tpath\ns1\traw.h5ad\n")
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(SMALL | changes))


# entry points -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A copy of what a user has after cloning, with a sample where the shipped sheet wants one."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "data").mkdir()
    (folder / "data/demo.h5ad").touch()
    return folder


@pytest.mark.parametrize(
    "words", [[], ["--snakefile", "workflow/Snakefile"]], ids=["top", "workflow"]
)
def test_both_entry_points_have_jobs_and_find_the_default_profile(shipped, words):
    text = snakemake(shipped, "--dry-run", *words)
    assert "Using workflow specific profile" in text
    assert "profiles/default" in text
    counts = job_counts(text)
    # Two seeds of two networks, one of PCA.
    assert counts["train"] == counts["embed"] == 5
    assert counts["evaluate"] == counts["compress"] == 3
    assert sum(counts.values()) == 26


def test_the_logged_commands_say_the_shipped_options(shipped):
    """Each command of a dry run, parsed by its verb, gives the configuration's options."""
    text = snakemake(shipped, "--dry-run", "--printshellcmds")
    commands = [shlex.split(line) for line in re.findall(r"^ +(scpress .*)$", text, re.M)]
    assert {words[1] for words in commands} == set(SHIPPED) & set(VERBS) - {"denoise"}
    for words in commands:
        verb = words[1]
        parser = argparse.ArgumentParser(allow_abbrev=False)
        add_flags(parser, VERBS[verb])
        parser.add_argument("--threads", type=int)
        arguments, _ = parser.parse_known_args(
            [word for word in words if not word.startswith("2>")]
        )
        assert arguments.threads == SHIPPED["threads"]
        section = dict(SHIPPED[verb])
        if verb == "train":
            section |= SHIPPED["models"][words[words.index("--model") + 1]]
        if verb == "ingest":
            section["label_key"] = "cell_type_annotations"
        section = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
        assert options_from(arguments, VERBS[verb]) == VERBS[verb](**section), verb


def test_the_workflow_is_a_module_of_another(tmp_path):
    write_config(tmp_path)
    (tmp_path / "Snakefile").write_text(
        'configfile: "config/config.yaml"\n'
        f'module scpress:\n    snakefile: "{ROOT}/workflow/Snakefile"\n    config: config\n'
        "use rule * from scpress as scpress_*\n"
        "rule all:\n    default_target: True\n    input: rules.scpress_all.input\n"
    )
    counts = job_counts(snakemake(tmp_path, "--dry-run"))
    assert counts["scpress_train"] == 2
    assert counts["scpress_report"] == counts["all"] == 1


def test_the_slurm_profile_is_understood(shipped):
    assert (
        sum(job_counts(snakemake(shipped, "--workflow-profile", "profiles/slurm", "-n")).values())
        == 26
    )


def test_the_slurm_profile_repeats_the_default_one(shipped):
    default, cluster = (
        yaml.safe_load((shipped / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    del default["cores"]
    assert cluster.items() >= default.items()
    # Without it the plugin asks sacct, and waits for ever where there is no accounting.
    assert cluster["slurm-status-command"] == "squeue"
    assert cluster["slurm-requeue"] is True
    assert cluster["retries"] == 2
    assert "slurm-array-jobs" not in cluster


def test_the_profile_for_other_schedulers_submits(tmp_path, pbmc, monkeypatch):
    pytest.importorskip(
        "snakemake_executor_plugin_cluster_generic", reason="`make` installs the plugin"
    )
    write_config(tmp_path)
    pbmc[:100].copy().write_h5ad(tmp_path / "raw.h5ad")
    # A scheduler that runs at once what it is given, and writes down what it was asked for.
    qsub = tmp_path / "qsub"
    qsub.write_text(
        f"#!{sys.executable}\nimport subprocess, sys\n"
        f"open({str(tmp_path / 'asked')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "null = subprocess.DEVNULL\n"
        "print(subprocess.Popen(['bash', sys.argv[-1]], stdout=null, stderr=null).pid)\n"
    )
    qsub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    target = "results/samples/s1/qc.h5ad"
    words = ["--workflow-profile", ROOT / "profiles/other", "--seconds-between-status-checks", "1"]
    snakemake(tmp_path, "--snakefile", ROOT / "workflow/Snakefile", *words, target)
    assert ad.read_h5ad(tmp_path / target).n_obs == 100
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert re.search(r"-l h_rss=\d{4}M,h_rt=20:0 -pe smp 1 \S+$", asked)


def test_two_hundred_samples_are_little_more_than_two_hundred_jobs(tmp_path):
    write_config(
        tmp_path,
        seeds=[0, 1, 2],
        models={"vae": {}, "dca": {"preset": "dca"}, "ldvae": {"preset": "ldvae"}},
    )
    ad.AnnData(sparse.random(500, 200, density=0.1, format="csr")).write_h5ad(tmp_path / "raw.h5ad")
    for number in range(200):
        shutil.copy(tmp_path / "raw.h5ad", tmp_path / f"s{number}.h5ad")
    rows = "".join(f"s{number}\ts{number}.h5ad\n" for number in range(200))
    (tmp_path / "samples.tsv").write_text(f"sample\tpath\n{rows}")
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = snakemake(tmp_path, "--snakefile", ROOT / "workflow/Snakefile", "--dry-run")
    # Of the processor and not of the clock: other tests run beside this one.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - start.ru_utime - start.ru_stime
    counts = job_counts(text)
    assert counts["ingest"] == counts["qc"] == 200
    assert counts["train"] == counts["embed"] == 9
    # A group is one submitted job, and `all` is none.
    submitted = text.count("Group job sample") + sum(
        number for rule, number in counts.items() if rule not in ("ingest", "qc", "all")
    )
    assert submitted == 200 + 18 + 3 + 3 + 7
    assert seconds < 20


@pytest.mark.parametrize("profile", ["default", "slurm", "other"])
def test_the_profiles_show_the_line_of_a_failed_verb(profile):
    settings = yaml.safe_load((ROOT / f"profiles/{profile}/config.yaml").read_text())
    assert settings["show-failed-logs"] is True


def test_a_submitted_job_asks_only_about_its_own_input(tmp_path, monkeypatch):
    """Another sample's file that vanished during the run must not end this one's job."""
    write_config(tmp_path)
    (tmp_path / "raw.h5ad").unlink()
    with pytest.raises(SystemExit):
        load_common(tmp_path, monkeypatch, dict(SMALL))
    common = load_common(tmp_path, monkeypatch, dict(SMALL), remote_exec=True)
    assert common.SAMPLES["s1"]["path"] == "raw.h5ad"


def test_memory_and_time_double_with_attempts_up_to_the_limits(tmp_path, monkeypatch):
    write_config(tmp_path)
    limits = {"max_mem_mb": 5000, "max_runtime": 1000}
    common = load_common(tmp_path, monkeypatch, SMALL | limits)
    ad.AnnData(sparse.random(500, 200, density=0.1, format="csr")).write_h5ad(tmp_path / "a.h5ad")
    inputs, attempts = [str(tmp_path / "a.h5ad"), "markers.tsv"], (1, 2, 3)
    megabytes = [common.memory("train")(None, inputs, attempt) for attempt in attempts]
    # 1,500 MB to begin with, 1 kB a cell, 24 bytes a stored value.
    first = 1500 + round((1000 * 500 + 24 * 10_000) / 1e6)
    assert megabytes == [first, 2 * first, 5000]
    minutes = [common.minutes("train")(None, inputs, attempt) for attempt in attempts]
    assert minutes == [120, 240, 480]
    # Snakemake asks again once the file exists only if this raises.
    with pytest.raises(FileNotFoundError):
        common.memory("train")(None, [str(tmp_path / "later.h5ad")], 1)


def test_jobs_of_a_killed_driver_are_cancelled_before_anything_is_submitted(tmp_path, monkeypatch):
    write_config(tmp_path)
    common = load_common(tmp_path, monkeypatch, dict(SMALL))
    asked = []
    here, comment = os.getcwd(), "rule_train_wildcards_vae"
    rows = [f"7|{here}|{comment}", f"8|/elsewhere|{comment}", f"9|{here}|my own"]

    def run(words, **_):
        asked.append(words)
        if words[0] == "scancel":
            rows.pop(0)
        return SimpleNamespace(stdout="\n".join(rows))

    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/squeue")
    monkeypatch.setattr(subprocess, "run", run)
    common.cancel_left_over_jobs()
    assert [words for words in asked if words[0] == "scancel"] == [["scancel", "7"]]


# errors before anything runs ---------------------------------------------------------------------


def load_common(folder, monkeypatch, config, *, remote_exec=False):
    """Run rules/common.smk, which is plain Python, as Snakemake would."""
    monkeypatch.chdir(folder)
    path = ROOT / "workflow/rules/common.smk"
    names = {
        "config": config,
        "workflow": SimpleNamespace(
            source_path=lambda name: (path.parent / name).resolve(), remote_exec=remote_exec
        ),
    }
    exec(compile(path.read_text(), str(path), "exec"), names)
    return SimpleNamespace(**names)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"trian": {}}, "unknown key 'trian' in the configuration; did you mean 'train'?"),
        ({"train": {"max_step": 1}}, "unknown key 'max_step' in 'train' in .* mean 'max_steps'?"),
        ({"models": {"a": {"n_latnt": 1}}}, "'n_latnt' in 'models.a' in .* mean 'n_latent'?"),
        ({"train": {"max_steps": "x"}}, "'train.max_steps' .* of type integer; found 'x'"),
        (
            {"train": {"learning_rate": "1e-3"}},
            "found '1e-3'. YAML reads 1e-3 as text: write 0.001",
        ),
        ({"train": {"preset": "scvii"}}, "one of scvi, .*; found 'scvii'; did you mean 'scvi'?"),
        ({"train": {"dropout_rate": 2}}, "'train.dropout_rate' .* 2 is greater than the maximum"),
        ({"qc": None}, "'qc' in the configuration must be of type object; found None"),
        ({"seeds": []}, "'seeds' in the configuration is empty"),
        ({"models": {}}, "'models' in the configuration is empty"),
        ({"models": {"vae": None, "pca": None}}, "'models' in the configuration is empty"),
        ({"models": {"a b": {}}}, "'a b' is not a possible name"),
        ({"models": {"umap": {}}}, "'umap' is not a possible name"),
        ({"primary_model": "va"}, "'primary_model' is 'va', .*did you mean 'vae'?"),
        ({"samples": "no.tsv"}, "no sample sheet 'no.tsv'"),
        ({"annotate": {"panel": "no.tsv"}}, "no such file: 'no.tsv', which 'annotate.panel'"),
    ],
)
def test_a_bad_configuration_is_one_line(tmp_path, monkeypatch, change, line):
    write_config(tmp_path)
    with pytest.raises(SystemExit) as end:
        load_common(tmp_path, monkeypatch, SMALL | change)
    assert re.search(re.escape(line).replace(r"\.\*", ".*"), end.value.code)
    assert "\n" not in end.value.code


@pytest.mark.parametrize(
    ("sheet", "line"),
    [
        ("", "column 'sample' is missing in 'samples.tsv'; found nothing"),
        ("sample,path\ns1,raw.h5ad\n", "found sample,path. Columns are separated by tabs"),
        ("sample\tfile\ns1\traw.h5ad\n", "column 'path' is missing in 'samples.tsv'"),
        ("sample\tpath\n", "lists no samples"),
        ("sample\tpath\ns1\n", "row 1 of 'samples.tsv' has not as many columns"),
        ("sample\tpath\ns1\t\n", "column 'path' is missing or empty in row 1"),
        ("sample\tpath\ns1\tno.h5ad\n", "no such file: 'no.h5ad' (row 1 of 'samples.tsv')"),
        ("sample\tpath\ns1\traw.h5ad\ns1\traw.h5ad\n", "sample 's1' is twice"),
        ("sample\tpath\ns/1\traw.h5ad\n", "'s/1' is not a possible name"),
        ("sample\tpath\tformat\ns1\traw.h5ad\tcvs\n", "did you mean 'csv'?"),
    ],
)
def test_a_bad_sample_sheet_is_one_line(tmp_path, monkeypatch, sheet, line):
    write_config(tmp_path)
    (tmp_path / "samples.tsv").write_text(sheet)
    with pytest.raises(SystemExit) as end:
        load_common(tmp_path, monkeypatch, dict(SMALL))
    assert line in end.value.code
    assert "\n" not in end.value.code


def test_snakemake_prints_that_line_and_no_traceback(tmp_path):
    write_config(tmp_path, trian={})
    text = snakemake(tmp_path, "--snakefile", ROOT / "workflow/Snakefile", "--dry-run", code=1)
    lines = [line for line in text.splitlines() if not line.startswith("Using workflow specific")]
    assert lines == [
        "scpress: error: unknown key 'trian' in the configuration; did you mean 'train'?"
    ]


def test_columns_of_the_sheet_become_options_and_metadata(tmp_path, monkeypatch):
    write_config(tmp_path)
    (tmp_path / "samples.tsv").write_text(
        "# two of my samples\nsample\tpath\tlayer\tdonor\tage\n"
        "s1\traw.h5ad\tcounts\td 1\t\ns2\traw.h5ad\t\t\t34\n\n"
    )
    common = load_common(tmp_path, monkeypatch, dict(SMALL))
    first, second = (common.ingest_flags(SimpleNamespace(sample=sample)) for sample in ("s1", "s2"))
    assert first[:2] == ["--metadata", "donor=d 1"]
    assert first[first.index("--layer") + 1] == "counts"
    assert second[:2] == ["--metadata", "age=34"]
    assert "--layer" not in second


def test_null_is_said_only_against_a_default(tmp_path, monkeypatch):
    write_config(tmp_path)
    common = load_common(tmp_path, monkeypatch, SMALL | {"train": {"batch_key": None}})
    words = common.flags("train", {"n_latent": None})
    assert words[words.index("--batch-key") + 1] == "null"
    assert "--n-latent" not in words


# a whole run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pbmc):
    """The small configuration run from real counts to the page."""
    folder = tmp_path_factory.mktemp("run")
    write_config(folder)
    pbmc[::2].copy().write_h5ad(folder / "raw.h5ad")
    (folder / "samples.tsv").write_text("sample\tpath\tlabel_key\ns1\traw.h5ad\tbulk_labels\n")
    snakemake(folder, "--snakefile", ROOT / "workflow/Snakefile")
    return folder


def rerun(folder, *words, snakefile=ROOT / "workflow/Snakefile"):
    return job_counts(snakemake(folder, "--snakefile", snakefile, "--dry-run", *words))


@pytest.mark.slow
def test_a_run_leaves_the_file_and_the_page(finished):
    results = finished / "results"
    adata = ad.read_h5ad(results / "scpress.h5ad")
    assert {"X_vae", "X_pca", "X_umap"} <= set(adata.obsm)
    assert {"leiden", "cell_type", "subtype", "label", "sample"} <= set(adata.obs)
    raw = ad.read_h5ad(finished / "raw.h5ad")
    cells = adata.obs_names.str.removeprefix("s1_")
    expected = raw[cells, adata.var["gene_symbol"].astype(str)].X
    assert (adata.layers["counts"] != expected).nnz == 0
    assert "<html" in (results / "report.html").read_text()[:1000]
    assert not (results / "samples/s1/counts.h5ad").exists()  # temporary
    assert rerun(finished) == {}


@pytest.mark.slow
def test_a_models_option_repeats_that_model_and_what_follows(finished):
    models = {**SMALL["models"], "pca": {"preset": "pca", "n_latent": 6}}
    (finished / "changed.yaml").write_text(yaml.safe_dump({"models": models}))
    assert rerun(finished, "--configfile", "config/config.yaml", "changed.yaml") == {
        "train": 1,
        "embed": 1,
        "evaluate": 1,
        "compress": 1,
        "assemble": 1,
        "report": 1,
        "all": 1,
    }


@pytest.mark.slow
def test_a_raised_step_version_repeats_that_step(finished, tmp_path):
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    rules = tmp_path / "workflow/rules/compression.smk"
    snakefile = tmp_path / "workflow/Snakefile"
    # Snakemake's environment trigger compares contents, so the copy alone repeats nothing.
    assert rerun(finished, snakefile=snakefile) == {}
    rules.write_text(re.sub(r"step_version=\d+", "step_version=99", rules.read_text()))
    assert rerun(finished, snakefile=snakefile) == {"compress": 2, "report": 1, "all": 1}


@pytest.mark.slow
def test_a_second_run_from_scratch_gives_the_same_bits(finished, tmp_path):
    write_config(tmp_path)
    for name in ("raw.h5ad", "samples.tsv"):
        shutil.copy(finished / name, tmp_path / name)
    targets = ["results/subtypes.h5ad", "results/models/vae/all/0/latent.h5ad"]
    snakemake(tmp_path, "--snakefile", ROOT / "workflow/Snakefile", *targets)
    model = "results/models/vae/all/0/model.safetensors"
    assert filecmp.cmp(finished / model, tmp_path / model, shallow=False)
    for name, axis, key in (
        ("models/vae/all/0/latent.h5ad", "obsm", "X_vae"),
        ("clusters.h5ad", "obs", "leiden"),
        ("annotation.h5ad", "obs", "cell_type"),
        ("subtypes.h5ad", "obs", "subtype"),
    ):
        first, second = (
            np.asarray(getattr(ad.read_h5ad(folder / "results" / name), axis)[key])
            for folder in (finished, tmp_path)
        )
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_snakemakes_own_report_is_written(finished):
    snakemake(finished, "--snakefile", ROOT / "workflow/Snakefile", "--report", "overview.html")
    text = (finished / "overview.html").read_text()
    assert "Every number of the page, as JSON" in text


def test_a_bad_sample_shows_the_verbs_line_and_leaves_nothing(tmp_path, pbmc):
    write_config(tmp_path)
    bad = pbmc[:50].copy()
    bad.X = bad.X.astype(np.float32) / 3
    bad.write_h5ad(tmp_path / "raw.h5ad")
    text = snakemake(tmp_path, "--snakefile", ROOT / "workflow/Snakefile", code=1)
    assert re.search(r"^scpress ingest: error: counts must be non-negative integers", text, re.M)
    assert "Traceback" not in text
    assert not list((tmp_path / "results").rglob("*.h5ad"))
    assert not list((tmp_path / "results").rglob("*.tmp"))
