"""What `pack` tells of an archive beside the file that it packed, and the page shows."""

from dataclasses import dataclass
from typing import ClassVar

from scpress.tables.records import Record


@dataclass(frozen=True, kw_only=True)
class PackedBytes(Record):
    """Bytes of an archive and of its input.

    Attributes
    ----------
    input_bytes
        Of the file that was packed, or of all in the folder.
    sections
        Bytes of each kind of section; "frames" is what lies around them.
    rung
        The model of the counts that was chosen.
    """

    made_by: ClassVar[str] = "`scpress pack`"

    n_cells: int
    n_genes: int
    n_nonzeros: int
    input_bytes: int
    archive_bytes: int
    sections: dict[str, int]
    rung: str
