"""What an archive says of its matrix and its chunks, and whether the file can hold that much."""

import dataclasses
import json
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

# How a matrix may have been stored, and the types of its values and of its indices.
STORAGES = ("csr", "csc", "dense")
_VALUES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
_INDICES = ("int32", "int64")
# More cells or genes than these for a byte of the file no text or table of them packs to, and
# more nonzeros for a byte of a chunk, above the first ones, no coder with probabilities of 32 bits.
_MOST_NAMES, _MOST_NONZEROS, _FIRST_NONZEROS = 2**14, 2**20, 2**20


def is_type_of_counts(name: str) -> bool:
    """Whether counts of a type can be packed."""
    return _VALUES.fullmatch(name) is not None


@dataclass(frozen=True)
class Header:
    """The section HEAD, as JSON.

    Attributes
    ----------
    place
        Where the matrix was: "X" or "layers/NAME".
    storage, dtype, indices, indptr
        How it was stored there: csr, csc or dense, and its types; dense ones have no indices.
    model_crc32, rest_crc32
        CRC-32 of the payloads of MODL and REST: those of another archive are not taken for them.
    codec
        What the codec tells of itself.
    """

    n_obs: int
    n_vars: int
    nnz: int
    sum: int
    place: str
    storage: str
    dtype: str
    indices: str | None
    indptr: str | None
    cells_per_chunk: int
    scpress: str
    model_crc32: int
    rest_crc32: int
    codec: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, genes)."""
        return self.n_obs, self.n_vars

    @property
    def n_chunks(self) -> int:
        """Number of chunks of cells."""
        return -(-self.n_obs // self.cells_per_chunk)

    def to_bytes(self) -> bytes:
        """Payload of the section."""
        plain = dataclasses.asdict(self)
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, payload: bytes, *, file_bytes: int) -> "Header":
        """Read the payload; ValueError where it is none, or of more than the file can hold."""
        try:
            plain = json.loads(payload)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        names = [item.name for item in dataclasses.fields(cls)]
        if not isinstance(plain, dict) or sorted(plain) != sorted(names):
            raise ValueError(f"it must name {', '.join(names)}")
        header = cls(**plain)
        header.require_sound(file_bytes)
        return header

    def require_sound(self, file_bytes: int = 2**63) -> None:
        """Raise ValueError where a value is none that it can have, in a file of so many bytes."""
        numbers = ("n_obs", "n_vars", "nnz", "sum", "cells_per_chunk", "model_crc32", "rest_crc32")
        for name in numbers:
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < 2**63:
                raise ValueError(f"{name} is {value!r}")
        for name in ("n_obs", "n_vars"):
            if getattr(self, name) > _MOST_NAMES * file_bytes:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, and the file has {file_bytes:,} bytes"
                )
        if not 1 <= self.cells_per_chunk <= 2**16:
            raise ValueError(f"cells_per_chunk is {self.cells_per_chunk}")
        if self.nnz > self.n_obs * self.n_vars or not self.nnz <= self.sum < self.nnz * 2**31 + 1:
            raise ValueError(f"{self.nnz} nonzeros with a sum of {self.sum} cannot be in it")
        is_dense = self.storage == "dense"
        kinds = (None,) if is_dense else _INDICES
        for name, is_right in (
            (
                "place",
                isinstance(self.place, str) and re.fullmatch(r"X|layers/.+", self.place, re.S),
            ),
            ("storage", self.storage in STORAGES),
            ("dtype", isinstance(self.dtype, str) and is_type_of_counts(self.dtype)),
            ("indices", self.indices in kinds),
            ("indptr", self.indptr in kinds),
            ("scpress", isinstance(self.scpress, str)),
            ("codec", isinstance(self.codec, dict)),
        ):
            if not is_right:
                raise ValueError(f"{name} is {str(getattr(self, name))[:40]!r}")


@dataclass(frozen=True)
class Index:
    """The section INDX: [chunks] bytes, nonzeros, and checksums of the bytes and of the counts."""

    n_bytes: np.ndarray
    nonzeros: np.ndarray
    coded_crc32: np.ndarray
    counts_crc32: np.ndarray

    def to_bytes(self, header: bytes) -> bytes:
        """Payload of the section, bound to the payload of HEAD."""
        columns = (self.n_bytes, self.nonzeros, self.coded_crc32, self.counts_crc32)
        return struct.pack("<I", zlib.crc32(header)) + b"".join(map(_to_column, columns))

    @classmethod
    def from_bytes(cls, payload: bytes, header: Header, header_payload: bytes) -> "Index":
        """Read the payload; ValueError where it does not fit the header."""
        if payload[:4] != struct.pack("<I", zlib.crc32(header_payload)):
            raise ValueError("it is of an archive with another header")
        columns, at = [], 4
        for _ in dataclasses.fields(cls):
            column, at = _from_column(payload, at, header.n_chunks)
            columns.append(column)
        if at != len(payload):
            raise ValueError(f"{len(payload) - at} bytes are left over")
        index = cls(*columns)
        cells = cells_of_chunks(header)
        most = np.minimum(
            cells.astype(np.float64) * header.n_vars,
            _FIRST_NONZEROS + _MOST_NONZEROS * index.n_bytes.astype(np.float64),
        )
        if (index.nonzeros > most).any():
            at = int(np.argmax(index.nonzeros > most))
            raise ValueError(
                f"chunk {at} says that {index.n_bytes[at]} bytes hold {index.nonzeros[at]} nonzeros"
            )
        # Of numbers below 2^63 / chunks no sum is too large, and no file is.
        if sum(map(int, index.nonzeros)) != header.nnz:
            raise ValueError(f"its chunks hold not the {header.nnz} nonzeros of the header")
        return index


def cells_of_chunks(header: Header) -> np.ndarray:
    """[chunks] Cells of each chunk; the last may be shorter."""
    cells = np.full(header.n_chunks, header.cells_per_chunk, dtype=np.int64)
    if header.n_chunks:
        cells[-1] = header.n_obs - header.cells_per_chunk * (header.n_chunks - 1)
    return cells


def _to_column(values: np.ndarray) -> bytes:
    """Width in bytes, then each number in so many, the lowest byte first."""
    values = np.asarray(values, dtype="<u8")
    width = (int(values.max(initial=0)).bit_length() + 7) // 8
    return bytes([width]) + values.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


def _from_column(payload: bytes, at: int, n: int) -> tuple[np.ndarray, int]:
    width = payload[at] if at < len(payload) else 9
    stop = at + 1 + n * width
    if width > 7 or stop > len(payload) or (n and not width and n > len(payload) * 2**14):
        raise ValueError(f"it is too short for {n} chunks")
    wide = np.zeros((n, 8), dtype=np.uint8)
    wide[:, :width] = np.frombuffer(payload, np.uint8, n * width, at + 1).reshape(n, width)
    return wide.view("<u8").ravel().astype(np.int64), stop
