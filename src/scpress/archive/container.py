"""How an archive is laid out: framed sections with a checksum each, their table, a trailer."""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from scpress.errors import InputError, require_format
from scpress.io.crashes import note_reading

# The line ends are changed by what takes a file for a text, as PNG's are.
MAGIC = b"\x89SCP\r\n\x1a\n"
END = b"SCP end\n"
VERSION = 1
# Each once and in this order, but for CELL, of which there may be any number.
ORDER = ("HEAD", "MODL", "REST", "CELL", "INDX")
TABLE = "TABL"
COPY = "Copy or download it again."

_START = struct.Struct("<8sI")
_FRAME = struct.Struct("<4sQ")
_CHECKSUM = struct.Struct("<I")
_ENTRY = struct.Struct("<4sQQI")
_TRAILER = struct.Struct("<QI8s")
FRAME_BYTES = _FRAME.size + _CHECKSUM.size


class Section(NamedTuple):
    """Where a section is: its kind, the offset of its payload, the bytes of that, its CRC-32."""

    kind: str
    offset: int
    n_bytes: int
    checksum: int

    @property
    def stop(self) -> int:
        """Where the next section begins."""
        return self.offset + self.n_bytes + _CHECKSUM.size


class SectionWriter:
    """Writes an archive from front to back.

    Parameters
    ----------
    file
        Empty, and open for writing bytes.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._start = _START.pack(MAGIC, VERSION)
        self._file.write(self._start)
        self._offset = len(self._start)
        self._entries: list[bytes] = []

    def add(self, kind: str, payload: bytes) -> None:
        """Write one section."""
        frame = _FRAME.pack(kind.encode(), len(payload))
        checksum = zlib.crc32(payload, zlib.crc32(frame))
        for part in (frame, payload, _CHECKSUM.pack(checksum)):
            self._file.write(part)
        offset = self._offset + len(frame)
        self._entries.append(_ENTRY.pack(kind.encode(), offset, len(payload), checksum))
        self._offset = offset + len(payload) + _CHECKSUM.size

    def finish(self) -> None:
        """Write the table of the sections and the trailer."""
        table = self._offset
        self.add(TABLE, b"".join(self._entries))
        place = struct.pack("<Q", table)
        self._file.write(_TRAILER.pack(table, zlib.crc32(place, zlib.crc32(self._start)), END))


class SectionReader:
    """The sections of an archive, none of which is taken for whole before its checksum was seen.

    Raises
    ------
    InputError
        No such file, not an archive, of another version, cut, longer than it says, or its table is
        damaged.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not self.path.is_file():
            kind = "is a folder, not an archive" if self.path.is_dir() else "is not there"
            raise InputError(f"'{path}' {kind}. Give a file that `scpress pack` wrote.")
        note_reading(self.path)
        self._file = self.path.open("rb")
        try:
            self.n_bytes = os.fstat(self._file.fileno()).st_size
            self._require_start()
            self.sections = self._read_table()
            self._require_order()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Bytes of the file, which must have so many there."""
        self._file.seek(offset)
        data = self._file.read(n_bytes)
        if len(data) < n_bytes:
            self.refuse(f"ends {n_bytes - len(data)} bytes early: it was cut while it was read")
        return data

    def read(self, kind: str) -> bytes:
        """Payload of the one section of a kind."""
        return self.read_section(self.find(kind)[0])

    def find(self, kind: str) -> list[Section]:
        """All sections of a kind, in their order."""
        return [section for section in self.sections if section.kind == kind]

    def read_section(self, section: Section) -> bytes:
        """Payload of a section.

        Raises
        ------
        InputError
            Its checksum is not that of the payload, or its frame not what the table says.
        """
        payload = self.read_at(section.offset, section.n_bytes)
        frame = _FRAME.pack(section.kind.encode(), section.n_bytes)
        stored = self.read_at(section.offset - _FRAME.size, _FRAME.size)
        end = self.read_at(section.offset + section.n_bytes, _CHECKSUM.size)
        checksum = zlib.crc32(payload, zlib.crc32(frame))
        if stored != frame or (checksum,) != _CHECKSUM.unpack(end) or checksum != section.checksum:
            self.refuse_section(section, "its checksum is another")
        return payload

    def refuse(self, fault: str, advice: str = COPY) -> NoReturn:
        """Raise what is wrong with the file as one line."""
        raise InputError(f"the archive '{self.path}' {fault}. {advice}")

    def refuse_section(self, section: Section, fault: str) -> NoReturn:
        """Raise what is wrong with a section as one line."""
        first, last = section.offset, section.offset + section.n_bytes
        self.refuse(f"is damaged in section {section.kind} (bytes {first:,} to {last:,}): {fault}")

    def _require_start(self) -> None:
        start = self.read_at(0, min(self.n_bytes, _START.size))
        if start[: len(MAGIC)] != MAGIC:
            if start[:4] == MAGIC[:4] and len(start) == _START.size:
                self.refuse("was changed as if it were a text: its first line ends are others")
            self.refuse(
                f"is none: it begins with {start[: len(MAGIC)]!r}",
                "Give a file that `scpress pack` wrote.",
            )
        if len(start) < _START.size:
            self._refuse_end()
        _, version = _START.unpack(start)
        require_format(version, oldest=1, newest=VERSION, what=f"the archive '{self.path}'")

    def _read_table(self) -> list[Section]:
        place = self.n_bytes - _TRAILER.size
        if place < _START.size + FRAME_BYTES:
            self._refuse_end()
        table, checksum, end = _TRAILER.unpack(self.read_at(place, _TRAILER.size))
        start = self.read_at(0, _START.size)
        if (checksum, end) != (zlib.crc32(struct.pack("<Q", table), zlib.crc32(start)), END):
            self._refuse_end()
        n_bytes = place - table - FRAME_BYTES
        if table < _START.size or n_bytes < 0:
            self.refuse(f"is damaged in its trailer: it places the table at byte {table:,}")
        stored = self.read_at(table + _FRAME.size + n_bytes, _CHECKSUM.size)
        section = Section(TABLE, table + _FRAME.size, n_bytes, *_CHECKSUM.unpack(stored))
        payload = self.read_section(section)
        if n_bytes % _ENTRY.size:
            self.refuse_section(section, f"{n_bytes} bytes are no whole number of entries")
        sections, at = [], _START.size
        for kind, *numbers in _ENTRY.iter_unpack(payload):
            found = Section(kind.decode("ascii", "replace"), *numbers)
            if found.offset != at + _FRAME.size or found.stop > table:
                self.refuse_section(section, f"{found.kind} is not where the one before ends")
            sections.append(found)
            at = found.stop
        if at != table:
            self.refuse_section(section, f"{table - at:,} bytes before it are of no section")
        return sections

    def _require_order(self) -> None:
        kinds = [section.kind for section in self.sections]
        wanted = [kind for kind in ORDER for _ in range(kinds.count(kind) if kind == "CELL" else 1)]
        if kinds != wanted:
            found = ", ".join(dict.fromkeys(kinds)) or "none"
            self.refuse(f"must have the sections {', '.join(ORDER)} in this order; it has {found}")

    def _refuse_end(self) -> NoReturn:
        """Say why an archive does not end as one: cut, or with something after its end."""
        last, at = "its first bytes", _START.size
        for section in self._walk():
            if section.stop > self.n_bytes:
                self.refuse(
                    f"is cut: it ends in section {section.kind}, "
                    f"{section.stop - self.n_bytes:,} bytes before that one does"
                )
            last, at = f"section {section.kind}", section.stop
            if section.kind == TABLE and at + _TRAILER.size < self.n_bytes:
                end = self.read_at(at, _TRAILER.size)
                if end.endswith(END):
                    n_more = self.n_bytes - at - _TRAILER.size
                    self.refuse(f"has {n_more:,} bytes after its end", "Cut them off, or copy it.")
        if last.endswith(TABLE) and at + _TRAILER.size == self.n_bytes:
            self.refuse("is damaged in its trailer: it does not end as one")
        self.refuse(f"is cut or damaged: after {last} (byte {at:,}) it is not whole")

    def _walk(self) -> Iterator[Section]:
        at = _START.size
        while at + _FRAME.size <= self.n_bytes:
            kind, n_bytes = _FRAME.unpack(self.read_at(at, _FRAME.size))
            name = kind.decode("ascii", "replace")
            if name not in (*ORDER, TABLE):
                return
            section = Section(name, at + _FRAME.size, n_bytes, 0)
            yield section
            at = section.stop
