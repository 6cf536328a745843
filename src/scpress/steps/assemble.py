"""Everything that was made, joined into one AnnData that scanpy opens and plots."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scpress import slots
from scpress.config.options import AssembleOptions
from scpress.counts.matrix import iter_chunks, stack_rows
from scpress.counts.sizes import log_normalize
from scpress.errors import InputError

log = logging.getLogger("scpress")

_T = TypeVar("_T", pd.Series, pd.DataFrame)


def assemble(
    counts: AnnData,
    normalized: AnnData,
    latents: Mapping[str, AnnData],
    clusters: AnnData,
    annotation: AnnData | None = None,
    subtypes: AnnData | None = None,
    options: AssembleOptions | None = None,
    programs: AnnData | None = None,
) -> AnnData:
    """Join all results in memory; for a file see `assemble_frame` and `log_blocks`.

    Returns
    -------
    AnnData
        [cells, genes] X: log1p(counts / size_factor), float32 CSR; layers["counts"]: int32 CSR;
        every obs, var, obsm, obsp and uns of the inputs.

    Raises
    ------
    InputError
        The inputs are not of the same cells.
    """
    frame = assemble_frame(
        counts, normalized, latents, clusters, annotation, subtypes, options, programs
    )
    n_vars = counts.n_vars
    frame.X = stack_rows(log_blocks(counts, normalized), n_vars=n_vars, dtype=np.float32)
    frame.layers[slots.COUNTS.name] = stack_rows(
        count_blocks(counts), n_vars=n_vars, dtype=np.int32
    )
    return frame


def log_blocks(counts: AnnData, normalized: AnnData) -> Iterator[sparse.csr_matrix]:
    """[cells, genes] Log-normalized values, blocks in cell order, float32 CSR."""
    size_factor = normalized.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)
    for start, stop, block in iter_chunks(counts.X):
        yield log_normalize(block, size_factor[start:stop])


def count_blocks(counts: AnnData) -> Iterator[sparse.csr_matrix]:
    """[cells, genes] Raw counts, blocks in cell order, int32 CSR."""
    for _, _, block in iter_chunks(counts.X):
        yield block.astype(np.int32)


def assemble_frame(
    counts: AnnData,
    normalized: AnnData,
    latents: Mapping[str, AnnData],
    clusters: AnnData,
    annotation: AnnData | None = None,
    subtypes: AnnData | None = None,
    options: AssembleOptions | None = None,
    programs: AnnData | None = None,
    donors: Mapping[str, Mapping[str, Any]] | None = None,
) -> AnnData:
    """Join everything but the two large matrices; arguments as for `assemble`.

    Parameters
    ----------
    latents
        Name of the model -> what `embed` made for it.
    programs
        What `programs` made: its rows are no cells, and its `varm` and record are joined.
    donors
        Key of the record -> what a verb of donors says: cohort, biomarkers, classification,
        survival.

    Returns
    -------
    AnnData
        [cells, genes] without X.
    """
    slots.require(normalized, slots.SIZE_FACTOR)
    slots.require(clusters, slots.LEIDEN)
    frame = AnnData(obs=counts.obs.copy(), var=counts.var.copy())
    for axis in ("obsm", "varm", "obsp", "varp", "uns"):
        for key, value in dict(getattr(counts, axis)).items():
            getattr(frame, axis)[key] = value
    record = dict(frame.uns.pop(slots.RECORD.name, {}))
    parts: dict[str, AnnData | None] = {"normalize": normalized}
    parts |= {f"latent of {name}": latent for name, latent in latents.items()}
    parts |= {"cluster": clusters, "annotate": annotation, "subtype": subtypes}
    added: dict[str, set[str]] = {}
    for what, part in parts.items():
        if part is None:
            continue
        slots.require_same_cells(counts.obs_names, part.obs_names, what)
        _add_columns(frame, part, added)
        _add_arrays(frame, part, added)
    if options is not None:
        _add_foreign_keys(frame, latents, clusters, options, added)
    record["models"] = {
        name: dict(latent.uns.get(slots.RECORD.name, {})) for name, latent in latents.items()
    }
    messages = list(record.get("messages", []))
    if programs is not None:
        _add_varm(frame, programs, added)
    for part in (normalized, clusters, annotation, subtypes, programs):
        if part is not None:
            record |= dict(part.uns.get(slots.RECORD.name, {}))
            messages += [m for m in record.pop("messages", []) if m not in messages]
    record["messages"] = messages
    record |= donors or {}
    record["format_version"] = slots.FORMAT_VERSION
    frame.uns[slots.RECORD.name] = _storable(record)
    # scanpy asks for the base of the logarithm; an empty entry is its natural one.
    if frame.uns.get("log1p"):
        _make_room(frame, "uns", "log1p", {}, added)
    frame.uns["log1p"] = {}
    return frame


def _add_foreign_keys(
    frame: AnnData,
    latents: Mapping[str, AnnData],
    clusters: AnnData,
    options: AssembleOptions,
    added: dict[str, set[str]],
) -> None:
    """Add a model's results once more, under the keys that DCA and scvi-tools have for them."""
    primary = clusters.uns.get(slots.RECORD.name, {}).get("cluster", {}).get("model")
    wanted: list[tuple[slots.Slot, str]] = []
    if options.dca_keys:
        wanted.append((slots.DCA_LATENT, "dca"))
    if options.scvi_keys:
        wanted.append((slots.SCVI_LATENT, "scvi"))
    for slot, preset in wanted:
        model = _model_of_preset(preset, latents, primary)
        other = slot.name.removeprefix("X_")
        if other in latents and other != model:
            raise InputError(
                f"obsm[{slot.name!r}] of model {model!r} was asked for, and is the latent of model "
                f"{other!r}; rename that one, or make it the primary one of preset {preset}."
            )
        values = {("obsm", slot.name): latents[model].obsm[slots.LATENT.of(model)]}
        if preset == "dca":
            of_genes = ((slots.THETA, slots.DCA_DISPERSION), (slots.PI_MEAN, slots.DCA_DROPOUT))
            for ours, theirs in of_genes:
                if ours.of(model) in frame.var:
                    values["var", theirs.name] = frame.var[ours.of(model)]
        for (axis, key), value in values.items():
            _make_room(frame, axis, key, value, added)
            getattr(frame, axis)[key] = value


def _model_of_preset(preset: str, latents: Mapping[str, AnnData], primary: str | None) -> str:
    """Name of the primary model where it is of the preset, else of the first one that is."""

    def preset_of(name: str) -> Any:
        return latents[name].uns.get(slots.RECORD.name, {}).get("options", {}).get("preset")

    found = [name for name in latents if preset_of(name) == preset]
    if not found:
        known = ", ".join(f"{name} ({preset_of(name)})" for name in latents)
        raise InputError(
            f"keys of preset {preset} were asked for, and no model is of it; found {known}. "
            "Train one, or do not ask."
        )
    return str(primary) if primary in found else found[0]


def _add_columns(frame: AnnData, part: AnnData, added: dict[str, set[str]]) -> None:
    """Join obs by cell and var by gene; genes that the part does not know become NaN."""
    for name, column in part.obs.items():
        _make_room(frame, "obs", str(name), column, added)
        frame.obs[str(name)] = column.to_numpy() if column.dtype.kind in "biuf" else column.array
    for name, column in part.var.items():
        wide = column if part.var_names.equals(frame.var_names) else _widened(column, frame, part)
        _make_room(frame, "var", str(name), wide, added)
        frame.var[str(name)] = wide.array


def _add_varm(frame: AnnData, part: AnnData, added: dict[str, set[str]]) -> None:
    """Join what there is of genes; NaN where the part does not know a gene."""
    for key, value in dict(part.varm).items():
        wide = _widened(pd.DataFrame(value, index=part.var_names), frame, part).to_numpy()
        _make_room(frame, "varm", key, wide, added)
        frame.varm[key] = wide


def _widened(column: _T, frame: AnnData, part: AnnData) -> _T:
    unknown = ~part.var_names.isin(frame.var_names)
    if unknown.any():
        raise InputError(
            f"gene {part.var_names[unknown][0]!r} of a result is not among the {frame.n_vars} "
            "genes of the counts. Give files of one run."
        )
    return column.reindex(frame.var_names)


def _add_arrays(frame: AnnData, part: AnnData, added: dict[str, set[str]]) -> None:
    for axis in ("obsm", "obsp", "uns"):
        for key, value in dict(getattr(part, axis)).items():
            if axis == "uns" and key == slots.RECORD.name:
                continue
            _make_room(frame, axis, key, value, added)
            getattr(frame, axis)[key] = value


def _make_room(frame: AnnData, axis: str, key: str, value: Any, added: dict[str, set[str]]) -> None:
    """Keep what the user has under a name that is about to be taken, as `{name}_input`."""
    ours = added.setdefault(axis, set())
    there = getattr(frame, axis)
    if key in there and key not in ours and not _is_same(there[key], value):
        kept = f"{key}_input"
        while kept in there:
            kept += "_input"
        log.info("%s[%r] of the input is kept as %r", axis, key, kept)
        there[kept] = there[key]
        if axis == "obs" and f"{key}_colors" in frame.uns:
            frame.uns[f"{kept}_colors"] = frame.uns.pop(f"{key}_colors")
    ours.add(key)


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, pd.Series) and isinstance(second, pd.Series):
        return bool(np.array_equal(first.astype(str).to_numpy(), second.astype(str).to_numpy()))
    return (
        isinstance(first, np.ndarray)
        and isinstance(second, np.ndarray)
        and np.array_equal(first, second)
    )


def _is_table(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether it is rows of as many numbers each."""
    widths = {len(row) if isinstance(row, list | tuple) else -1 for row in value}
    if len(widths) != 1 or not min(widths) > 0:
        return False
    return all(isinstance(item, int | float) for row in value for item in row)


def _storable(value: Any) -> Any:
    """Make of a JSON-like value one that an AnnData file can hold: no None, no lists of records."""
    if isinstance(value, Mapping):
        return {str(key): _storable(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        if _is_table(value):
            return np.array(value)
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            return {str(number): _storable(item) for number, item in enumerate(value)}
        return np.array(value)
    return value
