"""`scpress doctor`: which run is meant, and every problem in a line before anything starts."""

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
ANSWERS = {
    "scontrol": "SLURM_VERSION = 22.05.8\nAccountingStorageType = accounting_storage/none\n"
    "MinJobAge = 300 sec\n",
    "sinfo": "cpu*|4:00:00|64000+\ngpu|1-00:00:00|128000\n",
    "squeue": "",
}


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
    Path("slurm/config.yaml").write_text("executor: slurm\nslurm-status-command: squeue\n")
    monkeypatch.setattr(slurm, "ask", lambda *words: ANSWERS.get(words[0]))


def write(config, path="config/config.yaml"):
    Path(path).write_text(yaml.safe_dump(config))


def doctor(capsys, *words):
    """Exit code, the lines it printed, and the one of an error."""
    code = main(["doctor", "--snakefile", SNAKEFILE, "--profile", "slurm", *words])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def problems(lines):
    return [line.removeprefix("problem: ") for line in lines if line.startswith("problem: ")]


def test_a_sound_run_has_no_problem_and_a_plan(folder, capsys):
    code, lines, _ = doctor(capsys)
    assert code == 0, lines
    assert "Slurm: 22.05.8, no accounting, status by squeue" in lines
    assert any(f"samples: 2 readable, 600 cells, {2 * 3000:,} stored" in line for line in lines)
    plan = {line.split()[0]: line.split()[1:] for line in lines if " MB " in line}
    # One job for the reading and the quality control of a sample; models and seeds fan out.
    assert plan["sample"][0] == "2"
    assert plan["train"][0] == plan["embed"][0] == "5"
    assert {"ingest", "qc"}.isdisjoint(plan)
    assert lines[-1] == "No problem was found."


def test_a_second_file_lies_over_the_shipped_one(folder, capsys):
    """Only what differs stands in it, so that nothing else of this run is its defaults."""
    write({"models": {"one": {}, "pca": None}, "primary_model": "one", "seeds": [5]}, "mine.yaml")
    code, lines, _ = doctor(capsys, "--configfile", "mine.yaml")
    assert code == 0, lines
    assert any(line.startswith("samples: 2 readable") for line in lines)
    plan = {line.split()[0]: line.split()[1:] for line in lines if " MB " in line}
    assert plan["train"][0] == "1"


@pytest.fixture
def _nothing_starts(monkeypatch):
    def never(*words, **_):
        pytest.fail(f"started {words}")

    monkeypatch.setattr(subprocess, "run", never)


@pytest.mark.usefixtures("_nothing_starts")
def test_all_that_is_wrong_with_the_input_is_said_without_snakemake(folder, capsys):
    Path("samples.tsv").write_text("sample\tpath\na\ta.h5ad\nb\tno.h5ad\na\tb.h5ad\nc d\ta.h5ad\n")
    write({"samples": "samples.tsv", "trian": {}, "annotate": {"panel": "panel.tsv"}})
    code, lines, error = doctor(capsys)
    assert code == 2
    assert error == "scpress doctor: error: 5 problems found; see above.\n"
    starts = (
        "unknown key 'trian' in the configuration; did you mean 'train'?",
        "no such file: 'no.h5ad' (row 2 of 'samples.tsv'); paths are relative to",
        "sample 'a' is twice in 'samples.tsv'; give every sample its own name.",
        "row 4 of 'samples.tsv'",
        "no such file: 'panel.tsv', which 'annotate.panel' in the configuration names.",
    )
    found = problems(lines)
    assert len(found) == len(starts)
    for problem, start in zip(found, starts, strict=True):
        assert start in problem
    # What can be looked at is looked at.
    assert any(line.startswith("samples: 1 readable, 300 cells") for line in lines)
    assert any(line.startswith("disk: ") for line in lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("samples: no.tsv", "no sample sheet 'no.tsv'"),
        ("primary_model: pcs", "'primary_model' is 'pcs', which is not under 'models'; did you m"),
        ("train: {max_steps: x}", "'train.max_steps' in the configuration must be of type integer"),
    ],
)
def test_the_rules_end_with_what_the_doctor_says(folder, capsys, text, problem):
    Path("mine.yaml").write_text(text)
    words = ["--snakefile", SNAKEFILE, "--configfile", "mine.yaml", "--dry-run"]
    command = [sys.executable, "-m", "snakemake", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (line,) = (line for line in done.stderr.splitlines() if "error" in line)
    code, lines, _ = doctor(capsys, "--configfile", "mine.yaml")
    assert code == 2
    assert problems(lines) == [line.removeprefix("scpress: error: ")]
    assert problem in line


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda: Path("config/config.yaml").unlink(), "no such file: 'config/config.yaml'. Run th"),
        (
            lambda: Path("config/config.yaml").write_text("a: [1"),
            "'config/config.yaml' is not YAML",
        ),
        (lambda: Path("config/config.yaml").write_text("- a"), "has no keys at its top"),
        (lambda: Path("config/config.yaml").write_bytes(b"a: \xff"), "is not YAML"),
        (
            lambda: Path("config/config.yaml").write_text("models: &m {a: *m}"),
            "is not YAML: Circular reference detected",
        ),
        (lambda: Path("slurm/config.yaml").unlink(), "no such file: 'slurm/config.yaml'"),
    ],
    ids=["missing", "not YAML", "a list", "not UTF-8", "an alias in itself", "no profile"],
)
def test_files_that_say_nothing_end_it_in_one_line(folder, capsys, harm, line):
    harm()
    code, lines, error = doctor(capsys)
    assert (code, lines) == (2, [])
    assert line in error
    assert len(error.splitlines()) == 1


def test_outside_a_workflow_it_says_so(folder, capsys):
    assert main(["doctor", "--profile", "slurm"]) == 2
    assert "Name the workflow's Snakefile with --snakefile" in capsys.readouterr().err
