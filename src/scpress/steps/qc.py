"""Which cells are kept, and for each of the others every reason why not."""

import logging
from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.cells.doublets import score_doublets
from scpress.config.options import QcOptions
from scpress.counts.genes import find_ids_and_symbols, is_mitochondrial, is_ribosomal
from scpress.counts.matrix import iter_chunks, select_rows
from scpress.errors import InputError

_log = logging.getLogger("scpress")

# Scrublet embeds the cells by 30 principal components and compares neighbours: with fewer cells
# than this its scores are noise. No droplet run holds more cells than the upper limit, so more of
# them are several runs in one file, between which doublets do not form.
_MIN_CELLS_SCRUBLET = 100
_MAX_CELLS_SCRUBLET = 150_000
# Scrublet's own threshold lies between the two modes of simulated scores; where there is one mode
# only, it falls anywhere and would drop a large part of the cells.
_MAX_DOUBLET_FRACTION = 0.3


@dataclass
class _Verdict:
    """Reasons, one mask of the failing cells each, and what to tell the user."""

    n_obs: int
    failures: dict[str, np.ndarray] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def fail(self, reason: str, cells: np.ndarray, limit: float | None = None) -> None:
        self.failures[reason] = self.failures.get(reason, np.zeros(self.n_obs, bool)) | cells
        if limit is not None:
            self.limits[reason] = float(limit)

    def passing(self) -> np.ndarray:
        failed = np.zeros(self.n_obs, dtype=bool)
        for cells in self.failures.values():
            failed |= cells
        return ~failed

    def reasons(self) -> pd.Categorical:
        texts = np.full(self.n_obs, "", dtype=object)
        for reason, cells in self.failures.items():
            texts[cells] = [f"{text};{reason}" if text else reason for text in texts[cells]]
        return pd.Categorical(texts)

    def counted(self) -> dict[str, int]:
        return {reason: int(cells.sum()) for reason, cells in self.failures.items() if cells.any()}


def qc(counts: ad.AnnData, options: QcOptions | None = None) -> ad.AnnData:
    """Measure every cell of one sample and mark the ones to keep.

    Parameters
    ----------
    counts
        [cells, genes] What `ingest` made; X may be on disk.

    Returns
    -------
    AnnData
        obs: library_size, n_genes, pct_counts_mt, pct_counts_ribo, doublet_score, pass_qc,
        qc_reason (names of the options a cell fails, joined by ';'); var: n_cells.

    Raises
    ------
    InputError
        No cell passes, or the filter column is absent or not true/false.
    """
    options = options or QcOptions()
    sample = _name_sample(counts)
    verdict = _Verdict(counts.n_obs)
    obs = measure_cells(counts, verdict.messages)
    empty = obs[slots.LIBRARY_SIZE.name].to_numpy() == 0
    if options.filter_column is None:
        _apply_fixed(obs, options, verdict)
        verdict.fail("empty", empty)
        if options.thresholds == "mad":
            _apply_mad(obs, options.n_mads, verdict)
    else:
        verdict.fail("filter_column", ~_read_filter(counts, options.filter_column))
        verdict.fail("empty", empty)
    score, predicted = np.full(counts.n_obs, np.nan, dtype=np.float32), None
    if options.doublets:
        score, predicted = _score_doublets(counts, verdict.passing(), options, verdict.messages)
    obs[slots.DOUBLET_SCORE.name] = score
    if predicted is not None and options.filter_column is None:
        verdict.fail("doublet", predicted)
    passing = verdict.passing()
    obs[slots.PASS_QC.name] = passing
    obs[slots.QC_REASON.name] = verdict.reasons()
    if not passing.any():
        raise InputError(
            f"no cell of sample {sample!r} passes; of {counts.n_obs} cells "
            f"{_list_failures(verdict, options)}. Loosen these thresholds in the section qc."
        )
    verdict.messages.append(
        f"{int(passing.sum())} of {counts.n_obs} cells pass"
        + (f"; {_list_failures(verdict, options)}" if verdict.counted() else "")
        + ("; that is less than half: do the limits suit the data?" if passing.mean() < 0.5 else "")
    )
    return _result(counts, obs, verdict, sample)


def measure_cells(counts: ad.AnnData, messages: list[str]) -> pd.DataFrame:
    """[cells] library_size, n_genes, pct_counts_mt and pct_counts_ribo, in one walk over X."""
    ids, symbols = find_ids_and_symbols(counts.var)
    mitochondrial = is_mitochondrial(list(ids), list(symbols))
    ribosomal = is_ribosomal(list(ids), list(symbols))
    if not mitochondrial.any():
        messages.append(
            f"none of the {counts.n_vars} genes is mitochondrial by symbol (MT-, mt-) or id: "
            "pct_counts_mt is 0 and max_pct_mt has no effect"
        )
    if not ribosomal.any():
        messages.append(
            f"none of the {counts.n_vars} genes is ribosomal by symbol (RPS, RPL, Rps, Rpl) or "
            "human id: pct_counts_ribo is 0 and max_pct_ribo has no effect"
        )
    sets = np.column_stack([np.ones(counts.n_vars), mitochondrial, ribosomal]).astype(np.int64)
    totals = np.zeros((counts.n_obs, 3), dtype=np.int64)
    n_genes = np.zeros(counts.n_obs, dtype=np.int64)
    for start, stop, block in iter_chunks(counts.X):
        totals[start:stop] = block.astype(np.int64) @ sets
        n_genes[start:stop] = (block != 0).sum(axis=1).A1
    percent = 100.0 / np.maximum(totals[:, 0], 1)
    return pd.DataFrame(
        {
            slots.LIBRARY_SIZE.name: totals[:, 0],
            slots.N_GENES.name: n_genes,
            slots.PCT_MT.name: (totals[:, 1] * percent).astype(np.float32),
            slots.PCT_RIBO.name: (totals[:, 2] * percent).astype(np.float32),
        },
        index=counts.obs_names,
    )


def _name_sample(counts: ad.AnnData) -> str:
    if slots.SAMPLE.name in counts.obs and counts.n_obs:
        return str(counts.obs[slots.SAMPLE.name].iloc[0])
    return "unnamed"


def _apply_fixed(obs: pd.DataFrame, options: QcOptions, verdict: _Verdict) -> None:
    for name, slot in (
        ("min_counts", slots.LIBRARY_SIZE),
        ("max_counts", slots.LIBRARY_SIZE),
        ("min_genes", slots.N_GENES),
        ("max_genes", slots.N_GENES),
        ("max_pct_mt", slots.PCT_MT),
        ("max_pct_ribo", slots.PCT_RIBO),
    ):
        limit = getattr(options, name)
        if limit is not None:
            values = obs[slot.name].to_numpy()
            verdict.fail(name, values < limit if name[:3] == "min" else values > limit, limit)


def _apply_mad(obs: pd.DataFrame, n_mads: float, verdict: _Verdict) -> None:
    """Limits around the median of the cells that pass the fixed ones, on the log for counts.

    The median absolute deviation is not scaled to a normal's standard deviation, as in the
    best-practices guide of Heumos et al. 2023, where 5 is the permissive choice for counts.
    """
    basis = verdict.passing()
    if not basis.any():
        return
    for reason, slot, is_log in (
        ("mad_counts", slots.LIBRARY_SIZE, True),
        ("mad_genes", slots.N_GENES, True),
        ("mad_pct_mt", slots.PCT_MT, False),
    ):
        values = obs[slot.name].to_numpy(dtype=np.float64)
        values = np.log1p(values) if is_log else values
        median = float(np.median(values[basis]))
        mad = float(np.median(np.abs(values[basis] - median)))
        if mad == 0:
            verdict.messages.append(
                f"{slot.name} does not vary in most cells (its median absolute deviation is 0): "
                "no limit by mad is set on it"
            )
            continue
        low, high = median - n_mads * mad, median + n_mads * mad
        failed = (values > high) | ((values < low) if is_log else False)
        verdict.fail(reason, failed)
        if is_log:
            verdict.limits[f"{reason}_low"] = float(np.expm1(low))
        verdict.limits[f"{reason}_high"] = float(np.expm1(high)) if is_log else high


def _read_filter(counts: ad.AnnData, column: str) -> np.ndarray:
    if column not in counts.obs:
        found = ", ".join(map(str, counts.obs.columns)) or "no columns"
        raise InputError(
            f"filter_column {column!r} is not in obs; it has {found}. Set it to one of them."
        )
    words = counts.obs[column].astype(object).map(lambda value: str(value).strip().lower())
    words = words.str.removesuffix(".0")
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    strange = sorted(set(words) - set(known))
    if strange:
        raise InputError(
            f"filter_column {column!r} must hold true or false for every cell; "
            f"found {strange[0]!r}."
        )
    return words.map(known).to_numpy(dtype=bool)


def _score_doublets(
    counts: ad.AnnData, basis: np.ndarray, options: QcOptions, messages: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """[cells] Scrublet's scores of the cells in `basis`, and which are doublets or None."""
    score = np.full(counts.n_obs, np.nan, dtype=np.float32)
    n_cells = int(basis.sum())
    if not _MIN_CELLS_SCRUBLET <= n_cells <= _MAX_CELLS_SCRUBLET:
        messages.append(
            f"doublets were not scored: {n_cells} cells pass the thresholds, and scrublet needs "
            f"{_MIN_CELLS_SCRUBLET} to {_MAX_CELLS_SCRUBLET} of one run"
        )
        return score, None
    try:
        result = _run_scrublet(counts, np.flatnonzero(basis), options)
    except Exception as error:
        # Scrublet fails in many ways on small or flat data; a score is not worth a sample.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        messages.append(f"doublets were not scored: scrublet failed ({reason})")
        return score, None
    # A cell that scrublet drops (under 3 of its genes) keeps no score.
    places = np.flatnonzero(basis)[result.index.to_numpy(dtype=np.int64)]
    score[places] = result["doublet_score"].to_numpy(dtype=np.float32)
    if options.max_doublet_score is not None:
        return score, np.nan_to_num(score, nan=-np.inf) > options.max_doublet_score
    if "predicted_doublet" not in result:
        messages.append(
            "scrublet found no threshold between its singlets and doublets: none dropped; "
            "set max_doublet_score to choose one"
        )
        return score, None
    predicted = np.zeros(counts.n_obs, dtype=bool)
    predicted[places] = result["predicted_doublet"].to_numpy(dtype=bool)
    limit = max(_MAX_DOUBLET_FRACTION, 2 * options.expected_doublet_rate)
    if predicted.sum() > limit * n_cells:
        messages.append(
            f"scrublet's own threshold would drop {int(predicted.sum())} of {n_cells} cells, so it "
            "did not separate doublets: none dropped; set max_doublet_score to choose a threshold"
        )
        return score, None
    return score, predicted


def _run_scrublet(counts: ad.AnnData, rows: np.ndarray, options: QcOptions) -> pd.DataFrame:
    # Nobody else holds what is read, so it goes as soon as the genes are chosen.
    found = score_doublets(
        select_rows(counts.X, rows), expected_rate=options.expected_doublet_rate, seed=options.seed
    )
    table = pd.DataFrame({"doublet_score": found.score}, index=found.cells)
    if found.threshold is not None:
        table["predicted_doublet"] = found.score > found.threshold
    return table


def _list_failures(verdict: _Verdict, options: QcOptions) -> str:
    parts = []
    for reason, number in sorted(verdict.counted().items(), key=lambda item: -item[1]):
        value = getattr(options, reason, None)
        parts.append(f"{reason}{'' if value is None else f' ({value})'} removes {number}")
    return ", ".join(parts)


def _result(counts: ad.AnnData, obs: pd.DataFrame, verdict: _Verdict, sample: str) -> ad.AnnData:
    passing = obs[slots.PASS_QC.name].to_numpy()
    n_cells = np.zeros(counts.n_vars, dtype=np.int64)
    for start, stop, block in iter_chunks(counts.X):
        kept = block[passing[start:stop]]
        kept.eliminate_zeros()
        n_cells += np.bincount(kept.indices, minlength=counts.n_vars)
    var = pd.DataFrame({slots.N_CELLS.name: n_cells}, index=counts.var_names)
    result = ad.AnnData(obs=obs, var=var)
    result.uns[slots.RECORD.name] = {
        "sample": sample,
        "n_cells": counts.n_obs,
        "n_passing": int(passing.sum()),
        "failures": verdict.counted(),
        "limits": verdict.limits,
        "messages": np.array(verdict.messages, dtype=str),
    }
    for message in verdict.messages:
        _log.info("%s: %s", sample, message)
    return result
