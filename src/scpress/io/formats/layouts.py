"""Which files of a folder belong to a sparse matrix, by the program that wrote them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scpress.errors import InputError
from scpress.io.formats.matrix_market import read_shape

# GSM123_matrix.mtx.gz: repositories put the sample's name in front of all three files, or behind.
_MATRIX = re.compile(r"(?P<prefix>.*)matrix(?P<suffix>[^.]*)\.mtx$")
# STARsolo's Velocyto folder and kb's workflows lamanno and nac: every molecule is in one of these.
_PART = re.compile(r"(?:cells_x_genes\.)?(spliced|unspliced|ambiguous|mature|nascent)\.mtx$")
_KB = "cells_x_genes.mtx"
_ALEVIN = "quants_mat.mtx"
# The Expression Atlas: X.mtx, X.mtx_rows, X.mtx_cols.
_ROWS, _COLUMNS = ".mtx_rows", ".mtx_cols"
_PARSE = ("count_matrix.mtx", "DGE.mtx", "gene_mat.mtx")


@dataclass(frozen=True)
class Layout:
    """The files of one sample.

    Parameters
    ----------
    matrices
        Part of the molecules -> matrix of it; one part, '', where all are in one matrix.
    cells, genes
        Tables of names, one for all matrices or one for each; no cells where nothing names them.
    symbols
        A table of symbols beside the genes, one a line.
    cells_first
        Whether the rows of a matrix with as many cells as genes are cells.
    is_usa
        Whether the columns are spliced, unspliced and ambiguous molecules if there are three times
        as many as genes (alevin-fry).
    messages
        What was chosen.
    """

    matrices: dict[str, Path]
    cells: tuple[Path, ...]
    genes: tuple[Path, ...]
    symbols: Path | None = None
    cells_first: bool = True
    is_usa: bool = False
    messages: list[str] = field(default_factory=list)


def is_mtx_folder(folder: Path) -> bool:
    """Whether a folder holds a sparse matrix under one of the known names."""
    if not folder.is_dir():
        return False
    names = {_bare(name) for name in _list(folder)}
    return (
        any(_MATRIX.match(name) or _PART.match(name) or name.endswith(_ROWS) for name in names)
        or not names.isdisjoint({_KB, _ALEVIN, "DGE.mtx"})
        or {"gene_mat.mtx", "all_genes.csv"} <= names
        or is_mtx_folder(folder / "alevin")
    )


def find_layout(path: Path) -> Layout:
    """Find the files of a folder, or those beside a matrix that is named itself.

    Raises
    ------
    InputError
        A file is missing, or there are two of a kind.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not any(name.endswith((".mtx", ".mtx.gz")) for name in _list(path)):
        folder = path / "alevin" if (path / "alevin").is_dir() else path
    files = _Files(folder)
    matrices = [path.name] if path.is_file() else files.names
    bare = [_bare(name) for name in matrices]
    if "all_genes.csv" in map(_bare, files.names):
        for name in _PARSE:
            if name in bare:
                return _parse(files, files.pick_matrix(name, matrices))
    if _ALEVIN in bare:
        matrix = files.pick_matrix(_ALEVIN, matrices)
        cells, genes = (files.pick(f"quants_mat_{what}.txt") for what in ("rows", "cols"))
        return Layout({"": matrix}, (cells,), (genes,), is_usa=True, messages=files.messages)
    atlas = [name for name in bare if name + "_rows" in map(_bare, files.names)]
    if atlas:
        matrix = files.pick_matrix(atlas[0], matrices)
        stem = atlas[0].removesuffix(".mtx")
        cells, genes = files.pick(stem + _COLUMNS), files.pick(stem + _ROWS)
        return Layout({"": matrix}, (cells,), (genes,), cells_first=False, messages=files.messages)
    parts = {match.group(1): name for name in bare if (match := _PART.match(name))}
    if parts:
        return _split(files, {part: files.pick_matrix(parts[part], matrices) for part in parts})
    if _KB in bare:
        return _kb(files, {"": files.pick_matrix(_KB, matrices)}, "cells_x_genes.")
    return _cell_ranger(files, path, sorted({name for name in bare if _MATRIX.match(name)}))


def _parse(files: "_Files", matrix: Path) -> Layout:
    genes = files.pick("all_genes.csv")
    cells = ["cell_metadata.csv"] if "cell_metadata.csv" in map(_bare, files.names) else []
    found = tuple(files.pick(name) for name in cells)
    if not found:
        files.messages.append(
            "there is no cell_metadata.csv: the cells are named by their place in the matrix"
        )
    return Layout({"": matrix}, found, (genes,), messages=files.messages)


def _kb(files: "_Files", matrices: dict[str, Path], stem: str) -> Layout:
    names = f"{stem}genes.names.txt"
    symbols = files.pick(names) if names in map(_bare, files.names) else None
    cells, genes = (files.pick(f"{stem}{what}.txt") for what in ("barcodes", "genes"))
    return Layout(matrices, (cells,), (genes,), symbols, messages=files.messages)


def _split(files: "_Files", matrices: dict[str, Path]) -> Layout:
    bare = set(map(_bare, files.names))
    if "cells_x_genes.barcodes.txt" in bare:
        return _kb(files, matrices, "cells_x_genes.")
    if all(f"{part}.barcodes.txt" in bare for part in matrices):
        cells = tuple(files.pick(f"{part}.barcodes.txt") for part in matrices)
        genes = tuple(files.pick(f"{part}.genes.txt") for part in matrices)
        return Layout(matrices, cells, genes, messages=files.messages)
    cells, genes = (files.pick("barcodes.tsv"),), (files.pick("features.tsv", "genes.tsv"),)
    return Layout(matrices, cells, genes, cells_first=False, messages=files.messages)


def _cell_ranger(files: "_Files", path: Path, found: list[str]) -> Layout:
    if path.is_file():
        matrix, match = path, _MATRIX.match(_bare(path.name))
        files.is_gzip = path.name.endswith(".gz")
    else:
        if len(found) != 1:
            there = [name for name in files.names if _bare(name) in found] or files.names
            raise InputError(
                f"'{path}' must hold one of matrix.mtx, matrix.mtx.gz; found "
                f"{', '.join(there[:6]) or 'nothing'}. Give the path of one matrix."
            )
        matrix, match = files.pick_matrix(found[0], files.names), _MATRIX.match(found[0])
    prefix, suffix = match.groups() if match else ("", "")
    is_any = not (prefix or suffix)
    name = f"{prefix}barcodes{suffix}.tsv"
    bare = {_bare(one) for one in files.names}
    n_matrices = sum(_MATRIX.match(one) is not None for one in bare)
    if name not in bare and n_matrices == 1 and "barcodes.tsv" in bare:
        name = "barcodes.tsv"  # of the only matrix there is
    cells = files.pick(name, is_any=is_any)
    wanted = [f"{prefix}{what}{suffix}.tsv" for what in ("features", "genes")]
    if not is_any and not any(_bare(name) in wanted for name in files.names):
        wanted = _find_of_series(files, prefix) or wanted
    genes = files.pick(*wanted, is_any=is_any)
    return Layout({"": matrix}, (cells,), (genes,), cells_first=False, messages=files.messages)


def _find_of_series(files: "_Files", prefix: str) -> list[str]:
    """The one table of features that is of no other sample of a folder: of them all."""
    bare = {_bare(name) for name in files.names}
    others = [match.group("prefix") for name in bare if (match := _MATRIX.match(name))]
    shared = sorted(
        name
        for name in bare
        if name.endswith(("features.tsv", "genes.tsv"))
        and not any(other and name.startswith(other) for other in others)
    )
    if len(shared) == 1:
        files.messages.append(
            f"there is no {prefix}features.tsv; {shared[0]} of the folder is used"
        )
    return shared


class _Files:
    """The files of a folder, and which of two that differ in .gz alone is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = _list(folder)
        self.is_gzip = False
        self.messages: list[str] = []

    def pick_matrix(self, name: str, names: Iterable[str]) -> Path:
        """The matrix of this name; plain and gzipped must be alike, and plain is read."""
        found = sorted(self.folder / there for there in names if _bare(there) == name)
        self.is_gzip = found[0].name.endswith(".gz")
        if len(found) > 1:
            if read_shape(found[0]) != read_shape(found[1]):
                raise self._holds_both(path.name for path in found)
            self.messages.append(f"{found[0].name} is read, not {found[1].name} beside it")
        return found[0]

    def pick(self, *names: str, is_any: bool = False) -> Path:
        """The file of one of these names, of the kind of the matrix; `is_any` takes a prefix."""
        found = [there for there in self.names if _bare(there) in names]
        if is_any and not found:
            found = [there for there in self.names if _bare(there).endswith(names)]
        if not found:
            listed = [name + end for name in names for end in ("", ".gz")]
            raise InputError(
                f"'{self.folder}' must hold one of {', '.join(listed)}; found "
                f"{', '.join(self.names[:6]) or 'nothing'}."
            )
        alike = [name for name in found if name.endswith(".gz") == self.is_gzip]
        if len({_bare(name) for name in found}) > 1 or (len(found) > 1 and len(alike) != 1):
            raise self._holds_both(found)
        if len(found) > 1:
            other = next(name for name in found if name not in alike)
            self.messages.append(f"{alike[0]} is read, not {other} beside it")
            found = alike
        return self.folder / found[0]

    def _holds_both(self, names: Iterable[str]) -> InputError:
        return InputError(
            f"'{self.folder}' holds both {' and '.join(sorted(names)[:4])}. "
            "Which belongs to the matrix? Move the other away."
        )


def _list(folder: Path) -> list[str]:
    # macOS leaves ._matrix.mtx beside matrix.mtx.
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def _bare(name: str) -> str:
    return name.removesuffix(".gz")
