"""What a command says and leaves when its child crashes, and that it is the child otherwise."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A verb that writes half of its output, says that it is ready and then does something.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from scpress import cli
from scpress.io import crashes, files

class Verb:
    @staticmethod
    def add_arguments(parser):
        parser.add_argument("--output", type=Path)

    @staticmethod
    def run(arguments):
        with files.atomic_path(arguments.output) as temporary:
            temporary.write_text("half")
            print(os.getpid(), flush=True)
            {act}

load = cli.importlib.import_module
cli.importlib.import_module = lambda name: Verb if name.startswith("scpress.verbs") else load(name)
sys.exit(cli.command())
"""


# Whoever runs the tests may ignore it (nohup).
HEARS_HANGUPS = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"


def start(folder, act, *words, before=HEARS_HANGUPS):
    command = [sys.executable, "-c", before + SCRIPT.format(act=act), "demo"]
    return subprocess.Popen(
        [*command, *(words or ("--output", folder / "out"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    """Number of the child, and what was said on stderr."""
    out, err = process.communicate(timeout=60)
    return int(out), err


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"])
def test_a_crash_is_one_line_and_leaves_nothing(tmp_path, name):
    read = "crashes.note_reading('a longer name'); crashes.note_reading('the.h5')"
    process = start(tmp_path, f"{read}; os.kill(os.getpid(), signal.{name})")
    _, said = end(process)
    assert process.returncode == 2
    assert said == (
        f"scpress demo: error: a library crashed ({name}) after 'the.h5' was opened, which may be "
        "damaged. Copy or download the input again; nothing half-written was left.\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_crash_with_no_file_open_names_none(tmp_path):
    act = "os.kill(os.getpid(), signal.SIGSEGV)"
    process = start(tmp_path, act, f"--output={tmp_path / 'out'}")
    _, said = end(process)
    assert said.startswith("scpress demo: error: a library crashed (SIGSEGV). Copy")
    assert not list(tmp_path.iterdir())


def test_files_that_others_are_writing_stay(tmp_path):
    other = tmp_path / f".out.0123abcd.{os.getpid()}.tmp"
    other.write_text("another's")
    process = start(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    end(process)
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_to_the_command_is_one_to_its_verb(tmp_path, name, code):
    process = start(tmp_path, "time.sleep(20)")
    child = int(process.stdout.readline())
    assert child != process.pid
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said == f"scpress demo: ended by {name}; nothing half-written was left.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGKILL"])
def test_a_signal_that_ends_the_verb_ends_the_command_in_the_same_way(tmp_path, name):
    process = start(tmp_path, f"os.kill(os.getpid(), signal.{name})")
    _, said = end(process)
    assert process.returncode == -getattr(signal, name)
    assert not said


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    act = "time.sleep(1)"
    process = start(
        tmp_path, act, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    )
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "out").read_text() == "half"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_command_that_is_killed_takes_its_verb_along(tmp_path):
    process = start(tmp_path, "time.sleep(20)")
    child = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=60)  # ends when nobody holds the pipes any more
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("the verb lives on")


@pytest.mark.parametrize("act", ["raise cli.InputError('ours.')", "sys.exit(2)"])
def test_the_exit_code_is_the_verbs(tmp_path, act):
    process = start(tmp_path, act)
    end(process)
    assert process.returncode == 2
