"""Text is text, whatever its name and first bytes say."""

import gzip

import pytest

from scpress.io.formats.plain import open_text


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_first_bytes_tell_what_is_packed(tmp_path, name, mark, pack):
    (tmp_path / name).write_bytes(pack(mark + "gène\nb\n".encode()))
    with open_text(tmp_path / name) as file:
        assert file.read() == "gène\nb\n"


def test_a_file_shorter_than_a_mark_is_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with open_text(tmp_path / "a") as file:
        assert file.read() == "x"
