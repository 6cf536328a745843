"""The command line: verbs, exit codes and how an error reaches the user."""

import errno
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType

import pytest

from scpress import cli, slurm
from scpress.config.options import VERBS, QcOptions
from scpress.errors import FitFailedError, InputError, InterruptedTrainingError
from scpress.io.files import atomic_path

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


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EIO, "Input/output error")])
def test_anything_else_is_a_traceback(monkeypatch, error):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Verb(error))
    with pytest.raises(type(error)):
        cli.main(["demo"])


@pytest.mark.parametrize("job", [None, "7"])
def test_an_interrupted_training_says_whether_its_job_is_queued_again(monkeypatch, capsys, job):
    stop = InterruptedTrainingError(signal.SIGTERM, "stopped; saved at step 7")
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Verb(stop))
    monkeypatch.setattr(slurm, "requeue_at_time_limit", lambda: job)
    assert cli.main(["demo"]) == 143
    lines = ["scpress demo: stopped; saved at step 7"]
    lines += ["scpress demo: time limit: job 7 is queued again."] if job else []
    assert capsys.readouterr().err.splitlines() == lines


# signals ----------------------------------------------------------------------------------------


class SignalVerb(Verb):
    """A verb that is sent signals while it writes a file."""

    def __init__(self, path, *numbers, error=None):
        self.path, self.numbers, self.error = path, numbers, error

    def run(self, arguments):
        with atomic_path(self.path) as temporary:
            temporary.write_text("half")
            try:
                signal.raise_signal(self.numbers[0])
            finally:
                for number in self.numbers[1:]:
                    signal.raise_signal(number)
                if self.error:
                    raise self.error


@pytest.mark.parametrize(
    ("numbers", "name", "code"),
    [
        ((signal.SIGTERM,), "SIGTERM", 143),
        ((signal.SIGINT,), "SIGINT", 130),
        ((signal.SIGINT, signal.SIGTERM, signal.SIGINT), "SIGINT", 130),
    ],
)
@pytest.mark.parametrize("error", [None, ValueError("cut short"), InputError("cut short.")])
def test_a_signal_ends_a_verb_in_one_line_and_leaves_nothing(
    monkeypatch, capsys, tmp_path, numbers, name, code, error
):
    verb = SignalVerb(tmp_path / "a", *numbers, error=error)
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: verb)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert cli.main(["demo"]) == code
    said = capsys.readouterr().err
    assert said == f"scpress demo: ended by {name}; nothing half-written was left.\n"
    assert list(tmp_path.iterdir()) == []
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_that_is_ignored_stays_so(monkeypatch, tmp_path):
    verb = SignalVerb(tmp_path / "a", signal.SIGTERM)
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: verb)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert cli.main(["demo"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "a").read_text() == "half"


def test_outside_the_main_thread_no_signal_is_caught(monkeypatch):
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: Verb(None))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cli.main, ["demo"]).result() == 0


def test_a_signal_waits_while_hdf5_writes_or_an_object_ends(monkeypatch, capsys):
    """An exception there is lost, or is a failed write, which HDF5 may not live with."""
    seen = []

    def write_part():
        signal.raise_signal(signal.SIGTERM)
        seen.append("written")

    class Held:
        def __del__(self):
            write_part()

    writing = FunctionType(
        write_part.__code__,
        {"__name__": "scpress.io.hdf5", "signal": signal},
        closure=write_part.__closure__,
    )
    for call in (writing, Held):

        class Waiting(Verb):
            def run(self, arguments, call=call):
                call()
                seen.append("went on")
                time.sleep(10)

        verb = Waiting(None)
        monkeypatch.setattr(cli.importlib, "import_module", lambda _, verb=verb: verb)
        assert cli.main(["demo"]) == 143
        assert seen == ["written", "went on"]
        assert "ended by SIGTERM" in capsys.readouterr().err
        seen.clear()


class OptionsVerb(Verb):
    """A verb with options, that keeps what it was given."""

    def run(self, arguments, options):
        self.given = options


def test_the_options_of_a_verb_come_from_its_flags(monkeypatch):
    verb = OptionsVerb(None)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: verb)
    assert cli.main(["qc", "--min-genes", "7", "--no-doublets"]) == 0
    assert verb.given == QcOptions(min_genes=7, doublets=False)


def test_a_value_that_an_option_refuses_is_bad_input(monkeypatch, capsys):
    verb = OptionsVerb(None)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: verb)
    assert cli.main(["qc", "--max-pct-mt", "101"]) == 2
    assert "max_pct_mt must be at most 100; found 101.0" in capsys.readouterr().err
    assert not hasattr(verb, "given")


class SeedVerb(Verb):
    """A verb whose seed is no option, as that of a training is not."""

    def add_arguments(self, parser):
        parser.add_argument("--seed", type=int, default=0)


@pytest.mark.parametrize("model", ["a/b", "_index", ""])
def test_a_model_that_no_file_can_name_is_bad_input(monkeypatch, capsys, model):
    class Model(Verb):
        def add_arguments(self, parser):
            parser.add_argument("--model")

    verb = Model(None)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: verb)
    assert cli.main(["demo", "--model", model]) == 2
    assert f"the model cannot be named {model!r}" in capsys.readouterr().err
    assert cli.main(["demo", "--model", "index"]) == 0


def test_a_seed_is_at_most_what_every_generator_takes(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: SeedVerb(None))
    assert cli.main(["demo", "--seed", "4294967295"]) == 0
    assert cli.main(["demo", "--seed", "4294967296"]) == 2
    assert "seed must be at most 4294967295; found 4294967296" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("-W", "default")])
def test_warnings_stand_above_our_line_only_when_asked_for(words):
    script = (
        "import sys, warnings\n"
        "from scpress import cli\n"
        "class Verb:\n"
        "    add_arguments = staticmethod(lambda parser: None)\n"
        "    def run(self, arguments):\n"
        "        warnings.simplefilter('always')\n"
        "        warnings.warn('of a library')\n"
        "        raise cli.InputError('ours.')\n"
        "load = cli.importlib.import_module\n"
        "ours = lambda name: Verb() if name.startswith('scpress.verbs') else load(name)\n"
        "cli.importlib.import_module = ours\n"
        "sys.argv = ['scpress', 'demo']\n"
        "sys.exit(cli.command())\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, *words, "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    assert done.stderr.endswith("scpress demo: error: ours.\n")
    assert ("of a library" in done.stderr) is bool(words)


@pytest.mark.parametrize(("seed", "code"), [("-1", 2), ("0", 0)])
def test_a_negative_seed_is_bad_input(monkeypatch, capsys, seed, code):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: SeedVerb(None))
    assert cli.main(["demo", "--seed", seed]) == code
    assert ("seed must be at least 0; found -1" in capsys.readouterr().err) is bool(code)


def test_a_misspelled_flag_names_the_nearest_and_is_not_taken_for_a_part_of_it(capsys):
    for words, near in ((["qc", "--min-gene=7"], "--min-genes"), (["qc", "--thread", "2"], "")):
        with pytest.raises(SystemExit) as end:
            cli.main([*words, "--counts", "a", "--output", "b"])
        assert end.value.code == 2
        line = capsys.readouterr().err
        assert "unknown argument" in line
        assert near in line
        assert len(line.splitlines()) == 1


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
