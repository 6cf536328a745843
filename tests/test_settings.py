"""Threads of every library, and a cache where the home directory cannot be written."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from scpress import settings
from scpress.errors import InputError

CACHES = ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR")


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


@pytest.fixture
def home(environment, monkeypatch, tmp_path):
    """A user's cache folder, beside a folder for temporary files; what is made is removed."""
    registered = []
    monkeypatch.setattr(
        settings.atexit, "register", lambda function, *given, **more: registered.append(given[0])
    )
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return SimpleNamespace(
        cache=tmp_path / "home/scpress", temporary=tmp_path / "temporary", removed=registered
    )


def _caches():
    return [Path(os.environ[name]) for name in CACHES]


def test_caches_lie_in_the_users_own_cache_folder(home):
    settings.set_cache_directories()
    assert _caches() == [home.cache / name for name in ("numba", "triton", "matplotlib")]
    assert stat.S_IMODE(home.cache.stat().st_mode) == 0o700
    assert list(home.temporary.iterdir()) == []
    assert home.removed == []


def test_without_a_cache_folder_named_it_is_below_the_home(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        for name in CACHES:
            monkeypatch.delenv(name, raising=False)
        settings.set_cache_directories()
        assert _caches()[0] == tmp_path / "me/.cache/scpress/numba"


@pytest.mark.parametrize("kind", ["group", "others", "owner", "link", "file", "no home"])
def test_a_cache_folder_that_others_could_write_is_not_used(home, monkeypatch, kind):
    if kind in ("group", "others"):
        home.cache.mkdir()
        home.cache.chmod(0o770 if kind == "group" else 0o702)
    elif kind == "owner":
        home.cache.mkdir(mode=0o700)
        user = os.getuid()
        monkeypatch.setattr(settings.os, "getuid", lambda: user + 1)
    elif kind == "link":
        (home.cache.parent / "elsewhere").mkdir(mode=0o700)
        home.cache.symlink_to(home.cache.parent / "elsewhere")
    elif kind == "file":
        home.cache.touch()
    else:
        home.cache.parent.rmdir()
        home.cache.parent.touch()
    settings.set_cache_directories()
    (folder,) = home.temporary.iterdir()
    assert _caches() == [folder / name for name in ("numba", "triton", "matplotlib")]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # It ends with the process.
    assert home.removed == [folder]


def test_a_folder_that_others_may_only_read_is_private(home):
    home.cache.mkdir()
    home.cache.chmod(0o755)
    settings.set_cache_directories()
    assert _caches()[0] == home.cache / "numba"


def test_a_cache_folder_that_cannot_be_written_is_not_used(home, monkeypatch):
    def full(dir):  # noqa: A002
        raise OSError(28, "No space left on device", dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    settings.set_cache_directories()
    assert _caches()[0].is_relative_to(home.temporary)


def test_a_cache_that_the_user_names_is_kept(environment, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    settings.set_cache_directories()
    assert environment["NUMBA_CACHE_DIR"] == "/mine"
    assert environment["MPLCONFIGDIR"] != "/mine"
    monkeypatch.setenv("TRITON_CACHE_DIR", "/mine as well")
    monkeypatch.setenv("MPLCONFIGDIR", "/mine, too")
    monkeypatch.setattr(settings, "_users_cache", lambda: 1 / 0)
    settings.set_cache_directories()
    assert [environment[name] for name in CACHES] == ["/mine", "/mine as well", "/mine, too"]


def test_no_folder_for_temporary_files_is_one_line(environment, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(InputError, match=r"No usable temporary directory found.*set TMPDIR"):
        settings.set_cache_directories()
