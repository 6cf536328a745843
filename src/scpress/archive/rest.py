"""Everything of an AnnData but the counts: as the files of a zarr folder, and back."""

import itertools
import json
import math
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem, write_elem
from pandas.api.types import infer_dtype
from zarr.core.buffer import cpu
from zarr.registry import get_numcodec
from zarr.storage import MemoryStore

from scpress import slots
from scpress.archive.tree import split_texts
from scpress.counts.frames import plain_frame
from scpress.errors import InputError

# What zarr calls a list of texts, and the only filter that is taken.
_TEXT = [{"id": "vlen-utf8"}]
# Names that zarr has for itself or its folders.
_TAKEN = (".zarray", ".zgroup", ".zattrs", ".", "..", "")
PARTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")


def to_files(rest: ad.AnnData) -> dict[str, bytes]:
    """Files of a zarr folder, format 2, that hold an AnnData.

    The same for every release of anndata and zarr: nothing is compressed, no chunk left out, and
    text is written as plain text.

    Raises
    ------
    InputError
        A name that zarr takes for something else.
    """
    for part in PARTS:
        _require_names(getattr(rest, part), part)
    store: dict[str, Any] = {}
    with warnings.catch_warnings(), zarr.config.set({"array.write_empty_chunks": True}):
        warnings.simplefilter("ignore")  # of names that are no file's; there is no file
        group = zarr.open_group(MemoryStore(store), mode="w", zarr_format=2)
        write_parts(group, rest, dataset_kwargs={"compressor": None})
    return _plain_files({name: data.to_bytes() for name, data in store.items()})


def from_files(files: Mapping[str, bytes], part: str = "") -> Any:
    """Read the AnnData, or one part of it as "obs"."""
    require_arrays(files)
    store: dict[str, Any] = {name: cpu.Buffer.from_bytes(data) for name, data in files.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of encodings that anndata will not write any more
        group = zarr.open_group(MemoryStore(store), mode="r", zarr_format=2)
        found = read_elem(group[part] if part else group)
    return _as_read(found)


def require_arrays(files: Mapping[str, bytes]) -> None:
    """Check that each array has the chunks, and each chunk the bytes, that its shape asks for.

    zarr makes room for what a shape says, reads zeros where a chunk is missing, and decodes by
    whatever filter is named, some of which run code.

    Raises
    ------
    ValueError
        The first array that is not whole.
    """
    for name in files:
        folder, _, file = name.rpartition("/")
        if file != ".zarray":
            continue
        record = json.loads(files[name])
        shape, chunks = record["shape"], record["chunks"]
        sizes = [*shape, *chunks]
        if not all(type(size) is int and 0 <= size < 2**48 for size in sizes):
            raise ValueError(f"{folder} is of shape {str(shape)[:40]}")
        is_text = record["dtype"] == "|O"
        if record["compressor"] is not None or record["filters"] != (_TEXT if is_text else None):
            raise ValueError(f"{folder} is coded in a way that archives are not")
        if not shape:  # a single value; of none at all there is no file
            needed = {f"{folder}/0"} & files.keys()
        else:
            counts = [-(-size // max(1, part)) for size, part in zip(shape, chunks, strict=True)]
            if math.prod(counts) > len(files):
                raise ValueError(f"{folder} lacks some of its {math.prod(counts)} chunks")
            places = itertools.product(*map(range, counts))
            needed = {f"{folder}/{'.'.join(map(str, place))}" for place in places}
        if not needed <= files.keys():
            raise ValueError(f"{folder} lacks some of its {len(needed)} chunks")
        n_items = math.prod(chunks)
        n_bytes = n_items * (1 if is_text else _dtype(record["dtype"]).itemsize)
        for one in needed:
            data = files[one]
            if is_text and len(texts := split_texts(data)) != n_items:
                raise ValueError(f"{one} holds {len(texts)} texts, not {n_items}")
            if not is_text and len(data) != n_bytes:
                raise ValueError(f"{one} has {len(data)} bytes, not {n_bytes}")


def _dtype(named: Any) -> np.dtype:
    """Type as zarr names it: a word, or a list of names and words."""
    return np.dtype(named if isinstance(named, str) else [tuple(field) for field in named])


def write_parts(group: Any, rest: ad.AnnData, *, is_plain: bool = True, **options: Any) -> None:
    """Write an AnnData into a group of zarr or HDF5; options as `anndata.io.write_elem` has them.

    Parameters
    ----------
    is_plain
        Write text as plain text, which every release of anndata reads. Of a zarr, anndata 0.13
        reads that as objects, and equal tables only what it calls nullable text.
    """
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    parts = {name: getattr(rest, name) for name in PARTS}
    if rest.X is not None:
        parts["X"] = rest.X
    if rest.raw is not None:
        parts["raw"] = {"X": rest.raw.X, "var": rest.raw.var, "varm": dict(rest.raw.varm)}
    with ad.settings.override(allow_write_nullable_strings=True):
        for name, part in parts.items():
            write_elem(group, name, _storable(part, is_plain), **options)
    if rest.raw is not None:
        group["raw"].attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})


def _require_names(part: Any, where: str) -> None:
    if isinstance(part, pd.DataFrame):
        names = [str(name) for name in part.columns]
    elif isinstance(part, Mapping):
        names = slots.names_in(part)
        for name in names:
            _require_names(part[name], f"{where}/{name}")
    else:
        return
    for name in names:
        if "\\" in name or name in _TAKEN:
            raise InputError(
                f"{where} has the name {name!r}, which cannot be packed: it has a backslash or is "
                f"one of {', '.join(_TAKEN)}. Rename it."
            )


def _storable(part: Any, is_plain: bool) -> Any:
    if isinstance(part, pd.DataFrame):
        return _storable_frame(part) if is_plain else part
    if isinstance(part, Mapping):
        return {name: _storable(part[name], is_plain) for name in slots.names_in(part)}
    return part


def _storable_frame(table: pd.DataFrame) -> pd.DataFrame:
    """The table with pandas' own text as text, but for columns where some of it is missing."""
    plain = plain_frame(table)
    for number, (_, column) in enumerate(table.items()):
        dtype = column.dtype
        if isinstance(dtype, pd.StringDtype) and (column.hasnans or dtype.na_value is pd.NA):
            plain.isetitem(number, column.array)
    return plain


def _as_read(part: Any) -> Any:
    """Tables with text of pandas' own type where pandas has one, as an h5ad is read."""
    if isinstance(part, ad.AnnData):
        part.obs, part.var = _as_read(part.obs), _as_read(part.var)
        if part.raw is not None:
            raw = part.raw.to_adata()
            raw.var = _as_read(raw.var)
            part.raw = raw
        for mapping in (part.obsm, part.varm, part.uns):
            _as_read(mapping)
    elif isinstance(part, pd.DataFrame):
        table = part.copy(deep=False)
        table.index = _as_text(table.index)
        for number, (_, column) in enumerate(part.items()):
            table.isetitem(number, _as_text(column))
        return table
    elif isinstance(part, MutableMapping):
        for name in list(part):
            if isinstance(part[name], pd.DataFrame | MutableMapping):
                part[name] = _as_read(part[name])
    return part


def _as_text(values: Any) -> Any:
    is_text = values.dtype == object and infer_dtype(values, skipna=False) in ("string", "empty")
    return values.astype(str) if is_text else values


def _plain_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files without compression, which zarr sets by itself for single values."""
    plain = {}
    for name, data in files.items():
        folder, _, file = name.rpartition("/")
        if file in (".zgroup", ".zattrs", ".zarray"):
            record = json.loads(data)
            if file == ".zarray":
                record["compressor"] = None
            data = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        else:
            compressor = json.loads(files[f"{folder}/.zarray"])["compressor"]
            if compressor is not None:
                data = bytes(np.asarray(get_numcodec(compressor).decode(data)).data)
        plain[name] = data
    return plain
