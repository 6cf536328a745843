"""Files are either whole or not there, and what cannot be read or written is one line."""

import errno
import os
import stat
import subprocess
import sys

import pandas as pd
import pytest

from scpress.errors import InputError
from scpress.io import files
from scpress.io.files import (
    atomic_path,
    raise_unreadable,
    raise_unwritable,
    read_json,
    read_lines,
    require_file,
    save_table,
    temporary_path,
    write_json,
    write_together,
)


def test_json_tables_and_lists(tmp_path):
    write_json({"b": 1, "a": [None]}, tmp_path / "deep" / "a.json")
    assert read_json(tmp_path / "deep" / "a.json") == {"a": [None], "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
    for bad in (b"[1", b"", b'"\xff"', b"[" * 100_000):
        (tmp_path / "bad.json").write_bytes(bad)
        with pytest.raises(InputError, match="is not JSON"):
            read_json(tmp_path / "bad.json")
    with pytest.raises(InputError, match="is not JSON"):
        read_json(tmp_path)
    save_table(pd.DataFrame({"x": [1]}), tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_text() == "x\n1\n"
    (tmp_path / "list.txt").write_text("# genes\nA\n\n B \n")
    assert read_lines(tmp_path / "list.txt") == ["A", "B"]
    (tmp_path / "none.txt").write_text("# genes\n")
    with pytest.raises(InputError, match="lists nothing"):
        read_lines(tmp_path / "none.txt")


def test_atomic_path_replaces_only_on_success(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text(str(2 / 0))
    assert (tmp_path / "a").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        # Of one folder, so that taking its place is one step of the file system.
        assert temporary.parent == path.parent
        assert str(os.getpid()) in temporary.name
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.fixture
def ended():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _left_by(process, path, content="half"):
    left = temporary_path(path)
    left = left.with_name(left.name.replace(f".{os.getpid()}.", f".{process}."))
    left.write_text(content)
    return left


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, ended):
    # The name of a result may hold what a pattern of names would take for a sign.
    path = tmp_path / "a[1].h5ad"
    left = _left_by(ended, path)
    write_json([1], path)
    assert not left.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_a_killed_process_left_goes_and_what_a_link_names_stays(tmp_path, ended):
    left = _left_by(ended, tmp_path / "folder")
    left.unlink()
    (left / "deep").mkdir(parents=True)
    temporary_path(tmp_path / "folder")
    assert not left.exists()
    (tmp_path / "mine").mkdir()
    left.symlink_to(tmp_path / "mine")
    temporary_path(tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_what_is_of_others_stays(tmp_path, ended, monkeypatch):
    path = tmp_path / "a"
    kept = [
        _left_by(os.getppid(), path),  # it runs
        _left_by(ended, tmp_path / "b"),  # another result
        _left_by(10**30, path),  # no number of a process
        _left_by("x", path),
        tmp_path / f".a.{ended}.tmp",  # no host in its name
    ]
    kept[-1].touch()
    with monkeypatch.context() as patch:
        patch.setattr(files.socket, "gethostname", lambda: "elsewhere")
        kept.append(_left_by(ended, path))
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "readlink", lambda _: "pid:[another container's]")
        kept.append(_left_by(ended, path))
    write_json([1], path)
    assert sorted(tmp_path.iterdir()) == sorted([path, *kept])


def test_a_process_of_another_user_is_not_gone(tmp_path, ended, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    left = _left_by(ended, tmp_path / "a")
    monkeypatch.setattr(files.os, "kill", refuse)
    write_json([1], tmp_path / "a")
    assert left.exists()


def _outputs(folder, text):
    return [(folder / name, lambda path: path.write_text(text)) for name in ("table", "proof")]


def _texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_outputs_that_belong_together_are_written_together(tmp_path):
    write_together(*_outputs(tmp_path / "deep", "1"))
    assert _texts(tmp_path / "deep") == {"table": "1", "proof": "1"}


def test_both_old_ones_stay_where_one_new_one_fails(tmp_path):
    write_together(*_outputs(tmp_path, "old"))

    def fail(path):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    for number, name in enumerate(("table", "proof")):
        outputs = _outputs(tmp_path, "new")
        outputs[number] = (tmp_path / name, fail)
        with pytest.raises(InputError, match=rf"cannot write '.*{name}': No space"):
            write_together(*outputs)
        assert _texts(tmp_path) == {"table": "old", "proof": "old"}


class _KilledError(BaseException):
    """What comes after it is not done."""


@pytest.mark.parametrize("n_replaced", [0, 1])
def test_a_kill_between_two_outputs_leaves_no_proof_of_a_mixture(tmp_path, monkeypatch, n_replaced):
    write_together(*_outputs(tmp_path, "old"))
    done = []
    replace = os.replace

    def replace_until_killed(*paths):
        if len(done) == n_replaced:
            raise _KilledError
        done.append(replace(*paths))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replace_until_killed)
        with pytest.raises(_KilledError):
            write_together(*_outputs(tmp_path, "new"))
    assert _texts(tmp_path) == {"table": "new" if n_replaced else "old"}
    write_together(*_outputs(tmp_path, "new"))
    assert _texts(tmp_path) == {"table": "new", "proof": "new"}


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_a_result_is_for_whom_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_text("1")
            temporary.chmod(0o600)
    finally:
        assert os.umask(before) == umask
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_a_place_that_is_a_folder_or_lies_in_a_file_is_one_line(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "folder", tmp_path / "file" / "a"):
        with pytest.raises(InputError, match=r"cannot write '.*': .*Check the path"):
            write_json([1], path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some space or write elsewhere"),
        (errno.EDQUOT, "Free some space or write elsewhere"),
        (errno.EFBIG, "Free some space or write elsewhere"),
        (errno.EACCES, "Check the path and its permissions, or write elsewhere"),
        (errno.EROFS, "Check the path and its permissions, or write elsewhere"),
    ],
)
def test_what_the_user_can_do_about_an_unwritable_place_is_said(number, advice):
    with pytest.raises(InputError, match=f"cannot write 'p/a': .*{advice}"):
        raise_unwritable(OSError(number, "no"), "p/a")
    with pytest.raises(InputError, match=r"^cannot write: "):
        raise_unwritable(OSError(number, "no"), None)


def test_another_error_of_the_system_is_its_own(tmp_path):
    error = OSError(errno.EIO, "Input/output error")
    for function in (raise_unwritable, raise_unreadable):
        with pytest.raises(OSError, match="Input/output error") as caught:
            function(error, tmp_path)
        assert caught.value is error


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_file_that_may_not_be_read_is_one_line(tmp_path, number):
    with pytest.raises(InputError, match=r"cannot read '.*': .*Check its permissions"):
        raise_unreadable(OSError(number, "no"), tmp_path / "a")


def test_a_missing_file_is_named(tmp_path):
    require_file(tmp_path)
    for function in (require_file, read_json, read_lines):
        with pytest.raises(InputError, match=r"no such file: '.*none'"):
            function(tmp_path / "none")


def test_what_is_not_a_list_of_names_is_refused(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "bytes", tmp_path):
        with pytest.raises(InputError, match="is not a text file"):
            read_lines(path)


def test_json_is_the_same_text_for_the_same_value(tmp_path):
    for name, value in (("a", {"x": 1, "b": 2}), ("b", {"b": 2, "x": 1})):
        write_json(value, tmp_path / name)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert (tmp_path / "a").read_text().endswith("}\n")
