"""What tables of receptor chains say: 10x contig annotations and AIRR rearrangements."""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pandas as pd

from scpress.errors import InputError, one_line
from scpress.io.files import require_file

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
# A receptor is two chains: one recombined of V and J, one of V, D and J.
ARMS = {
    "TRA": "VJ",
    "TRG": "VJ",
    "IGK": "VJ",
    "IGL": "VJ",
    "TRB": "VDJ",
    "TRD": "VDJ",
    "IGH": "VDJ",
}
COLUMNS = (
    "barcode",
    "chain",
    "cdr3",
    "v_gene",
    "j_gene",
    "molecules",
    "other_v_genes",
    "other_j_genes",
)
_MISSING = ("", "none", "na", "nan", "null")
_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0", *_MISSING)
_GENE = re.compile(r"(?:TR[ABDG]|IG[HKL])[VJ][\w./()-]*")


@dataclass(frozen=True)
class _Layout:
    """Which column says what. Of `molecules`, the first that is there; `filters` may be absent."""

    name: str
    barcode: str
    cdr3: str
    v_gene: str
    j_gene: str
    chain: str
    molecules: tuple[str, ...]
    filters: tuple[str, ...]

    @property
    def needed(self) -> tuple[str, ...]:
        return (self.barcode, self.cdr3, self.v_gene, self.j_gene, "productive")


# AIRR Community's Rearrangement schema (Vander Heiden et al. 2018); its junction is 10x's cdr3,
# and its own cdr3 lacks the residue at either end.
_LAYOUTS = (
    _Layout(
        "10x contig annotations",
        "barcode",
        "cdr3",
        "v_gene",
        "j_gene",
        "chain",
        ("umis", "reads"),
        ("is_cell", "high_confidence"),
    ),
    _Layout(
        "AIRR rearrangements",
        "cell_id",
        "junction_aa",
        "v_call",
        "j_call",
        "locus",
        ("umi_count", "duplicate_count", "consensus_count"),
        ("is_cell", "high_confidence"),
    ),
)


@dataclass(frozen=True)
class Contigs:
    """The productive chains of one file.

    Attributes
    ----------
    chains
        [chains] `COLUMNS`: of one barcode no two have the same sequence and genes. A gene that is
        not known is "". Where a row names several genes the first is used, and the others are
        joined by commas.
    n_rows
        Rows of the file.
    dropped
        Why rows were not used, and how many; copies were joined, their molecules added.
    """

    chains: pd.DataFrame
    n_rows: int
    dropped: dict[str, int]


def read_contigs(path: Path) -> Contigs:
    """Read one table, plain or gzipped, separated by commas or tabs; its header says which it is.

    Raises
    ------
    InputError
        No such file, no such table, or a value that cannot be: with file, row and value.
    """
    require_file(path)
    try:
        with _open_text(path) as file:
            return _read(file, path)
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not text in UTF-8. Is it the table of chains?") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' cannot be read ({one_line(str(error))}).") from error


def _open_text(path: Path) -> TextIO:
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    opened = gzip.open(path, "rb") if is_gzip else open(path, "rb")  # noqa: SIM115
    return io.TextIOWrapper(opened, encoding="utf-8-sig", newline="")  # type: ignore[arg-type]


def _read(file: TextIO, path: Path) -> Contigs:
    first = file.readline()
    delimiter = "\t" if "\t" in first else ","
    header = next(csv.reader([first], delimiter=delimiter), [])
    layout = _layout_of(header, path)
    known = next((name for name in layout.molecules if name in header), None)
    filters = [name for name in layout.filters if name in header]
    dropped: Counter[str] = Counter()
    found: dict[tuple[str, ...], list] = {}
    number = 0
    try:
        for number, cells in enumerate(csv.reader(file, delimiter=delimiter, strict=True), start=1):
            if len(cells) != len(header):
                raise InputError(
                    f"row {number} of '{path}' has {len(cells)} values and its header names "
                    f"{len(header)}. Is the file cut short?"
                )
            row = _Row(dict(zip(header, cells, strict=True)), number, path)
            reason = row.why_not(layout, filters)
            chain = None if reason else row.chain(layout)
            if reason or chain is None:
                dropped[reason or "residues not known"] += 1
                continue
            molecules = 1 if known is None else row.whole_number(known)
            if chain[:5] in found:
                dropped["copies of another row"] += 1
                found[chain[:5]][0] += molecules
            else:
                found[chain[:5]] = [molecules, *chain[5:]]
    except csv.Error as error:
        raise InputError(f"row {number + 1} of '{path}' cannot be read ({error}).") from error
    chains = pd.DataFrame([(*key, *rest) for key, rest in found.items()], columns=list(COLUMNS))
    return Contigs(chains.astype({"molecules": "int64"}), number, dict(sorted(dropped.items())))


def _layout_of(header: list[str], path: Path) -> _Layout:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise InputError(f"column {twice[0]!r} is twice in '{path}'; keep one of them.")
    layout = max(_LAYOUTS, key=lambda one: len(set(one.needed) & set(header)))
    missing = [name for name in layout.needed if name not in header]
    if missing:
        has = one_line(", ".join(header))[:120] or "nothing"
        raise InputError(
            f"'{path}' has no column {missing[0]!r}, which {layout.name} have; it has {has}. Give "
            "filtered_contig_annotations.csv, all_contig_annotations.csv or an AIRR table with "
            "cell_id."
        )
    return layout


@dataclass(frozen=True)
class _Row:
    values: dict[str, str]
    number: int
    path: Path

    def why_not(self, layout: _Layout, filters: list[str]) -> str | None:
        """Why a row is not used; None where it is."""
        for name in filters:
            if not self.is_true(name):
                return {"is_cell": "not of a cell"}.get(name, "of low confidence")
        if not self.is_true("productive"):
            return "not productive"
        if self.values[layout.cdr3].strip().lower() in _MISSING:
            return "without a CDR3"
        # Cell Ranger's word for a contig with genes of several chains.
        if self.values.get(layout.chain, "").strip().lower() == "multi":
            return "of several chains at once"
        return None

    def chain(self, layout: _Layout) -> tuple[str, ...] | None:
        """Barcode, chain, CDR3, V and J, other V and J; None where a residue is not known."""
        barcode = self.values[layout.barcode].strip()
        if not barcode or any(ord(one) < 32 for one in barcode):
            raise self.refused(layout.barcode, "the name of a cell")
        cdr3 = self.values[layout.cdr3].strip().upper()
        # A stop, a shifted frame, a residue of uncertain bases: translators' own signs.
        is_known = not set(cdr3) & set("X*_#?BZJ")
        if set(cdr3) - set(RESIDUES) - set("X*_#?BZJ"):
            raise self.refused(layout.cdr3, "a sequence of amino acids")
        v_gene, *v_others = self.genes(layout.v_gene)
        j_gene, *j_others = self.genes(layout.j_gene)
        chain = self.values.get(layout.chain, "").strip().upper()
        if chain.lower() in _MISSING:
            chain = (v_gene or j_gene)[:3]
        if chain not in ARMS:
            where = layout.chain if layout.chain in self.values else layout.v_gene
            raise self.refused(where, f"a chain ({', '.join(ARMS)})")
        if not is_known:
            return None
        return barcode, chain, cdr3, v_gene, j_gene, ",".join(v_others), ",".join(j_others)

    def genes(self, name: str) -> list[str]:
        """Genes of one column without their alleles, each once; "" where there is none."""
        text = self.values[name].strip()
        if text.lower() in _MISSING:
            return [""]
        found = _GENE.findall(text)
        if len(found) < len(text.split(",")):
            raise self.refused(name, "the name of a gene, such as TRBV19*01")
        return list(dict.fromkeys(found))

    def is_true(self, name: str) -> bool:
        word = self.values[name].strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise self.refused(name, "true or false")
        return word in _TRUE

    def whole_number(self, name: str) -> int:
        text = self.values[name].strip()
        if text.lower() in _MISSING:
            return 0
        if not re.fullmatch(r"[0-9]{1,15}(\.0*)?", text):
            raise self.refused(name, "a whole number")
        return int(text.partition(".")[0])

    def refused(self, name: str, wanted: str) -> InputError:
        value = self.values.get(name, "")
        return InputError(
            f"row {self.number} of '{self.path}': {name} must be {wanted}; found {value[:60]!r}."
        )
