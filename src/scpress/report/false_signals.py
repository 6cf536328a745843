"""What the same steps find in counts without structure, beside what they find in the data."""

from collections.abc import Callable
from typing import Any

from scpress.report.inputs import ReportInputs
from scpress.tables.false_signals import FalseSignals, Signals

# Part of the pairs by which denoising adds some to speak of.
_MORE_PAIRS = 0.01


def false_signals_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """The table of both, what its rows mean, and a verdict."""
    found = inputs.false_signals
    if found is None:
        return None
    above = f"of pairs of genes with a correlation of {found.min_correlation:g} or more"
    cut = f"Leiden clusters at resolution {found.resolution:g}, whatever their stability"
    rows = [
        _row(
            found,
            "clusters",
            lambda one: one.n_clusters,
            "that come back without some cells; 1 is none",
        ),
        _row(
            found,
            "markers of these clusters",
            lambda one: one.n_markers,
            f"rank-sum test on the counts, FDR {found.max_fdr:g}",
        ),
        _row(
            found,
            "subtypes",
            lambda one: one.n_subtypes,
            "stable, with markers in molecules and cells that did not choose them",
        ),
        _row(
            found,
            f"gain of {found.model}",
            lambda one: one.gain,
            "over gene means, nats per held-out cell; below 0 there was nothing to learn",
            "{:,.1f}".format,
        ),
        _row(found, "raw correlations", lambda one: one.raw_pairs, f"part {above}", _percent),
        _row(
            found,
            "denoised correlations",
            lambda one: one.denoised_pairs,
            "the same of denoised values: in a copy all are made by denoising",
            _percent,
        ),
        _row(found, "clusters if cut", lambda one: one.n_cut, cut),
        _row(
            found,
            "markers of the cut",
            lambda one: one.n_cut_markers,
            "in a copy all are false: the same counts made the clusters and are tested",
        ),
    ]
    return {
        "table": {"header": ["", "data", "without structure", "is"], "rows": rows},
        "verdict": [describe_signals(found), describe_correlations(found)],
        "n_copies": len(found.copies),
        "n_strata": found.n_strata,
        "n_genes": found.n_genes,
        "n_pair_genes": found.n_pair_genes,
    }


def describe_signals(found: FalseSignals) -> str:
    """Whether the steps find anything where there is nothing."""
    most = _most_of(found)
    if most == (0, 0, 0):
        return (
            "In counts without structure the same steps find no clusters, no markers and no "
            "subtypes: those of the data are not made by the steps."
        )
    clusters, markers, subtypes = most
    return (
        "Beware: counts without structure have signals, too: the same steps find up to so "
        f"many clusters ({clusters:,}), markers ({markers:,}) and subtypes ({subtypes:,}) there. "
        "As many of the data's may be made by the steps."
    )


def describe_correlations(found: FalseSignals) -> str:
    """What denoising does to the correlations of genes (Andrews and Hemberg 2018)."""
    raw, denoised = (
        sum(getattr(one, name) for one in found.copies) / len(found.copies)
        for name in ("raw_pairs", "denoised_pairs")
    )
    numbers = (
        f"without structure {_percent(denoised)} of the pairs of genes are correlated after "
        f"denoising and {_percent(raw)} before, in the data {_percent(found.data.denoised_pairs)} "
        f"and {_percent(found.data.raw_pairs)}"
    )
    if denoised - raw < _MORE_PAIRS:
        return f"Denoising makes no correlations to speak of: {numbers}."
    return (
        f"Denoising makes correlations that are not there: {numbers}. Denoised values are for "
        "looking at; no test here reads them."
    )


def warn_of_false_signals(found: FalseSignals | None) -> str:
    """What the top of the page says; nothing where nothing was found in a copy."""
    return "" if found is None or _most_of(found) == (0, 0, 0) else describe_signals(found)


def _most_of(found: FalseSignals) -> tuple[int, int, int]:
    """Clusters, markers and subtypes of the copy that has most of each; one cluster is none."""
    clusters, markers, subtypes = (
        max(getattr(one, name) for one in found.copies)
        for name in ("n_clusters", "n_markers", "n_subtypes")
    )
    return (clusters if clusters > 1 else 0, markers, subtypes)


def _row(
    found: FalseSignals,
    name: str,
    value_of: Callable[[Signals], float],
    meaning: str,
    text_of: Callable[[float], str] = "{:,}".format,
) -> list[str]:
    values = sorted(map(value_of, found.copies))
    ends = dict.fromkeys((text_of(values[0]), text_of(values[-1])))
    return [name, text_of(value_of(found.data)), " to ".join(ends), meaning]


def _percent(part: float) -> str:
    # So many pairs are looked at that a thousandth of a percent is some of them.
    return f"{part:.1%}" if part >= 0.001 or not part else "<0.1%"
