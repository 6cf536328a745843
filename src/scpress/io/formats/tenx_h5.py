"""How HDF5 files of Cell Ranger, and of programs that write alike, become raw counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.axes import is_of_probes
from scpress.counts.genomes import count_species
from scpress.counts.matrix import column_joiner, iter_slabs
from scpress.counts.raw import RawCounts
from scpress.counts.stored import StoredRows
from scpress.errors import InputError
from scpress.io.formats.features import find_genes

# The group of version 3, and what CellBender wrote instead: no names of genomes.
_GROUPS = ("matrix", "background_removed")
# Values that are read for a sum.
_MOST_AT_ONCE = 4_000_000


def open_10x_h5(path: Path, options: IngestOptions) -> RawCounts:
    """Open a matrix of Cell Ranger 2 (one group per genome) or 3 and later (`matrix`)."""
    with h5py.File(path, "r") as file:
        name = next((name for name in _GROUPS if name in file), None)
        name = name or _find_genome(file, options.genome, path)
        group = file[name]
        n_features, n_obs = (int(size) for size in group["shape"][:])
        StoredRows(group, n_obs, n_features)  # damage is told before the counts are asked for
        obs = pd.DataFrame(index=_text(group["barcodes"]))
        columns = _read_features(group)
        if name not in _GROUPS:
            columns["genome"] = np.full(n_features, name, dtype=object)
    known = columns.get("id", columns.get("name"))
    if known is None:
        raise InputError(f"'{path}' names no features: neither their ids nor their symbols.")
    lengths = {len(column) for column in columns.values()}
    if len(obs) != n_obs or lengths != {n_features}:
        raise InputError(f"'{path}': its tables do not fit its shape, {n_features} x {n_obs}.")
    messages: list[str] = []
    if is_of_probes(columns):
        var, target = pd.DataFrame(columns, index=known), np.arange(n_features)
    else:
        symbols = columns.get("name") if "id" in columns else None
        types, genomes = columns.get("feature_type"), columns.get("genome")
        var, target, messages = find_genes(known, symbols, types, genomes, path)
    join = column_joiner(target, len(var))

    # Genes x cells in CSC is cells x genes in CSR: the columns of a cell are stored together.
    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        with h5py.File(path, "r") as file:
            rows = StoredRows(file[name], n_obs, n_features)
            for start, stop in iter_slabs(rows.pointers, max_bytes // 16):
                yield join(rows.read(start, stop))

    return RawCounts(obs, var, read_blocks, messages=messages)


def _find_genome(file: h5py.File, genome: str | None, path: Path) -> str:
    genomes = [name for name in file if isinstance(file[name], h5py.Group)]
    genomes = [name for name in genomes if "barcodes" in file[name]]
    if not genomes:
        found = ", ".join(sorted(file)[:6]) or "nothing"
        raise InputError(f"'{path}' is not a 10x HDF5 file: it holds {found}. Is `format` right?")
    if genome is None and len(genomes) == 1:
        return genomes[0]
    if genome not in genomes:
        found = f"found genome {genome!r}"
        if genome is None:
            found = f"{_count_cells(file, genomes)}; none is named"
        raise InputError(
            f"'{path}' holds the genomes {', '.join(genomes)}; {found}. "
            "Set `genome` to one of them."
        )
    return str(genome)


def _count_cells(file: h5py.File, genomes: list[str]) -> str:
    """The sentence that says of which genome the cells are."""
    totals = {}
    for genome in genomes:
        group = file[genome]
        rows = StoredRows(group, int(group["shape"][1]), int(group["shape"][0]))
        blocks = (rows.read(*slab) for slab in iter_slabs(rows.pointers, _MOST_AT_ONCE))
        molecules = [np.asarray(block.sum(axis=1, dtype=np.float64)).ravel() for block in blocks]
        totals[genome] = pd.Series(np.concatenate(molecules), index=_text(group["barcodes"]))
    return count_species(pd.DataFrame(totals).fillna(0).to_numpy(), genomes)[1]


def _read_features(group: h5py.Group) -> dict[str, np.ndarray]:
    """[features] The columns there are of id, name, feature_type and genome.

    Of a matrix of probes also those that say which gene each is of.
    """
    if "features" not in group:  # version 2
        names = {"id": "genes", "name": "gene_names"}
        return {key: _text(group[name]) for key, name in names.items() if name in group}
    features = group["features"]
    columns = ["id", "name", "feature_type", "genome"]
    if is_of_probes(features):
        columns += ["gene_id", "gene_name", "probe_region", "filtered_probes"]
    return {key: _text(features[key]) for key in columns if key in features}


def _text(dataset: Any) -> np.ndarray:
    values = dataset[:]
    if values.dtype.kind == "b":
        return np.asarray(values)
    return np.array([value.decode() for value in values], dtype=object)
