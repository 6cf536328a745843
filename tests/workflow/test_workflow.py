"""The workflow: entry points, errors before anything runs, what runs again, and a whole run."""

import argparse
import filecmp
import itertools
import re
import resource
import shlex
import shutil
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
import yaml
from builders import QUICK_RUN, ROOT
from scipy import sparse

from scpress.config.flags import add_flags, options_from, options_from_json
from scpress.config.options import VERBS, ClusterOptions, SubtypeOptions

SHIPPED = yaml.safe_load((ROOT / "config/config.yaml").read_text())
# Verbs that the shipped configuration does not ask for.
ON_REQUEST = {"anomaly", "denoise", "false_signals", "genes", "learning_curve", "search"}
ON_REQUEST |= {"receptors", "recommend"}
ON_REQUEST |= {"programs"}
ON_REQUEST |= {"reference", "transfer"}
# Verbs of donors, whom the shipped sample sheet does not name.
ON_REQUEST |= {"cohort", "biomarkers", "classify", "survival", "donor_subtypes"}
ON_REQUEST |= {"drug_response", "perturbation"}
# Small enough for a test; every rule runs, and a network trains.
SMALL = {
    "samples": "samples.tsv",
    "seeds": [0],
    "models": {
        "vae": {"hidden": [32], "max_steps": 150, "learning_rate": 0.01, "kl_warmup_steps": 20},
        "pca": {"preset": "pca", "n_latent": 5},
    },
    "primary_model": "vae",
    **QUICK_RUN,
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
    # Every model and seed, and three jobs for all of them.
    assert counts["score"] == 5
    assert counts["thin"] == counts["baselines"] == counts["choose"] == 1
    # Of the networks' two seeds.
    assert counts["ensemble"] == 2
    assert sum(counts.values()) == 37


def test_the_logged_commands_say_the_shipped_options(shipped):
    """Each command of a dry run, parsed by its verb, gives the configuration's options."""
    text = snakemake(shipped, "--dry-run", "--printshellcmds")
    commands = [shlex.split(line) for line in re.findall(r"^ +(scpress .*)$", text, re.M)]
    assert {words[1] for words in commands} == (set(SHIPPED) & set(VERBS) - ON_REQUEST) | {
        "score",
        "ensemble",
    }
    for words in commands:
        verb = words[1]
        if verb in ("score", "ensemble"):
            continue  # the options are those of the model's file
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
        if verb == "compress":
            # The rivals are the same for all models: they are fitted once.
            section["rivals"] = words[words.index("--model") + 1] == next(iter(SHIPPED["models"]))
        if verb == "ingest":
            section["label_key"] = "cell_type_annotations"
        section = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
        assert options_from(arguments, VERBS[verb]) == VERBS[verb](**section), verb


def test_each_size_of_the_curve_is_a_training_of_its_own(shipped, tmp_path):
    (tmp_path / "sizes.yaml").write_text(yaml.safe_dump({"compress": {"n_latents": [2, 5, 2]}}))
    words = ["--configfile", "config/config.yaml", tmp_path / "sizes.yaml"]
    text = snakemake(shipped, "--dry-run", "--printshellcmds", *words)
    counts = job_counts(text)
    # Two networks at two sizes, with one seed; nothing else is made of them.
    assert counts["train"] == 5 + 4
    assert counts["embed"] == 5
    commands = re.findall(r"^ +(scpress (?:train|compress) .*)$", text, re.M)
    trained = [shlex.split(line) for line in commands if "--model zinb_vae-5" in line]
    assert len(trained) == 1
    assert trained[0][trained[0].index("--n-latent") + 1] == "5"
    for line in commands:
        if line.startswith("scpress compress"):
            words = shlex.split(line)
            model = words[words.index("--model") + 1]
            files = [word for word in words if f"/{model}-" in word]
            seed = "all/0/model.safetensors"
            sizes = [] if model == "pca" else ["2", "5"]
            assert files == [f"results/models/{model}-{n}/{seed}" for n in sizes]
            at = words.index("--n-latents") + 1
            assert words[at : at + len(sizes)] == sizes
            assert words[at + len(sizes)].startswith("--")


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Jobs of a dry run with real counts and two seeds."""
    folder = tmp_path_factory.mktemp("planned")
    write_config(
        folder, seeds=[7, 3], threads={"default": 2, "train": 1}, assemble={"denoised_layer": True}
    )
    counts = sparse.random(5000, 200, density=0.1, format="csr")
    ad.AnnData(counts).write_h5ad(folder / "raw.h5ad")
    return dry_run(folder)


def dry_run(folder):
    """{rule: its jobs} of a dry run, each {key: text} and words."""
    words = ["--snakefile", ROOT / "workflow/Snakefile", "--dry-run", "--printshellcmds"]
    jobs = {}
    for block in re.split(r"^ *(?=(?:local)?rule \w+:$)", snakemake(folder, *words), flags=re.M)[
        1:
    ]:
        said = dict(re.findall(r"^ +(\w+): (.*)$", block, re.M))
        command = re.search(r"^ +(scpress .*)$", block, re.M)
        said["words"] = shlex.split(command[1]) if command else []
        jobs.setdefault(re.match(r"(?:local)?rule (\w+)", block)[1], []).append(said)
    return jobs


def values_of(flag, job):
    """Words after a flag, up to the next one."""
    after = job["words"][job["words"].index(flag) + 1 :]
    return list(itertools.takewhile(lambda word: not word.startswith("--"), after))


def test_what_follows_the_models_reads_the_primary_one_of_the_first_seed_but_clusters_of_all(
    planned,
):
    (cluster,), (subtype,), (assemble,) = (planned[n] for n in ("cluster", "subtype", "assemble"))
    assert values_of("--model", cluster) == ["vae"]
    assert values_of("--latent", cluster) == [
        f"results/models/vae/all/{seed}/latent.h5ad" for seed in (7, 3)
    ]
    assert values_of("--seed", cluster) == values_of("--seed", subtype) == ["7"]
    assert values_of("--model-file", assemble) == [
        f"results/models/vae/all/{seed}/model.safetensors" for seed in (7, 3)
    ]
    assert values_of("--latents", assemble) == [
        f"results/models/{name}/all/7/latent.h5ad" for name in ("pca", "vae")
    ]


def test_the_primary_model_is_chosen_among_all_that_are_scored(tmp_path):
    write_config(
        tmp_path,
        primary_model="auto",
        seeds=[7, 3],
        assemble={"denoised_layer": True},
        learning_curve={"halvings": 2},
        false_signals={"copies": 3},
        anomaly={"folds": 2, "reference_key": "sample", "reference_values": ["a"]},
        programs={"n_genes": 5},
        annotate={"max_fdr": 0.01, "reference": "labelled.h5ad"},
        transfer={"query": "new.mtx", "batch": "b"},
    )
    for name in ("labelled.h5ad", "new.mtx"):
        (tmp_path / name).touch()
    ad.AnnData(sparse.random(500, 200, density=0.1, format="csr")).write_h5ad(tmp_path / "raw.h5ad")
    (tmp_path / "samples.tsv").write_text("sample\tpath\treceptors\ns1\traw.h5ad\ta.csv; b.tsv\n")
    for name in ("a.csv", "b.tsv"):
        (tmp_path / name).touch()
    jobs = dry_run(tmp_path)
    (receptors,) = jobs["receptors"]
    assert values_of("--receptors", receptors) == ["s1=a.csv", "s1=b.tsv"]
    assert not any("a.csv" in word for word in jobs["ingest"][0]["words"])
    runs = ("pca/all/7", "vae/all/7", "vae/all/3")
    latents = [f"results/models/{run}/latent.h5ad" for run in runs]
    (cluster,), (choose,), (assemble,) = (jobs[n] for n in ("cluster", "choose", "assemble"))
    assert values_of("--choice", cluster) == ["results/choice.json"]
    assert "--model" not in cluster["words"]
    assert values_of("--latent", cluster) == latents
    assert values_of("--seed", cluster) == ["7"]
    folders = [f"results/models/{run}" for run in runs]
    assert values_of("--scores", choose) == [f"{folder}/scores.json" for folder in folders]
    (together,) = jobs["ensemble"]
    kept = [f"results/models/{run}/folds/1.safetensors" for run in runs[1:]]
    assert values_of("--fold-models", together) == kept
    assert values_of("--ensembles", choose) == values_of("--output", together)[:1]
    files = [f"results/models/{name}/all/7/model.safetensors" for name in ("pca", "vae")]
    assert values_of("--model-file", assemble) == [
        f"results/models/{run}/model.safetensors" for run in runs
    ]
    (report,) = jobs["report"]
    assert values_of("--choice", report) == ["results/choice.json"]
    (curve,) = jobs["learning_curve"]
    assert values_of("--models", curve) == ["pca", "vae"]
    assert values_of("--model-files", curve) == files
    assert values_of("--choice", curve) == ["results/choice.json"]
    # A training on all cells is one of `score`, too: no two jobs hold one checkpoint.
    (score, *_) = jobs["score"]
    assert values_of("--checkpoints", curve) != values_of("--checkpoints", score)
    assert values_of("--learning-curve", report) == ["results/learning_curve.json"]
    (signals,) = jobs["false_signals"]
    assert values_of("--models", signals) == ["pca", "vae"]
    assert values_of("--model-files", signals) == files
    assert values_of("--copies", signals) == ["3"]
    assert values_of("--max-fdr", signals) == ["0.01"]
    # The copies are clustered and divided with the options of the data.
    for verb, options in (("cluster", ClusterOptions), ("subtype", SubtypeOptions)):
        (word,) = values_of(f"--{verb}-options", signals)
        assert options_from_json(word, options) == options(**SMALL[verb])
    assert values_of("--false-signals", report) == ["results/false_signals.json"]
    # Every seed of the first network.
    (anomaly,) = jobs["anomaly"]
    assert values_of("--model", anomaly) == ["vae"]
    seeds = [f"results/models/vae/all/{seed}/model.safetensors" for seed in (7, 3)]
    assert values_of("--model-files", anomaly) == seeds
    assert values_of("--reference-values", anomaly) == ["a"]
    assert values_of("--anomaly", report) == ["results/anomaly.h5ad"]
    # Latents and models of all that may be chosen, side by side.
    (programs,) = jobs["programs"]
    assert values_of("--latents", programs) == latents
    assert values_of("--model-files", programs) == values_of("--model-file", assemble)
    assert values_of("--seed", programs) == ["7"]
    assert values_of("--programs", assemble) == ["results/programs.h5ad"]
    assert values_of("--programs", report) == ["results/programs.h5ad"]
    assert values_of("--program-genes", report) == ["results/programs.tsv"]
    (reference,), (annotate,), (transfer,) = (
        jobs[n] for n in ("reference", "annotate", "transfer")
    )
    assert values_of("--reference", reference) == ["labelled.h5ad"]
    assert values_of("--names", annotate) == values_of("--output", reference)[:1]
    assert values_of("--query", transfer) == ["new.mtx"]
    for job in (reference, transfer):
        assert values_of("--model-file", job) == seeds[:1]
    assert sorted(values_of("--model-file", job)[0] for job in jobs["score"]) == sorted(
        f"{folder}/model.safetensors" for folder in folders
    )


def test_what_is_left_to_the_molecules_is_chosen_once_for_all_trainings(tmp_path):
    axes = {"hidden": [[8], [4, 4]], "epsilon": [0.1], "dropout_rate": None, "decoder": None}
    write_config(
        tmp_path,
        train={"likelihood": "auto", "n_latent": "auto"},
        search={"models": ["vae"], "axes": axes, "trials": 9, "steps": [20, 40]},
        seeds=[7, 3],
        compress={"n_latents": [2]},
        normalize={"n_top_genes": "auto"},
    )
    ad.AnnData(sparse.random(500, 200, density=0.1, format="csr")).write_h5ad(tmp_path / "raw.h5ad")
    jobs = dry_run(tmp_path)
    (chosen,) = jobs["likelihood"]
    folder = "results/models/vae/all"
    file = f"{folder}/likelihood.json"
    assert values_of("--output", chosen)[0] == file
    assert values_of("--seed", chosen) == ["7"]
    for job in jobs["train"]:
        model = values_of("--model", job)[0]
        if model == "pca":
            assert not {"--likelihood", "--likelihoods", "--search"} & set(job["words"])
        else:
            assert values_of("--likelihoods", job) == [file]
            assert values_of("--likelihood", job) == ["auto"]
            assert values_of("--search", job) == [f"{folder}/search.json"]
            size = "2" if model == "vae-2" else "auto"
            assert values_of("--n-latent", job) == [size]
    assert len(jobs["train"]) == 4
    (report,) = jobs["report"]
    assert values_of("--likelihoods", report) == [file]
    # So are the genes, by the first model that is a network.
    (genes,), (normalize,) = jobs["genes"], jobs["normalize"]
    assert values_of("--model", genes) == ["vae"]
    assert values_of("--seed", genes) == ["7"]
    for job in (normalize, report):
        assert values_of("--genes", job) == ["results/genes.json"]
    assert values_of("--n-top-genes", normalize) == ["auto"]
    assert values_of("--searches", report) == [f"{folder}/search.json"]
    # Five sizes by two are more than nine; a third of those, rounded up, is three.
    (search,) = jobs["search"]
    assert values_of("--likelihoods", search) == [file]
    assert values_of("--axes", search) == ["epsilon=[0.1]", "hidden=[[8], [4, 4]]"]
    assert (values_of("--n-latent", search), values_of("--trials", search)) == (["auto"], ["9"])
    slots = [(0, slot) for slot in range(9)] + [(1, slot) for slot in range(3)]
    trials = {
        (values_of("--standing", job)[0], values_of("--slot", job)[0], values_of("--seed", job)[0])
        for job in jobs["trial"]
    }
    assert trials == {(f"{folder}/search_{rung}.json", str(slot), "7") for rung, slot in slots}
    ranks = {values_of("--output", job)[0]: job for job in jobs["rank"]}
    assert set(ranks) == {f"{folder}/search_1.json", f"{folder}/search.json"}
    for rung, job in enumerate(ranks[f"{folder}/search{after}.json"] for after in ("_1", "")):
        assert values_of("--standing", job) == [f"{folder}/search_{rung}.json"]
        places = [f"{folder}/search_{rung}/{slot}.json" for one, slot in slots if one == rung]
        assert values_of("--trials", job) == places


def test_without_folds_there_are_no_scores_and_auto_is_the_first_model(tmp_path):
    write_config(tmp_path, primary_model="auto", thin={"folds": 0})
    ad.AnnData(sparse.random(500, 200, density=0.1, format="csr")).write_h5ad(tmp_path / "raw.h5ad")
    jobs = dry_run(tmp_path)
    assert not {"thin", "score", "baselines", "choose"} & set(jobs)
    (cluster,), (report,) = jobs["cluster"], jobs["report"]
    assert values_of("--model", cluster) == ["pca"]
    assert values_of("--latent", cluster) == ["results/models/pca/all/0/latent.h5ad"]
    assert "--choice" not in [*cluster["words"], *report["words"]]


def test_a_job_of_a_model_and_seed_says_them_and_the_page_shows_every_one(planned):
    folders = [f"results/models/{run}" for run in ("pca/all/7", "vae/all/7", "vae/all/3")]
    said = {
        values_of("--output", job)[0]: (values_of("--model", job)[0], values_of("--seed", job)[0])
        for job in planned["train"]
    }
    runs = (("pca", "7"), ("vae", "7"), ("vae", "3"))
    assert said == {
        f"{folder}/model.safetensors": run for folder, run in zip(folders, runs, strict=True)
    }
    of_vae = next(job for job in planned["evaluate"] if values_of("--model", job) == ["vae"])
    assert values_of("--latent", of_vae) == [f"{folder}/latent.h5ad" for folder in folders[1:]]
    (report,) = planned["report"]
    assert values_of("--histories", report) == [f"{folder}/history.tsv" for folder in folders]


def test_a_job_is_given_the_threads_that_its_verb_is_told(planned):
    for rule, jobs in planned.items():
        for job in jobs:
            if rule != "all":
                wanted = "1" if rule == "train" else "2"
                # One thread is not said.
                assert job.get("threads", "1") == wanted, rule
                assert set(values_of("--threads", job)) == {wanted}, rule


def test_both_jobs_of_a_sample_are_as_large_as_its_raw_file(planned):
    """Their group is submitted when nothing but that file exists."""
    for rule, mb, minutes in (("ingest", 1000 + 12, 10), ("qc", 1500 + 29, 11)):
        (job,) = planned[rule]
        resources = dict(one.split("=") for one in job["resources"].split(", "))
        assert abs(int(resources["mem_mb"]) - mb) <= 1
        assert int(resources["runtime"]) == minutes


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
        == 37
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
    assert submitted == 200 + 18 + 3 + 3 + 8 + 9 + 3 + 3
    assert seconds < 20


@pytest.mark.parametrize("profile", ["default", "slurm", "other"])
def test_the_profiles_show_the_line_of_a_failed_verb(profile):
    settings = yaml.safe_load((ROOT / f"profiles/{profile}/config.yaml").read_text())
    assert settings["show-failed-logs"] is True


# errors -----------------------------------------------------------------------------------------


def test_snakemake_prints_that_line_and_no_traceback(tmp_path):
    write_config(tmp_path, trian={})
    text = snakemake(tmp_path, "--snakefile", ROOT / "workflow/Snakefile", "--dry-run", code=1)
    lines = [line for line in text.splitlines() if not line.startswith("Using workflow specific")]
    assert lines == [
        "scpress: error: unknown key 'trian' in the configuration; did you mean 'train'?"
    ]


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
        "score": 1,
        "choose": 1,
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
