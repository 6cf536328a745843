"""How the passing cells of all samples become one matrix over one list of genes."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.config.options import MergeOptions
from scpress.counts.digests import genes_digest
from scpress.counts.genes import find_ids_and_symbols
from scpress.counts.matrix import iter_chunks, remap_columns, stack_rows
from scpress.errors import InputError

_log = logging.getLogger("scpress")

# A sample that loses more than this share of its molecules is not the sample any more.
_MOST = 0.5

Samples = Mapping[str, tuple[ad.AnnData, ad.AnnData]]


@dataclass
class MergePlan:
    """What a merge will be, before any count is read.

    Parameters
    ----------
    rest
        [cells, genes] The merged obs, var, obsm and uns, without X.
    targets
        Per sample [genes of the sample] the merged column of each gene, -1 where it is left out.
    passing
        Per sample [cells of the sample] True for the cells that are kept.
    """

    rest: ad.AnnData
    targets: dict[str, np.ndarray]
    passing: dict[str, np.ndarray]


def merge(samples: Samples, options: MergeOptions | None = None) -> ad.AnnData:
    """Join the passing cells of all samples over their common genes, or over all.

    Of `panels` varm["measured"] says which sample measured which gene, in the order of
    uns["scpress"]["sample_names"]; it is left out where every sample measured all.

    Genes join by their names in var, which are ids where the input has them. Where some samples
    have ids and others symbols only, a symbol is given the id it has in the others, if it has
    exactly one and is not repeated. Where samples list their genes in different orders, symbols
    that repeat inside a sample are left out: nothing says which of them is which.

    Parameters
    ----------
    samples
        Sample -> (what `ingest` made, what `qc` made of it), [cells, genes] each.

    Raises
    ------
    InputError
        No common genes, or fewer than two cells or genes left.
    """
    plan = plan_merge(samples, options or MergeOptions())
    merged = plan.rest
    merged.X = stack_rows(iter_merged(samples, plan), n_vars=merged.n_vars, dtype=np.int32)
    return merged


def plan_merge(samples: Samples, options: MergeOptions) -> MergePlan:
    """Decide which cells and genes a merge keeps; reads everything but X."""
    if not samples:
        raise InputError("there are no samples to merge; found an empty list. Name at least one.")
    messages: list[str] = []
    for sample, (counts, marks) in samples.items():
        _require_match(sample, counts, marks)
    passing = {
        sample: marks.obs[slots.PASS_QC.name].to_numpy(dtype=bool)
        for sample, (_, marks) in samples.items()
    }
    names = _join_names(samples, messages)
    genes = _choose_genes(names, options.genes)
    if options.genes == "intersection":
        _tell_losses(samples, names, genes, passing, messages)
    n_cells = pd.Series(0, index=genes, dtype=np.int64)
    for sample, (_, marks) in samples.items():
        values = pd.Series(marks.var[slots.N_CELLS.name].to_numpy(), index=names[sample])
        n_cells += values[values.index.notna()].reindex(genes, fill_value=0)
    enough = n_cells.to_numpy() >= options.min_cells
    if not enough.all():
        messages.append(
            f"{int((~enough).sum())} of {len(genes)} genes are detected in fewer than "
            f"{options.min_cells} passing cells and left out"
        )
    n_zero = int((n_cells == 0).sum())
    genes = genes[enough]
    obs = _merge_obs(samples, passing)
    if len(obs) < 2 or len(genes) < 2:
        raise InputError(
            f"{len(obs)} cells and {len(genes)} genes are left after merging; at least 2 of each "
            "are needed. Loosen the thresholds of qc, or min_cells and genes of merge."
        )
    var = _merge_var(samples, names, genes)
    var[slots.N_CELLS.name] = n_cells.to_numpy()[enough]
    rest = ad.AnnData(obs=obs, var=var, obsm=_merge_obsm(samples, passing, messages))
    if options.genes == "panels":
        _mark_measured(rest, names, messages)
    rest.uns[slots.RECORD.name] = _record(samples, passing, genes, n_zero, messages)
    for message in messages:
        _log.info("%s", message)
    targets = {sample: genes.get_indexer(names[sample]) for sample in samples}
    return MergePlan(rest, targets, passing)


def iter_merged(samples: Samples, plan: MergePlan) -> Iterator[sparse.csr_matrix]:
    """Read the counts of the passing cells in blocks, in the order of the merged cells."""
    n_vars = plan.rest.n_vars
    for sample, (counts, _) in samples.items():
        for start, stop, block in iter_chunks(counts.X):
            kept = block[plan.passing[sample][start:stop]]
            yield remap_columns(kept, plan.targets[sample], n_vars)


def _require_match(sample: str, counts: ad.AnnData, marks: ad.AnnData) -> None:
    slots.require(marks, slots.PASS_QC, slots.N_CELLS)
    slots.require_same_cells(counts.obs_names, marks.obs_names, f"qc of sample {sample!r}")
    slots.require_same_genes(counts.var_names, marks.var_names, f"qc of sample {sample!r}")


def _join_names(samples: Samples, messages: list[str]) -> dict[str, pd.Index]:
    """Per sample the name under which each gene joins; None where it must not join."""
    names: dict[str, pd.Index] = {}
    with_ids: dict[str, np.ndarray] = {}
    symbols: dict[str, np.ndarray] = {}
    for sample, (counts, _) in samples.items():
        ids, symbols[sample] = find_ids_and_symbols(counts.var)
        with_ids[sample] = ids != ""
        names[sample] = counts.var_names.astype(object)
    first = next(iter(names.values()))
    if all(index.equals(first) for index in names.values()):
        return names
    has_ids = {sample: bool(known.any()) for sample, known in with_ids.items()}
    mixed = any(has_ids.values()) and not all(has_ids.values())
    ids_of_symbols = _read_ids_of_symbols(samples, has_ids, symbols) if mixed else {}
    for sample in samples:
        by_symbol = pd.Series(symbols[sample])
        # Ids are unique names whatever their symbols.
        unclear = (by_symbol.duplicated(keep=False) & (by_symbol != "")).to_numpy()
        unclear = unclear & ~with_ids[sample]
        joined = np.asarray(names[sample], dtype=object).copy()
        if not has_ids[sample] and ids_of_symbols:
            found = by_symbol.map(ids_of_symbols)
            known = found.notna().to_numpy() & ~unclear
            joined[known] = found[known]
            messages.append(
                f"{sample} has symbols only: {int(known.sum())} of its {len(joined)} genes join by "
                "the id their symbol has in other samples"
            )
        if unclear.any():
            joined[unclear] = None
            messages.append(
                f"{sample}: {int(unclear.sum())} genes share a symbol and have no id, and the "
                "samples list their genes differently: left out"
            )
        names[sample] = pd.Index(joined, dtype=object)
    return names


def _read_ids_of_symbols(
    samples: Samples, has_ids: dict[str, bool], symbols: dict[str, np.ndarray]
) -> dict[str, str]:
    """Symbols that mean exactly one gene in all samples that have ids."""
    pairs = pd.concat(
        [
            pd.DataFrame({"symbol": symbols[sample], "name": samples[sample][0].var_names})
            for sample in samples
            if has_ids[sample]
        ]
    ).drop_duplicates()
    pairs = pairs[(pairs["symbol"] != "") & ~pairs["symbol"].duplicated(keep=False)]
    # Two symbols of one gene (renamed between annotations) would meet in one column.
    pairs = pairs[~pairs["name"].duplicated(keep=False)]
    return dict(zip(pairs["symbol"], pairs["name"], strict=True))


def _choose_genes(names: dict[str, pd.Index], how: str) -> pd.Index:
    """List the merged genes, in the order of the first sample that has each."""
    lists = [index[index.notna()] for index in names.values()]
    genes = lists[0]
    for sample, other in zip(list(names)[1:], lists[1:], strict=True):
        if how != "intersection":
            genes = genes.append(other[~other.isin(genes)])
            continue
        common = genes[genes.isin(other)]
        if not len(common):
            raise InputError(
                f"no genes are common to all samples: {next(iter(names))!r} has "
                f"{', '.join(map(str, genes[:3]))}, {sample!r} has "
                f"{', '.join(map(str, other[:3]))}. "
                "Give all samples ids or symbols of the same species."
            )
        genes = common
    return genes


def _mark_measured(rest: ad.AnnData, names: dict[str, pd.Index], messages: list[str]) -> None:
    """Note which sample measured which of the merged genes, where not all measured all.

    Raises
    ------
    InputError
        No gene was measured in all samples: nothing says how large their cells are.
    """
    measured = np.stack([rest.var_names.isin(index) for index in names.values()], axis=1)
    if measured.all():
        return
    everywhere = int(measured.all(axis=1).sum())
    if not everywhere:
        raise InputError(
            f"no gene is measured in all of the {len(names)} samples, and library sizes are over "
            "such genes. Leave out the sample that shares none, or give all samples ids or symbols "
            "of the same kind."
        )
    rest.varm[slots.MEASURED.name] = measured
    messages.append(
        f"{everywhere} of {len(measured)} genes are measured in all samples: library sizes, "
        "markers, types and subtypes are by these; models learn each gene where it was measured"
    )


def _tell_losses(
    samples: Samples,
    names: dict[str, pd.Index],
    genes: pd.Index,
    passing: dict[str, np.ndarray],
    messages: list[str],
) -> None:
    """Say what each sample loses to genes that others lack.

    Raises
    ------
    InputError
        A sample loses most of its molecules.
    """
    smallest = min(samples, key=lambda sample: samples[sample][0].n_vars)
    for sample, (counts, marks) in samples.items():
        # What must not join at all (None) has a message of its own.
        lost = names[sample].notna() & ~names[sample].isin(genes)
        if not lost.any():
            continue
        share = 0.0
        # Only genes with molecules are worth reading the counts.
        if (marks.var[slots.N_CELLS.name].to_numpy()[lost] > 0).any():
            share = _share_of_molecules(counts, passing[sample], lost)
        loss = (
            f"{sample} loses {int(lost.sum())} of its {counts.n_vars} genes and {100 * share:.1f} "
            "% of its molecules, because not all samples have them"
        )
        if share > _MOST:
            raise InputError(
                f"{loss}. Set `genes` to union, or leave out the sample with few genes (fewest has "
                f"{smallest!r}, {samples[smallest][0].n_vars})."
            )
        messages.append(loss)


def _share_of_molecules(counts: ad.AnnData, rows: np.ndarray, columns: np.ndarray) -> float:
    """Share of the molecules of some cells that is of some genes."""
    total = part = 0
    for start, stop, block in iter_chunks(counts.X):
        kept = block[rows[start:stop]]
        total += int(kept.data.sum(dtype=np.int64))
        part += int(kept.data[columns[kept.indices]].sum(dtype=np.int64))
    return part / max(1, total)


def _merge_obs(samples: Samples, passing: dict[str, np.ndarray]) -> pd.DataFrame:
    tables = []
    for sample, (counts, marks) in samples.items():
        table = pd.concat([counts.obs, marks.obs], axis=1)
        tables.append(table[passing[sample]])
    columns = list(dict.fromkeys(name for table in tables for name in table.columns))
    index = pd.Index(np.concatenate([table.index for table in tables]), dtype=object)
    if index.has_duplicates:
        raise InputError(
            f"cell {index[index.duplicated()][0]!r} is in two samples. "
            "Give each sample its own name."
        )
    return pd.DataFrame({name: _join_column(tables, name) for name in columns}, index=index)


def _join_column(tables: list[pd.DataFrame], name: Any) -> Any:
    """One column of all samples: numbers stay numbers, all else becomes a category of text."""
    parts = [
        table[name] if name in table else pd.Series([None] * len(table), dtype=object)
        for table in tables
    ]
    given = [part for table, part in zip(tables, parts, strict=True) if name in table]
    if len(given) == len(parts) and all(part.dtype == bool for part in given):
        return np.concatenate([part.to_numpy() for part in parts])
    if all(part.dtype.kind in "iuf" for part in given):
        return np.concatenate(
            [
                part.to_numpy() if part.dtype.kind in "iuf" else np.full(len(part), np.nan)
                for part in parts
            ]
        )
    values = [part.astype(object).map(str, na_action="ignore") for part in parts]
    return pd.Categorical(np.concatenate([part.to_numpy(dtype=object) for part in values]))


def _merge_var(samples: Samples, names: dict[str, pd.Index], genes: pd.Index) -> pd.DataFrame:
    """Columns of the samples' var: one where the samples agree on it, else one per sample."""
    columns: dict[str, Any] = {}
    tables: dict[str, dict[str, pd.Series]] = {}
    for sample, (counts, _) in samples.items():
        table = counts.var.set_axis(names[sample], axis=0)
        table = table[table.index.notna()]
        for name in table.columns:
            column = table[name].astype(object) if table[name].dtype == "category" else table[name]
            tables.setdefault(str(name), {})[sample] = column
    for name, parts in tables.items():
        joined: pd.Series | None = None
        agree = True
        for column in parts.values():
            part = column.reindex(genes)
            if joined is None:
                joined = part
                continue
            both = joined.notna() & part.notna()
            agree &= bool((joined[both] == part[both]).all())
            joined = joined.where(joined.notna(), part)
        ours = name in (slots.GENE_ID.name, slots.GENE_SYMBOL.name)
        if agree or ours:
            assert joined is not None
            columns[name] = joined.fillna("").astype(str) if ours else _storable(joined)
        else:
            for sample, column in parts.items():
                columns[f"{name}-{sample}"] = _storable(column.reindex(genes))
    return pd.DataFrame(columns, index=genes)


def _storable(column: pd.Series) -> Any:
    column = column.infer_objects()
    if column.dtype.kind == "O":  # objects, and the text of pandas 3
        return pd.Categorical(column.map(str, na_action="ignore"))
    return column


def _merge_obsm(
    samples: Samples, passing: dict[str, np.ndarray], messages: list[str]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    names = dict.fromkeys(name for counts, _ in samples.values() for name in counts.obsm)
    for name in names:
        parts = [
            _to_rows(counts.obsm[name])[passing[sample]]
            for sample, (counts, _) in samples.items()
            if name in counts.obsm
        ]
        tables = [isinstance(part, pd.DataFrame) for part in parts]
        widths = {
            tuple(part.columns) if table else part.shape[1:]
            for part, table in zip(parts, tables, strict=True)
        }
        if len(parts) < len(samples) or len(widths) > 1:
            messages.append(f"obsm {name!r} is not in every sample with the same width: left out")
        elif all(tables):
            columns = {str(column): _join_column(parts, column) for column in parts[0].columns}
            index = pd.Index(np.concatenate([part.index for part in parts]), dtype=object)
            merged[name] = pd.DataFrame(columns, index=index)
        else:
            merged[name] = np.concatenate(parts)
    return merged


def _to_rows(values: Any) -> Any:
    if isinstance(values, pd.DataFrame):
        return values
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def _record(
    samples: Samples,
    passing: dict[str, np.ndarray],
    genes: pd.Index,
    n_zero: int,
    messages: list[str],
) -> dict[str, Any]:
    per_sample = {}
    for sample, (counts, marks) in samples.items():
        marked = marks.uns.get(slots.RECORD.name, {})
        given = counts.uns.get(slots.RECORD.name, {})
        notes = [*given.get("messages", []), *marked.get("messages", [])]
        per_sample[sample] = {
            # What ingest of 0.1.0 did not tell is not told.
            **{key: given[key] for key in ("source", "n_molecules") if key in given},
            "n_cells": counts.n_obs,
            "n_passing": int(passing[sample].sum()),
            "n_genes": counts.n_vars,
            "failures": dict(marked.get("failures", {})),
            "limits": dict(marked.get("limits", {})),
            "messages": np.array(notes, dtype=str),
        }
    return {
        "genes_digest": genes_digest(genes),
        "n_genes_undetected": n_zero,
        # A list, not keys of a group: a sample's name may hold a slash.
        "sample_names": np.array(list(samples), dtype=str),
        "samples": {name.replace("/", "_"): value for name, value in per_sample.items()},
        "messages": np.array(messages, dtype=str),
    }
