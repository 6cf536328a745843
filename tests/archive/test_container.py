"""Sections: each comes back or is refused by name, whichever byte of the file is another."""

import struct
import zlib

import pytest

from scpress.archive.container import END, MAGIC, ORDER, SectionReader, SectionWriter
from scpress.errors import InputError

PAYLOADS = [
    ("HEAD", b"{}"),
    ("MODL", b""),
    ("REST", b"tables" * 9),
    ("CELL", b"\x00\x01"),
    ("CELL", b"z"),
]
PAYLOADS += [("INDX", b"index")]


def write(path, payloads=PAYLOADS):
    with path.open("wb") as file:
        writer = SectionWriter(file)
        for kind, payload in payloads:
            writer.add(kind, payload)
        writer.finish()
    return path


def read_all(path):
    reader = SectionReader(path)
    try:
        return [(one.kind, reader.read_section(one)) for one in reader.sections]
    finally:
        reader.close()


@pytest.fixture
def whole(tmp_path):
    return write(tmp_path / "a.scp")


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_all(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_sections_come_back_in_their_order(whole):
    assert read_all(whole) == PAYLOADS


def test_the_file_is_what_the_page_says_byte_for_byte(tmp_path):
    path = write(tmp_path / "a.scp", [(kind, b"") for kind in ORDER if kind != "CELL"])
    data = path.read_bytes()
    start = b"\x89SCP\r\n\x1a\n" + struct.pack("<I", 1)
    body, table, at = b"", b"", len(start)
    for kind in (b"HEAD", b"MODL", b"REST", b"INDX"):
        frame = kind + struct.pack("<Q", 0)
        crc = zlib.crc32(frame)
        body += frame + struct.pack("<I", crc)
        table += kind + struct.pack("<QQI", at + 12, 0, crc)
        at += 16
    frame = b"TABL" + struct.pack("<Q", len(table))
    body += frame + table + struct.pack("<I", zlib.crc32(frame + table))
    place = struct.pack("<Q", at)
    trailer = place + struct.pack("<I", zlib.crc32(start + place)) + b"SCP end\n"
    assert data == start + body + trailer


def test_no_flipped_byte_goes_unseen(whole):
    data = whole.read_bytes()
    for at in range(len(data)):
        for bits in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[at] ^= bits
            whole.write_bytes(changed)
            refusal(whole)


def test_a_flipped_byte_is_placed_in_its_section(whole):
    data = bytearray(whole.read_bytes())
    data[data.index(b"tables") + 3] ^= 1
    whole.write_bytes(data)
    assert "damaged in section REST (bytes 58 to 112): its checksum" in refusal(whole)


def test_no_cut_goes_unseen(whole):
    data = whole.read_bytes()
    for n in range(len(data)):
        whole.write_bytes(data[:n])
        refusal(whole)


def test_a_cut_file_says_where_it_ends(whole):
    data = whole.read_bytes()
    whole.write_bytes(data[: data.index(b"tables") + 4])
    assert "is cut: it ends in section REST, 54 bytes before that one does" in refusal(whole)
    whole.write_bytes(data[:-1])
    assert "is cut or damaged: after section TABL" in refusal(whole)


@pytest.mark.parametrize("more", [b"\0", b"more" * 20, MAGIC, END])
def test_what_follows_the_end_is_counted(whole, more):
    whole.write_bytes(whole.read_bytes() + more)
    assert f"has {len(more)} bytes after its end" in refusal(whole)


def test_two_archives_in_one_file_are_refused(whole):
    # Its end is the end of an archive, whose table is of other places.
    whole.write_bytes(whole.read_bytes() * 2)
    refusal(whole)


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_version_is_named(whole, version):
    data = whole.read_bytes()
    whole.write_bytes(data[:8] + struct.pack("<I", version) + data[12:])
    advice = "newer scpress: install" if version > 1 else "older scpress"
    text = refusal(whole)
    assert f"has format version {version}; this scpress reads version 1" in text
    assert advice in text


def test_a_file_that_was_sent_as_text_is_told_so(whole):
    whole.write_bytes(whole.read_bytes().replace(b"\r\n", b"\n"))
    assert "changed as if it were a text" in refusal(whole)


def test_another_file_is_none(tmp_path):
    path = tmp_path / "a.scp"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "is none: it begins with b'\\x89HDF" in refusal(path)
    path.write_bytes(b"")
    assert "is none: it begins with b''" in refusal(path)


def test_a_folder_and_nothing_are_no_archives(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "is not there" in refusal(tmp_path / "a.scp")


@pytest.mark.parametrize(
    "kinds",
    [
        ["HEAD", "MODL", "REST"],
        ["HEAD", "HEAD", "MODL", "REST", "INDX"],
        ["MODL", "HEAD", "REST", "INDX"],
        ["HEAD", "MODL", "REST", "INDX", "CELL"],
        ["HEAD", "MODL", "REST", "SEEN", "INDX"],
        [],
    ],
)
def test_sections_that_are_missing_twice_there_or_unknown_are_refused(tmp_path, kinds):
    path = write(tmp_path / "a.scp", [(kind, b"") for kind in kinds])
    assert "must have the sections HEAD, MODL, REST, CELL, INDX in this order" in refusal(path)


def with_table(data, change):
    """The archive with another table, all its checksums made anew."""
    table = struct.unpack("<Q", data[-20:-12])[0]
    n_bytes = struct.unpack("<Q", data[table + 4 : table + 12])[0]
    payload = change(data[table + 12 : table + 12 + n_bytes])
    frame = b"TABL" + struct.pack("<Q", len(payload))
    end = struct.pack("<I", zlib.crc32(frame + payload))
    return data[:table] + frame + payload + end + data[-20:]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table[:-1],
        lambda table: table[:-24],
        lambda table: table + table[-24:],
        lambda table: table[24:],
        lambda table: table[:12] + struct.pack("<Q", 2**63) + table[20:],
        lambda table: table[:4] + struct.pack("<Q", 2**64 - 1) + table[12:],
    ],
)
def test_a_table_that_does_not_cover_the_file_is_refused(whole, change):
    whole.write_bytes(with_table(whole.read_bytes(), change))
    assert "damaged in section TABL" in refusal(whole)


def test_a_section_with_another_checksum_than_the_table_says_is_refused(whole):
    whole.write_bytes(with_table(whole.read_bytes(), lambda t: t[:20] + b"\0\0\0\0" + t[24:]))
    assert "damaged in section HEAD" in refusal(whole)


def test_no_length_makes_room_that_the_file_does_not_have(whole):
    """2^63 bytes are said of each section in turn, in the frame and in the table."""
    data = whole.read_bytes()
    for number in range(len(PAYLOADS)):
        changed = with_table(
            data,
            lambda table, at=24 * number + 12: (
                table[:at] + struct.pack("<Q", 2**63) + table[at + 8 :]
            ),
        )
        whole.write_bytes(changed)
        refusal(whole)
    # The table itself, whose length stands nowhere else than in its place.
    for table in (0, 11, len(data) - 20, len(data), 2**63, 2**64 - 1):
        place = struct.pack("<Q", table)
        checksum = struct.pack("<I", zlib.crc32(data[:12] + place))
        whole.write_bytes(data[:-20] + place + checksum + END)
        assert "damaged in" in refusal(whole)
