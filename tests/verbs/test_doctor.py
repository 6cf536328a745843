"""`scpress doctor`: one clear line for each thing that would end a long run."""

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pytest
import yaml
from builders import ROOT
from scipy import sparse

from scpress import slurm
from scpress.cli import main

SNAKEFILE = str(ROOT / "workflow/Snakefile")
# A Slurm that answers as a real one does, so that these tests need none.
CONFIG = (
    "SLURM_VERSION = 22.05.8\nAccountingStorageType = accounting_storage/{}\nMinJobAge = {} sec\n"
)
SINFO = "cpu*|4:00:00|64000+\ngpu|1-00:00:00|128000\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run of two samples that a Slurm without accounting would do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "slurm").mkdir()
    for name in ("a", "b"):
        counts = sparse.random(300, 50, density=0.2, format="csr", random_state=0)
        ad.AnnData(counts).write_h5ad(f"{name}.h5ad")
    Path("samples.tsv").write_text("sample\tpath\na\ta.h5ad\nb\tb.h5ad\n")
    write({"samples": "samples.tsv", "max_runtime": 240, "max_mem_mb": 64_000})
    profile("executor: slurm\nslurm-status-command: squeue\n")
    answers = {"scontrol": CONFIG.format("none", 300), "sinfo": SINFO, "squeue": ""}
    monkeypatch.setattr(slurm, "ask", lambda *words: answers.get(words[0]))
    return answers


def write(config):
    Path("config/config.yaml").write_text(yaml.safe_dump(config))


def profile(text):
    Path("slurm/config.yaml").write_text(text)


def doctor(capsys):
    """Exit code, and what it said."""
    code = main(["doctor", "--snakefile", SNAKEFILE, "--profile", "slurm"])
    return code, capsys.readouterr().out


def test_a_sound_run_has_no_problem_and_a_plan(folder, capsys):
    code, text = doctor(capsys)
    assert code == 0, text
    assert "Slurm: 22.05.8, no accounting, status by squeue" in text
    assert f"samples: 2 readable, 600 cells, {2 * 3000:,} stored values" in text
    plan = {line.split()[0]: line.split()[1:] for line in text.splitlines() if " MB " in line}
    # One job for the reading and the quality control of a sample; models and seeds fan out.
    assert plan["sample"][0] == "2"
    assert plan["train"][0] == plan["embed"][0] == "5"
    assert {"ingest", "qc"}.isdisjoint(plan)
    assert text.endswith("No problem was found.\n")


def test_the_partitions_of_the_profile_are_in_the_plan(folder, capsys):
    profile(
        "executor: slurm\ndefault-resources:\n  - slurm_partition=\"'cpu'\"\n"
        "set-resources:\n  train:\n    slurm_partition: \"'gpu'\"\n    gres: \"'gpu:1'\"\n"
    )
    code, text = doctor(capsys)
    assert code == 0, text
    rows = {line.split()[0]: line for line in text.splitlines() if " MB " in line}
    assert rows["train"].endswith("gpu gpu:1")
    assert rows["merge"].endswith("cpu")
    assert "a training is submitted with gpu:1" in text


def change_config(**changes):
    return lambda answers: write(yaml.safe_load(Path("config/config.yaml").read_text()) | changes)


def answer(**changes):
    return lambda answers: answers.update(changes)


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda _: Path("b.h5ad").unlink(), "sample 'b': no such file: 'b.h5ad'"),
        (
            lambda _: Path("b.h5ad").write_bytes(b""),
            "the header of 'b.h5ad' cannot be read (it is e",
        ),
        (lambda _: Path("b.h5ad").write_bytes(bytes(999)), "is the file complete?"),
        (answer(scontrol=None), "Slurm does not answer"),
        (answer(scontrol=CONFIG.format("none", 30)), "forgets jobs after 30 seconds"),
        (answer(sinfo="cpu*|10:00|64000\n"), "and its partition allows 10: it would wait for ever"),
        (answer(sinfo="cpu*|4:00:00|1000\n"), "the largest node of its partition has 1000"),
        (
            lambda _: profile("executor: slurm\ndefault-resources:\n  slurm_partition: cpuu\n"),
            "partition 'cpuu' of 'sample' is unknown to Slurm, which has cpu, gpu",
        ),
        (change_config(device="cuda"), "device is 'cuda', but training is submitted without a GPU"),
        (change_config(trian={}), "unknown key 'trian' in the configuration"),
    ],
)
def test_a_problem_is_one_line_and_exit_code_2(folder, capsys, harm, line):
    harm(folder)
    code, text = doctor(capsys)
    assert code == 2
    problems = [one for one in text.splitlines() if one.startswith("problem: ")]
    assert any(line in one for one in problems), text


def test_a_full_disk_is_a_problem(folder, capsys, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("scpress.verbs.doctor.shutil.disk_usage", lambda _: usage)
    code, text = doctor(capsys)
    assert code == 2
    assert "free some space or set `results` to another disk" in text


def test_jobs_of_an_earlier_run_are_named(folder, capsys, tmp_path):
    folder["squeue"] = f"12|{tmp_path}\n13|/elsewhere\n"
    code, text = doctor(capsys)
    assert code == 0
    assert "in the queue from this folder: 12; a new run cancels them" in text


def test_outside_a_workflow_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 2
    assert "no such file: 'config/config.yaml'" in capsys.readouterr().err


# back into the queue ------------------------------------------------------------------------------


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A scontrol that gives a reason for the job's end, and notes what it was asked."""

    def install(reason):
        script = tmp_path / "scontrol"
        script.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(tmp_path / 'asked')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
            f"print('JobId=7 JobState=COMPLETING Reason={reason} Dependency=(null)')\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setenv("SLURM_JOB_ID", "7")

    def asked():
        path = tmp_path / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return install, asked


@pytest.mark.parametrize(
    ("reason", "is_ours", "requeued"),
    [("TimeLimit", True, "7"), ("None", True, None), ("TimeLimit", False, None)],
    ids=["time limit", "scancel", "another's job"],
)
def test_only_the_time_limit_puts_a_job_back(scontrol, monkeypatch, reason, is_ours, requeued):
    install, asked = scontrol
    install(reason)
    if is_ours:
        monkeypatch.setenv("SCPRESS_REQUEUE", "1")
    else:
        monkeypatch.delenv("SCPRESS_REQUEUE", raising=False)
    assert slurm.requeue_at_time_limit() == requeued
    assert (["requeue", "7"] in asked()) == (requeued is not None)


def test_a_slurm_that_does_not_answer_is_none(monkeypatch):
    def never(*_, **__):
        raise subprocess.TimeoutExpired("scontrol", 10)

    monkeypatch.setattr(subprocess, "run", never)
    assert slurm.ask("scontrol", "ping") is None
