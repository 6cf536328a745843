"""Threads of every library, and a cache where the home directory cannot be written."""

import os
import subprocess
import sys
import tempfile

import pytest

from scpress import settings
from scpress.errors import InputError

CACHES = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR")


@pytest.fixture
def environment(monkeypatch):
    """The variables that are set here are as they were afterwards."""
    for name in (*settings._THREAD_VARIABLES, *CACHES):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return os.environ


def test_threads_are_those_of_every_library(environment):
    settings.set_threads(3)
    libraries = ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR")
    assert [environment[f"{name}_NUM_THREADS"] for name in libraries] == ["3"] * 5


def test_a_library_that_is_imported_later_follows():
    script = (
        "from scpress import settings; settings.set_threads(1); "
        "import numba; print(numba.config.NUMBA_NUM_THREADS)"
    )
    more = os.environ | {"NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=more, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused_and_nothing_is_set(environment, threads):
    with pytest.raises(InputError, match=f"threads must be at least 1; found {threads}"):
        settings.set_threads(threads)
    assert "OMP_NUM_THREADS" not in environment


def test_caches_lie_in_the_folder_for_temporary_files(environment, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings.set_cache_directories()
    places = [environment[name] for name in CACHES]
    assert len(set(places)) == 2
    for place in places:
        # Another user's folder could not be written.
        assert place.startswith(f"{tmp_path}/scpress-cache-{os.getuid()}/")


def test_a_cache_that_the_user_names_is_kept(environment, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    settings.set_cache_directories()
    assert environment["NUMBA_CACHE_DIR"] == "/mine"
    assert environment["MPLCONFIGDIR"] != "/mine"


def test_no_folder_for_temporary_files_is_one_line(environment, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(InputError, match=r"No usable temporary directory found.*set TMPDIR"):
        settings.set_cache_directories()
