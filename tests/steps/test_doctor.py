"""What would end a long run: each check finds its problem, and says what to do."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import pytest
from builders import ROOT
from scipy import sparse

from scpress import slurm
from scpress.errors import InputError
from scpress.steps import doctor as doctor_module
from scpress.steps.doctor import Doctor, load_module

# A Slurm that answers as a real one does, so that these tests need none.
CONFIG = (
    "SLURM_VERSION = 22.05.8\nAccountingStorageType = accounting_storage/{}\nMinJobAge = {} sec\n"
)
# The end of a dry run.
STATS = "job count\n--- ---\ningest 2\nqc 2\nmerge 1\ntrain 5\nall 1\ntotal 11\n"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A doctor of two samples on a Slurm; `make.answers` is what that says."""
    monkeypatch.chdir(tmp_path)
    for name, n_obs in (("a", 300), ("b", 200)):
        counts = sparse.random(n_obs, 50, density=0.2, format="csr", random_state=0)
        ad.AnnData(counts).write_h5ad(f"{name}.h5ad")
    answers = {"scontrol": CONFIG.format("none", 300), "squeue": ""}
    answers["sinfo"] = "cpu*|4:00:00|64000+\ngpu|1-00:00:00|128000\n"
    monkeypatch.setattr(slurm, "ask", lambda *words: answers.get(words[0]))
    stats = SimpleNamespace(returncode=0, stdout=STATS, stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: stats)

    def make(settings=None, input_problems=(), **changes):
        usual = {"results": "results", "device": "auto", "max_mem_mb": 64_000, "max_runtime": 240}
        return Doctor(
            snakefile=Path("workflow/Snakefile"),
            configfile=Path("config/config.yaml"),
            config=usual | changes,
            samples={name: {"sample": name, "path": f"{name}.h5ad"} for name in "ab"},
            input_problems=list(input_problems),
            prediction=load_module(ROOT / "workflow/prediction.py"),
            profile=Path("mine"),
            settings={"executor": "slurm"} | (settings or {}),
        )

    make.answers, make.stats = answers, stats
    return make


def plan(lines):
    return {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}


def test_a_sound_run_has_a_plan_and_no_problem(make):
    doctor = make()
    lines = list(doctor.examine())
    assert doctor.problems == []
    assert "samples: 2 readable, 500 cells, 5,000 stored values; the largest is 'a', 300 cells" in (
        lines
    )
    rows, predict = plan(lines), doctor.prediction
    assert list(rows) == ["sample", "merge", "train"]
    # The largest sample's job takes the memory of its larger step and the time of both.
    largest, total = predict.Size(300, 3000), predict.Size(500, 5000)
    megabytes = max(predict.memory_mb(rule, largest) for rule in ("ingest", "qc"))
    minutes = sum(predict.runtime_minutes(rule, largest) for rule in ("ingest", "qc"))
    assert rows["sample"] == ["2", str(megabytes), "MB", str(minutes), "min"]
    assert rows["train"][:2] == ["5", str(predict.memory_mb("train", total))]


def test_the_plan_stays_within_the_limits_of_the_configuration(make):
    rows = plan(make(max_mem_mb=1200, max_runtime=15).examine())
    assert {(row[1], row[3]) for row in rows.values()} == {("1200", "15")}


@pytest.mark.parametrize("as_list", [True, False])
def test_partition_and_gpu_of_the_profile_are_in_the_plan(make, as_list):
    everywhere = ["slurm_partition='cpu'"] if as_list else {"slurm_partition": "'cpu'"}
    of_train = {"slurm_partition": "'gpu'", "gres": "'gpu:1'"}
    doctor = make({"default-resources": everywhere, "set-resources": {"train": of_train}})
    lines = list(doctor.examine())
    assert plan(lines)["train"][-2:] == ["gpu", "gpu:1"]
    assert plan(lines)["merge"][-1] == "cpu"
    assert "device: auto; a training is submitted with gpu:1" in lines
    assert doctor.problems == []


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda _: Path("b.h5ad").write_bytes(b""), "header of 'b.h5ad' cannot be read (it is em"),
        (lambda _: Path("b.h5ad").write_bytes(bytes(999)), "is the file complete?"),
        (lambda answers: answers.update(scontrol=None), "Slurm does not answer"),
        (
            lambda answers: answers.update(scontrol=CONFIG.format("none", 30)),
            "forgets jobs after 30 seconds",
        ),
        (
            lambda answers: answers.update(sinfo="cpu*|100:00|64000\n"),
            "'train' asks for 120 minutes and its partition allows 100: it would wait for ever",
        ),
        (
            lambda answers: answers.update(sinfo="cpu*|4:00:00|1400\n"),
            "MB and the largest node of its partition has 1400",
        ),
    ],
)
def test_a_problem_is_a_line_that_says_what_to_do(make, harm, line):
    harm(make.answers)
    doctor = make()
    list(doctor.examine())
    assert any(line in problem for problem in doctor.problems), doctor.problems
    assert all(len(problem.splitlines()) == 1 for problem in doctor.problems)


def test_with_accounting_slurm_may_forget_its_jobs(make):
    make.answers["scontrol"] = CONFIG.format("slurmdbd", 30)
    doctor = make()
    assert "Slurm: 22.05.8, accounting, status by sacct" in doctor.examine()
    assert doctor.problems == []


def test_a_partition_without_a_limit_has_room_for_any_time(make):
    make.answers["sinfo"] = "cpu*|infinite|64000\n"
    doctor = make(max_runtime=10**6)
    list(doctor.examine())
    assert doctor.problems == []


def test_a_mistyped_partition_is_one(make):
    doctor = make({"default-resources": {"slurm_partition": "cpuu"}})
    list(doctor.examine())
    assert doctor.problems[0] == (
        "partition 'cpuu' of 'sample' is unknown to Slurm, which has cpu, gpu; correct 'mine'."
    )


def test_cuda_needs_a_gpu_where_the_training_runs(make, monkeypatch):
    submitted = make(device="cuda")
    list(submitted.check_device())
    assert "training is submitted without a GPU; set its `gres`" in submitted.problems[0]
    monkeypatch.setattr("shutil.which", lambda _: None)
    local = make({"executor": None}, device="cuda")
    assert list(local.check_device()) == ["GPU here: none", "device: cuda"]
    assert local.problems == ["device is 'cuda' and no GPU is here; use device: auto or cpu."]
    monkeypatch.setattr("shutil.which", lambda name: name)
    make.answers["nvidia-smi"] = "One, 550.1, 80 GiB\nTwo, 550.1, 80 GiB\n"
    local = make({"executor": None}, device="cuda")
    assert "GPU here: One, 550.1, 80 GiB | Two, 550.1, 80 GiB" in local.check_device()
    assert local.problems == []


def test_a_full_disk_is_a_problem(make, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    doctor = make()
    list(doctor.examine())
    (problem,) = doctor.problems
    assert "free some space or set `results` to another disk" in problem


def test_packages_that_a_run_needs_and_are_not_here(make, monkeypatch):
    monkeypatch.setattr(doctor_module, "_version", lambda name: None)
    doctor, local = make(), make({"executor": None})
    list(doctor.check_versions())
    list(local.check_versions())
    missing = [problem.split("'")[1] for problem in doctor.problems]
    assert missing == ["snakemake", "snakemake-executor-plugin-slurm"]
    assert [problem.split("'")[1] for problem in local.problems] == ["snakemake"]


def test_jobs_of_an_earlier_run_in_this_folder_are_named(make, tmp_path):
    make.answers["squeue"] = f"12|{tmp_path}\n13|/elsewhere\n14|{tmp_path}\n"
    doctor = make()
    assert "in the queue from this folder: 12, 14; a new run cancels them" in doctor.examine()
    assert doctor.problems == []


def test_what_ends_the_dry_run_is_a_problem_and_none_is_run_on_bad_input(make):
    make.stats.returncode, make.stats.stderr = 1, "before\nSyntaxError in line 3\nafter\n"
    doctor = make()
    assert list(doctor.check_plan()) == []
    assert doctor.problems == ["SyntaxError in line 3"]
    doctor = make(input_problems=["the sheet is empty."])
    assert list(doctor.check_plan()) == []
    assert doctor.problems == ["the sheet is empty."]


def test_nothing_is_left_to_be_done_after_a_run(make):
    make.stats.stdout = "Nothing to be done\n"
    doctor = make()
    assert "plan: nothing to be done" in doctor.examine()


def test_a_module_of_the_workflow_that_cannot_be_loaded_is_one_line(tmp_path):
    with pytest.raises(InputError, match="Name the workflow's Snakefile with --snakefile"):
        load_module(tmp_path / "inputs.py")
    (tmp_path / "inputs.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(InputError, match="'not_installed_anywhere', which comes with snakemake"):
        load_module(tmp_path / "inputs.py")
