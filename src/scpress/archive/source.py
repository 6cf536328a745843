"""What is packed: where its counts are and how they are stored, and everything beside them."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem
from scipy import sparse

from scpress import slots
from scpress.archive.header import is_type_of_counts
from scpress.config.archive import InputOptions
from scpress.config.options import IngestOptions
from scpress.counts.matrix import iter_chunks, stack_rows
from scpress.counts.parts import find_matrices
from scpress.counts.raw import require_counts
from scpress.errors import InputError
from scpress.io.crashes import note_reading
from scpress.io.files import require_file
from scpress.io.formats import annotated, explain_damage, open_raw, recognize_format
from scpress.io.guards import (
    compressed_groups,
    require_own_storage,
    require_plain,
    require_zarr_matrix,
    require_zarr_names,
)
from scpress.io.h5ad import require_indices

_PARTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns")


@dataclass
class Source:
    """Counts that are read when asked for, and all else in memory.

    Attributes
    ----------
    rest
        [cells, genes] An AnnData without the counts.
    place, storage, dtype, indices, indptr
        As in `Header`.
    read
        Starts reading: CSR blocks of some rows each, in order, of any type; may be called again.
    name
        What is packed, in messages.
    messages
        What the user should be told.
    """

    rest: ad.AnnData
    place: str
    storage: str
    dtype: str
    indices: str | None
    indptr: str | None
    read: Callable[[], Iterator[sparse.csr_matrix]]
    name: str = "the AnnData"
    messages: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, genes)."""
        return self.rest.shape

    def read_counts(self) -> Iterator[sparse.csr_matrix]:
        """Read blocks of counts as the codec takes them: int32, sorted, no zero stored."""
        genes = self.rest.var_names
        for block in self.read():
            yield to_counts(block, genes, self.name)


def to_counts(block: sparse.csr_matrix, genes: Any, name: str) -> sparse.csr_matrix:
    """[cells, genes] The same counts as int32, sorted, each once, no zero stored.

    Raises
    ------
    InputError
        A value that is no count, or entries of one place whose sum is none of their type.
    """
    require_counts(block.data, sample=name, columns=block.indices, genes=genes)
    if not block.has_canonical_format:
        dtype, block = block.dtype, block.astype(np.int64)
        block.sum_duplicates()
        require_counts(block.data, sample=name, columns=block.indices, genes=genes)
        lost = block.data[block.data.astype(dtype) != block.data]
        if len(lost):
            raise InputError(
                f"{name} stores counts as {dtype}, and entries of one place add up to {lost[0]}, "
                "which that type does not hold. Store them as int32."
            )
    block = block.astype(np.int32)
    block.eliminate_zeros()
    return block


def source_of(adata: ad.AnnData, place: str = "X") -> Source:
    """View an AnnData in memory as what is packed; `place` is "X" or "layers/NAME"."""
    name = place.removeprefix("layers/")
    X = adata.X if place == "X" else adata.layers[name]
    parts = {part: getattr(adata, part) for part in ("obs", "var", "uns")}
    for part in ("obsm", "varm", "obsp", "varp", "layers"):
        arrays = getattr(adata, part)
        parts[part] = {key: arrays[key] for key in slots.names_in(arrays)}
    if place != "X":
        del parts["layers"][name]
    rest = _anndata(X=None if place == "X" else adata.X, **parts)
    if adata.raw is not None:
        rest.raw = adata.raw.to_adata()
    return _source(rest, place, lambda: nullcontext(X))


def open_source(path: Path, options: InputOptions, layers: Sequence[str] = ()) -> Source:
    """Read everything of a file that is packed but its counts.

    An AnnData in an h5ad or a zarr is carried as it is; of other files what `ingest` takes.

    Parameters
    ----------
    layers
        Other matrices that are carried: names of layers, "X", "raw".

    Raises
    ------
    InputError
        No such file, an unknown format, one that is damaged, or no matrix at `layer`.
    """
    path = Path(path)
    require_file(path)
    require_plain(path)
    note_reading(path)
    kind = options.format or recognize_format(path)
    source = None
    if kind in ("h5ad", "zarr") and options.orientation == "cells_by_genes":
        with explain_damage(path, kind):
            source = _open_whole(path, kind, options.layer, layers)
    if source is None:
        if layers:
            raise InputError(
                f"`layers` are carried of an AnnData at the top of an h5ad or zarr; '{path}' "
                f"is read as {kind}, whose counts alone are packed. Leave them out."
            )
        raw = open_raw(path, IngestOptions(**dataclasses.asdict(options)))
        rest = _anndata(obs=raw.obs, var=raw.var, obsm=raw.obsm)
        dtypes = ("int32", "int32", "int32")
        source = Source(rest, "X", "csr", *dtypes, raw.chunks, messages=raw.messages)
    source.name = path.name
    return source


def _open_whole(path: Path, kind: str, layer: str | None, layers: Sequence[str]) -> Source | None:
    """Open an AnnData that is carried whole; None where it is not of one matrix at the top."""
    opener = _opener(path, kind)
    if opener is None:
        return None
    if kind == "h5ad":
        require_own_storage(path, is_all_read=True)
        with h5py.File(path, "r") as file:
            for _ in compressed_groups(file):
                pass
    with opener() as store:
        if "mod" in store and "X" not in store:  # of several modalities the one of genes
            return None
        if "obs" not in store or "var" not in store or not annotated.is_current(store, path):
            return None
        keys = annotated.matrix_keys(store)
        found, _ = find_matrices(keys, layer, str(path))
        if len(found) > 1 or found == ["raw/X"]:
            return None
        place = found[0]
        carried = _keys_of(layers, keys, place, str(path))
        if kind == "zarr":
            for key in (place, *carried):
                require_zarr_matrix(store[key])
            for name in ("obs", "var"):
                require_zarr_names(store[name])
        for key in keys:
            annotated.require_matrix(store[key])
        rest = _read_rest(store, carried)
        annotated.require_shape(
            annotated.require_matrix(store[place]), rest.obs, rest.var, f"'{path}': {place}"
        )
        require_indices(rest, path)
    left = [_option_name(key) for key in keys if key not in (place, *carried)]
    source = _source(rest, place, lambda: _matrix_in(opener, place))
    if left:
        source.messages.append(f"not carried: {', '.join(left)}; name them with `layers`")
    return source


def _opener(path: Path, kind: str) -> Callable[[], AbstractContextManager[Any]] | None:
    if kind == "h5ad":
        return lambda: closing(h5py.File(path, "r"))
    if path.is_dir():
        return lambda: nullcontext(zarr.open_group(str(path), mode="r"))
    return None


@contextmanager
def _matrix_in(opener: Callable[[], AbstractContextManager[Any]], place: str) -> Iterator[Any]:
    """The matrix of a file while it is open."""
    with opener() as store:
        yield annotated.matrix_of(store[place])


def _keys_of(layers: Sequence[str], keys: list[str], place: str, where: str) -> list[str]:
    """Where in a file the matrices are that the option `layers` names."""
    carried = []
    for name in layers:
        key = {"X": "X", "raw": "raw/X"}.get(name, f"layers/{name}")
        if key not in keys or key == place:
            there = ", ".join(_option_name(key) for key in keys if key != place) or "nothing"
            raise InputError(f"{where} has no {name!r} to carry in `layers`; it has {there}.")
        carried.append(key)
    return carried


def _option_name(key: str) -> str:
    return "raw" if key == "raw/X" else key.removeprefix("layers/")


def _read_rest(store: Any, carried: list[str]) -> ad.AnnData:
    parts = {name: read_elem(store[name]) for name in _PARTS if name in store}
    parts["layers"] = {
        key.removeprefix("layers/"): read_elem(store[key])
        for key in carried
        if key.startswith("layers/")
    }
    rest = _anndata(X=read_elem(store["X"]) if "X" in carried else None, **parts)
    if "raw/X" in carried:
        raw = {name: read_elem(store["raw"][name]) for name in store["raw"]}
        rest.raw = _anndata(obs=pd.DataFrame(index=rest.obs_names), **raw)
    return rest


def _anndata(**parts: Any) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that repeat, or are no texts
        return ad.AnnData(**parts)


def _source(
    rest: ad.AnnData, place: str, opened: Callable[[], AbstractContextManager[Any]]
) -> Source:
    """Source of a matrix that is there while it is opened."""
    with opened() as X:
        storage = getattr(X, "format", "dense")
        dtype, indices, indptr = str(np.dtype(X.dtype).name), None, None
        if not is_type_of_counts(dtype):
            raise InputError(
                f"the counts at {place} are of type {dtype}, and must be numbers. Name another "
                "matrix with `layer`."
            )
        whole = None
        if storage == "csc":  # a row of it is complete only at the end
            blocks = (block for _, _, block in iter_chunks(X, values="anything"))
            whole = stack_rows(blocks, n_vars=X.shape[1], dtype=X.dtype)
        if storage != "dense":
            parts = X.group if hasattr(X, "group") else None
            indices, indptr = (
                str(parts[name].dtype if parts is not None else getattr(X, name).dtype)
                for name in ("indices", "indptr")
            )

    def read() -> Iterator[sparse.csr_matrix]:
        with nullcontext(whole) if whole is not None else opened() as X:
            yield from (block for _, _, block in iter_chunks(X, values="anything"))

    return Source(rest, place, storage, dtype, indices, indptr, read)
