"""How one sample's raw counts get checked values, unique names and the metadata of the sheet."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.config.options import IngestOptions
from scpress.counts.axes import raw_from_anndata, settle_axes
from scpress.counts.digests import genes_digest
from scpress.counts.frames import plain_frame, require_storable
from scpress.counts.genes import find_ids_and_symbols, without_version
from scpress.counts.raw import NoisyCountsError, RawCounts, require_counts
from scpress.counts.rounding import round_fractions, round_noise
from scpress.errors import InputError, one_line

_log = logging.getLogger("scpress")

_Made = TypeVar("_Made")

# An unfiltered 10x matrix has every barcode of the chemistry or every one ever seen, 10^5 to 10^7,
# and most of them hold a few stray molecules. No filtered sample looks like this.
_UNFILTERED_CELLS = 50_000
_UNFILTERED_MEDIAN = 10
# Columns of the sheet that name groups even where they are written as numbers.
_NAMES = ("sample", "batch", "donor", "condition")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$")


def ingest(
    adata: ad.AnnData,
    *,
    sample: str,
    metadata: Mapping[str, Any] | None = None,
    options: IngestOptions | None = None,
) -> ad.AnnData:
    """Check one sample's raw counts and name its cells and genes.

    Parameters
    ----------
    adata
        [cells, genes] Raw counts in X, or where `options.layer` says; of any number type and
        storage.
    sample
        Name of the sample; cells become `{sample}_{barcode}`.
    metadata
        Columns of the sample sheet, one value each.

    Returns
    -------
    AnnData
        X as CSR int32, obs, var, obsm; the input is not changed.

    Raises
    ------
    InputError
        Not raw counts, names that repeat, no label column, or a single cell or gene.
    """
    options = options or IngestOptions()
    raw = settle_axes(raw_from_anndata(adata, options.layer), options, "the AnnData")
    return ingest_raw(raw, sample=sample, metadata=metadata, options=options)


def ingest_raw(
    raw: RawCounts,
    *,
    sample: str,
    metadata: Mapping[str, Any] | None = None,
    options: IngestOptions | None = None,
) -> ad.AnnData:
    """As `ingest`, of counts of any format (`io.formats.open_raw`)."""
    options = options or IngestOptions()

    def make(raw: RawCounts) -> ad.AnnData:
        rest, kept = describe_sample(raw, sample=sample, metadata=metadata or {}, options=options)
        blocks = list(record_taken(iter_counts(raw, kept, sample=sample), rest))
        rest.X = sparse.vstack(blocks, format="csr", dtype=np.int32)
        return rest

    made = with_counts(raw, make, sample=sample, options=options)
    tell_messages(made)
    return made


def with_counts(
    raw: RawCounts, make: Callable[[RawCounts], _Made], *, sample: str, options: IngestOptions
) -> _Made:
    """What `make` makes of a sample, whose values are rounded first where they have to be.

    Only where a value turns out to be no whole number is there anything to round, so ordinary
    counts are read no second time for it.
    """
    if options.rounding != "none":
        return make(round_fractions(raw, options.rounding, options.seed))
    try:
        return make(raw)
    except NoisyCountsError:
        return make(round_noise(raw, sample))


def describe_sample(
    raw: RawCounts, *, sample: str, metadata: Mapping[str, Any], options: IngestOptions
) -> tuple[ad.AnnData, np.ndarray | None]:
    """Everything of an ingested sample but its counts, and which rows of the input it keeps.

    Returns
    -------
    rest
        [cells, genes] obs, var, obsm and uns, without X.
    kept
        [cells of the input] True for the rows that stay; None for all of them.
    """
    _require_size(raw, sample)
    messages = list(raw.messages)
    require_storable(raw.obs, "cells")
    require_storable(raw.var, "genes")
    obs = _describe_cells(plain_frame(raw.obs), sample, metadata, options, messages)
    var = _describe_genes(plain_frame(raw.var), messages)
    kept = _find_empty_droplets(raw, sample, messages)
    obsm, whole = {}, obs.index
    for name, values in raw.obsm.items():
        name = _free_name("obsm", name, set(raw.obsm), messages)
        if isinstance(values, pd.DataFrame):
            values = plain_frame(values).set_axis(whole, axis=0)
        obsm[name] = values if kept is None else values[kept]
    if kept is not None:
        obs = obs[kept]
        _require_size(RawCounts(obs, var, raw.read_blocks), sample)
    rest = ad.AnnData(obs=obs, var=var, obsm=obsm)
    rest.uns[slots.RECORD.name] = {
        "sample": sample,
        "genes_digest": genes_digest(var.index),
        "source": raw.source if options.layer is None else f"{raw.source}, layer {options.layer}",
        "n_cells_input": raw.shape[0],
        "messages": np.array(list(map(one_line, messages)), dtype=str),
    }
    if raw.rounding is not None:
        rest.uns[slots.RECORD.name]["rounding"] = raw.rounding
    return rest, kept


def tell_messages(rest: ad.AnnData) -> None:
    """Log what an ingested sample says of itself, and what was taken of it."""
    record = rest.uns[slots.RECORD.name]
    for message in record["messages"]:
        _log.info("%s: %s", record["sample"], message)
    _log.info(
        "%s: took %d cells, %d genes and %d molecules from %s",
        record["sample"], *rest.shape, record["n_molecules"], record["source"],
    )  # fmt: skip


def iter_counts(
    raw: RawCounts, kept: np.ndarray | None, *, sample: str
) -> Iterator[sparse.csr_matrix]:
    """Read the counts in blocks of rows, checked, as CSR int32 without stored zeros.

    Raises
    ------
    InputError
        A stored value that is not a count, or several of one place whose sum is not.
    """
    genes = [str(name) for name in raw.var.index]

    def require(values: sparse.csr_matrix) -> None:
        require_counts(
            values.data, sample=sample, columns=values.indices, genes=genes, places=raw.places
        )

    start = 0
    for block in raw.chunks():
        require(block)
        rows = slice(start, start + block.shape[0])
        start += block.shape[0]
        if kept is not None:
            block = block[kept[rows]]
        # Not `astype` of the block, which adds entries of one place in the narrow type.
        counts = sparse.csr_matrix(
            (block.data.astype(np.int32), block.indices.copy(), block.indptr.copy()),
            shape=block.shape,
        )
        counts.sort_indices()
        if not counts.has_canonical_format:  # a place has several entries; their sum may be longer
            total = sparse.csr_matrix(
                (counts.data.astype(np.int64), counts.indices, counts.indptr), shape=counts.shape
            )
            total.sum_duplicates()
            require(total)
            counts = total.astype(np.int32)
        counts.eliminate_zeros()
        yield counts


def record_taken(
    blocks: Iterator[sparse.csr_matrix], rest: ad.AnnData
) -> Iterator[sparse.csr_matrix]:
    """Pass the counts on, and record how many molecules they were."""
    n_molecules = 0
    for block in blocks:
        n_molecules += int(block.data.sum(dtype=np.int64))
        yield block
    rest.uns[slots.RECORD.name]["n_molecules"] = n_molecules


def _require_size(raw: RawCounts, sample: str) -> None:
    for size, one, step in (
        (raw.shape[0], "cell", "neighbours and clusters need several"),
        (raw.shape[1], "gene", "size factors and the model need several"),
    ):
        if size < 2:
            raise InputError(
                f"sample {sample!r} has {size} {one}{'' if size else 's'}; {step}. "
                "Give a larger sample, or check `format` and `orientation`."
            )


def _describe_cells(
    given: pd.DataFrame,
    sample: str,
    metadata: Mapping[str, Any],
    options: IngestOptions,
    messages: list[str],
) -> pd.DataFrame:
    barcodes = given.index.astype(str)
    repeated = barcodes.duplicated()
    if repeated.any():
        raise InputError(
            f"barcodes must be unique inside a sample; {barcodes[repeated][0]!r} appears "
            f"{int((barcodes == barcodes[repeated][0]).sum())} times in sample {sample!r}. "
            "Does the file hold several samples? Ingest them one by one."
        )
    sheet: dict[str, Any] = {slots.SAMPLE.name: sample, **metadata}
    if metadata.get(slots.SAMPLE.name, sample) != sample:
        raise InputError(
            f"metadata names the sample {metadata[slots.SAMPLE.name]!r}, not {sample!r}. "
            "Remove `sample` from the metadata."
        )
    label = None
    if options.label_key is not None:
        label = _find_label(given, metadata, options.label_key, sample)
    index = pd.Index([f"{sample}_{barcode}" for barcode in barcodes], dtype=object)
    columns: dict[str, Any] = {}
    for name, value in sheet.items():
        free = name if name == slots.SAMPLE.name else _free_name("obs", name, set(sheet), messages)
        columns[free] = _read_value(name, value, len(index))
    if label is not None:
        columns[slots.LABEL.name] = label
    taken = set(columns) | set(map(str, given.columns))
    for name in given.columns:
        free = _free_name("obs", str(name), taken, messages, also=set(sheet))
        columns[free] = given[name].array
    return pd.DataFrame(columns, index=index)


def _find_label(given: pd.DataFrame, metadata: Mapping[str, Any], key: str, sample: str) -> Any:
    if key in given:
        values = given[key].astype(object)
    elif key in metadata:
        values = pd.Series([metadata[key]] * len(given), dtype=object)
    else:
        found = ", ".join(map(str, [*given.columns, *metadata])) or "no columns"
        raise InputError(
            f"label_key {key!r} is not a column of sample {sample!r}; it has {found}. "
            "Set `label_key` to one of them, or leave it out."
        )
    return pd.Categorical(values.where(values.notna(), None).map(str, na_action="ignore"))


def _read_value(name: str, value: Any, n_obs: int) -> Any:
    """One value of the sheet as a column: a number where it is one, else a category."""
    text = str(value)
    if name not in _NAMES and _NUMBER.match(text):
        number = float(text)
        whole = re.fullmatch(r"-?\d{1,15}", text) is not None
        return np.full(n_obs, int(text) if whole else number)
    if value is None or text == "":
        return pd.Categorical([None] * n_obs)
    return pd.Categorical([text] * n_obs)


def _describe_genes(given: pd.DataFrame, messages: list[str]) -> pd.DataFrame:
    ids, symbols = find_ids_and_symbols(given)
    columns: dict[str, Any] = {slots.GENE_ID.name: ids, slots.GENE_SYMBOL.name: symbols}
    taken = set(columns) | set(map(str, given.columns))
    for name in given.columns:
        values = given[name].array
        if str(name) in columns and list(map(str, values)) == list(columns[str(name)]):
            continue
        columns[_free_name("var", str(name), taken, messages)] = values
    index = _name_genes(ids, symbols, messages)
    return pd.DataFrame(columns, index=pd.Index(index, dtype=object))


def _name_genes(ids: np.ndarray, symbols: np.ndarray, messages: list[str]) -> list[str]:
    """[genes] Unique names: the id where there is one, else the symbol.

    A repeated symbol gets a number by its place in the file, so that nothing is lost; such names
    mean the same gene only in files with the same gene list, which `merge` respects.
    """
    names = [
        str(gene_id) or str(symbol) or "unnamed"
        for gene_id, symbol in zip(ids, symbols, strict=True)
    ]
    # Ids of two Ensembl releases differ in the version only.
    bare = [without_version(name) for name in names]
    names = bare if len(set(bare)) == len(set(names)) else names
    seen: dict[str, int] = {}
    taken = set(names)
    unique = []
    repeated: dict[str, str] = {}
    n_repeated = 0
    for name in names:
        free = name
        while free in seen or (free != name and free in taken):
            seen[name] += 1
            free = f"{name}-{seen[name]}"
        if free != name:
            repeated.setdefault(name, free)
            n_repeated += 1
        seen.setdefault(free, 0)
        unique.append(free)
    if repeated:
        shown = ", ".join(f"{name} as {free}" for name, free in list(repeated.items())[:3])
        messages.append(
            f"{n_repeated} genes repeat the name of another and have no id of their own: they got "
            f"a number ({shown})"
        )
    return unique


def _free_name(
    axis: str, name: str, taken: set[str], messages: list[str], *, also: set[str] | None = None
) -> str:
    """Name for a key of the user's: its own, or `{name}_input` where scpress writes that one."""
    if not (slots.is_ours(axis, name) or name in (also or ())):
        return name
    free = f"{name}_input"
    while free in taken:
        free += "_input"
    messages.append(f"{axis} {name!r} of the input is kept as {free!r}")
    return free


def _find_empty_droplets(raw: RawCounts, sample: str, messages: list[str]) -> np.ndarray | None:
    """Rows to keep of an unfiltered 10x matrix: those with molecules; None for any other matrix."""
    if raw.shape[0] < _UNFILTERED_CELLS:
        return None
    sizes = np.concatenate([np.asarray(block.sum(axis=1)).ravel() for block in raw.chunks()])
    if not np.median(sizes) <= _UNFILTERED_MEDIAN:
        return None
    kept = sizes != 0
    few = int((sizes <= _UNFILTERED_MEDIAN).sum())
    messages.append(
        f"this is an unfiltered matrix: {few} of its {len(sizes)} barcodes hold at most "
        f"{_UNFILTERED_MEDIAN} molecules. The {int((~kept).sum())} without any were dropped; "
        "the thresholds of qc decide which of the others are cells. A filtered matrix is better"
    )
    return kept
