"""The command line: verbs, exit codes and how an error reaches the user."""

import errno
import importlib
import re
import subprocess
import sys

import pytest

from scpress import cli
from scpress.config.options import VERBS
from scpress.errors import FitFailedError, InputError

ALL_VERBS = [*VERBS, *cli.PLAIN_VERBS]
HEAVY = ("torch", "scanpy", "scvi", "anndata", "pandas", "scipy", "sklearn", "matplotlib", "numba")


def test_help_lists_every_verb_and_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from scpress import cli\n"
        "try:\n    cli.main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        f"print('LOADED', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "LOADED []" in out.stdout
    for verb in ALL_VERBS:
        assert re.search(rf"^    {verb}\s", out.stdout, re.M), verb


def test_no_verb_shows_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 0
    assert "usage: scpress" in capsys.readouterr().out


def test_an_unknown_verb_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["trian"])
    assert end.value.code == 2
    assert "trian" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_every_verb_has_its_flags_and_no_heavy_import_at_the_top(verb, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "--threads" in text
    module = importlib.import_module(f"scpress.verbs.{verb}")
    assert module.__doc__
    assert not [name for name in HEAVY if name in vars(module)]


class Verb:
    """A verb that ends as it is told to."""

    def __init__(self, error):
        self.error = error

    def add_arguments(self, parser):
        """No paths."""

    def run(self, arguments):
        """End."""
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (None, 0, ""),
        (InputError("counts are bad."), 2, "scpress demo: error: counts are bad.\n"),
        (FitFailedError("no fit."), 3, "scpress demo: error: no fit.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x.h5ad"),
            2,
            "scpress demo: error: cannot write 'x.h5ad': No space left on device. "
            "Free some space or write elsewhere; nothing half-written was left.\n",
        ),
    ],
)
def test_exit_codes_and_lines(monkeypatch, capsys, error, code, line):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Verb(error))
    assert cli.main(["demo"]) == code
    assert capsys.readouterr().err == line


def test_anything_else_is_a_traceback(monkeypatch):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Verb(KeyError("x")))
    with pytest.raises(KeyError):
        cli.main(["demo"])


def test_threads_must_be_positive(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Verb(None))
    assert cli.main(["demo", "--threads", "0"]) == 2
    assert "threads must be at least 1; found 0" in capsys.readouterr().err


def test_a_missing_file_is_one_line_and_exit_code_2(tmp_path):
    out = subprocess.run(
        [
            sys.executable,
            "-m",
            "scpress",
            "ingest",
            "no.h5ad",
            "--sample",
            "a",
            "--output",
            "o.h5ad",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 2
    assert len(out.stderr.splitlines()) == 1
    assert "no.h5ad" in out.stderr
    assert list(tmp_path.iterdir()) == []
