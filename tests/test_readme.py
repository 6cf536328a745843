"""The documents: every command in them is one that a test runs, and every link leads somewhere."""

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from builders import ROOT

from scpress import cli
from scpress.config.flags import add_flags
from scpress.config.options import VERBS

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
_OF_MAKE = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "VENV", "PYTHON", "TESTS")
# Command of the README -> where it is run.
TESTED = {
    "make demo": "here: test_make_runs_what_it_promises",
    "make test": "here: test_make_runs_what_it_promises; it is what runs this test",
    ".venv/bin/snakemake --dry-run": "test_workflow: test_both_entry_points_...",
    ".venv/bin/snakemake": "test_workflow: the fixture `finished`",
    ".venv/bin/scpress doctor": "test_doctor",
    ".venv/bin/snakemake --workflow-profile profiles/slurm --dry-run": "test_workflow, tests/slurm",
}


def commands(path):
    for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(), re.M | re.S):
        yield from block.replace("\\\n", "").strip().splitlines()


def outside_make():
    """The environment of the tests without what `make test` was told."""
    return {name: value for name, value in os.environ.items() if name not in _OF_MAKE}


def dry_run(*words):
    """Print the commands of a target and run none of them."""
    done = subprocess.run(
        ["make", "--dry-run", *words],
        cwd=ROOT,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_command_of_the_readme_is_run_by_a_test():
    assert set(commands(ROOT / "README.md")) == set(TESTED)


def test_every_command_of_the_tutorial_is_one_of_them():
    told = list(commands(ROOT / "docs/tutorial.md"))
    assert set(told) <= set(TESTED)
    # Asked first, then run.
    assert told[-2:] == [".venv/bin/snakemake --dry-run", ".venv/bin/snakemake"]


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("demo", [r"\.venv/bin/snakemake$"]),
        (
            "test",
            [
                *("ruff check", "ruff format --check", "snakefmt --check", "--lint", "mypy"),
                *("mkdocs build --strict", "pytest"),
            ],
        ),
        ("docs", [r"\.venv/bin/mkdocs build --strict"]),
        ("test-slurm", [r"\.venv/bin/python tests/slurm/run\.py$"]),
        (
            "schema",
            [r"scpress\.config\.schema > ", r"^mv \S+ workflow/schemas/config\.schema\.yaml"],
        ),
    ],
)
def test_make_runs_what_it_promises(target, parts):
    printed = dry_run(target)
    for part in parts:
        assert re.search(part, printed, re.M), part


def test_a_second_python_has_an_environment_of_its_own():
    printed = dry_run("test", "VENV=.venv-none", "PYTHON=python3.13", "TESTS=-m 'not slow'")
    assert "python3.13 -m venv .venv-none\n" in printed
    assert re.search(r"\.venv-none/bin/pytest .* -m 'not slow'$", printed, re.M)
    assert ".venv/" not in printed


def test_make_removes_no_folder_that_is_not_an_environment(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "mine").mkdir()
    done = subprocess.run(
        ["make", "VENV=mine", f"PYTHON={sys.executable}", "schema"],
        cwd=tmp_path,
        env=outside_make(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "mine is not an environment of Python" in done.stderr
    assert (tmp_path / "mine").is_dir()


def test_make_refuses_an_old_python(tmp_path):
    old = tmp_path / "python"
    old.write_text(
        f"""#!{sys.executable}
import sys
sys.version_info = (3, 9, 2, "final", 0)
exec(sys.argv[2])
"""
    )
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", f"PYTHON={old}", "schema"],
        cwd=tmp_path,
        env=outside_make(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"scpress needs Python 3.11 to 3.13; {old} is 3.9." in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    "command",
    [line for page in PAGES for line in commands(page) if line.startswith("scpress ")],
)
def test_every_scpress_command_of_a_document_parses(command):
    words = shlex.split(command)[1:]
    if words == ["--help"]:
        return
    verb = words[0]
    assert verb in VERBS or verb in cli.PLAIN_VERBS
    parser = argparse.ArgumentParser(allow_abbrev=False)
    importlib.import_module(f"scpress.verbs.{verb}").add_arguments(parser)
    if verb in VERBS:
        add_flags(parser, VERBS[verb])
    if words[1:] != ["--help"]:
        parser.parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link
