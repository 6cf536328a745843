"""Genes that differ between donors: effects, mean-difference and volcano plots of each type."""

from typing import Any

import numpy as np
import pandas as pd

from scpress.report import figures
from scpress.report.forest import Effect, forest_plot
from scpress.report.words import count, genes_of, join
from scpress.tables.cohort import Biomarkers

# Of each type on a figure; in tables and in the plot of effects.
_MOST_FOUND, _MOST_OTHERS = 1000, 2000
_LISTED, _SHOWN_EFFECTS = 100, 20
_Z = 1.959964
_LEAST_P, _LEAST_RANGE = 1e-300, 0.5


def biomarkers_section(
    record: Biomarkers | None, table: pd.DataFrame | None
) -> dict[str, Any] | None:
    """Types that were tested, the genes that were found, and figures of each type."""
    if record is None or table is None:
        return None
    reference, case = record.levels
    rows = [
        [
            one.cell_type,
            f"{one.n_reference:,}",
            f"{one.n_case:,}",
            f"{one.n_genes:,}",
            f"{one.n_found:,}" if not one.reason else "-",
            one.reason or "tested",
        ]
        for one in record.types
    ]
    header = ["type", f"donors: {reference}", f"donors: {case}", "genes", "found", "outcome"]
    found = table[table["fdr"] <= record.max_fdr].sort_values(
        ["p_value", "cell_type", "gene"], kind="stable"
    )
    shown = [one.cell_type for one in record.types if not one.reason]
    return {
        "said": describe_biomarkers(record),
        "constant": join(list(record.held_constant)),
        "types": {"header": header, "rows": rows},
        "n_found": len(found),
        "n_listed": min(len(found), _LISTED),
        "genes": _genes(found.head(_LISTED)) if len(found) else None,
        "effects": _effects(found.head(_SHOWN_EFFECTS), record) if len(found) else None,
        "n_effects": min(len(found), _SHOWN_EFFECTS),
        "figures": [_of_type(table, name, record) for name in shown],
    }


def describe_biomarkers(record: Biomarkers) -> str:
    """How many genes differ in which types, in one sentence."""
    reference, case = record.levels
    between = f"between donors of {record.condition_key} {reference} and {case}"
    tested = [one for one in record.types if not one.reason]
    if not tested:
        return f"No gene could be tested {between}: {_reasons(record)}."
    hits = [one for one in tested if one.n_found]
    if not hits:
        return (
            f"No gene was found that differs {between} in any of {count(len(tested), 'type')} "
            f"(FDR {record.max_fdr:g})."
        )
    hits.sort(key=lambda one: -one.n_found)
    parts = [f"{one.n_found:,} in {one.cell_type}" for one in hits]
    return f"Genes that differ {between} (FDR {record.max_fdr:g}): {join(parts)}."


def _reasons(record: Biomarkers) -> str:
    return join(list(dict.fromkeys(one.reason for one in record.types))) or "there is no type"


def _genes(found: pd.DataFrame) -> dict[str, Any]:
    rows = [
        [
            str(row["cell_type"]),
            gene,
            f"{row['mean_count']:,.1f}",
            {
                "text": f"{row['log2_fold_change']:+.2f}",
                "range": f"± {_Z * row['standard_error']:.2f}",
            },
            f"{row['shrunken_log2_fold_change']:+.2f}",
            f"{row['p_value']:.1e}",
            f"{row['fdr']:.1e}",
            f"{row['stability']:.0%}",
        ]
        for gene, row in zip(genes_of(found), found.to_dict("records"), strict=True)
    ]
    header = ["type", "gene", "mean count", "log2 fold change", "shrunken", "p", "FDR"]
    return {"header": [*header, "found again without some donors"], "rows": rows}


def _effects(found: pd.DataFrame, record: Biomarkers) -> figures.Figure:
    """The first genes with their intervals, those of one type together."""
    types = list(dict.fromkeys(found["cell_type"].astype(str)))
    ordered = found.assign(place=found["cell_type"].astype(str).map(types.index))
    ordered = ordered.sort_values(["place", "log2_fold_change"], ascending=[True, False])
    effects = []
    for gene, row in zip(genes_of(ordered), ordered.to_dict("records"), strict=True):
        reach = _Z * row["standard_error"]
        low, high = row["log2_fold_change"] - reach, row["log2_fold_change"] + reach
        effects.append(
            Effect(
                name=gene,
                value=row["log2_fold_change"],
                low=low,
                high=high,
                text=f"{gene} in {row['cell_type']}: {row['log2_fold_change']:+.2f} "
                f"({low:+.2f} to {high:+.2f}), FDR {row['fdr']:.1e}",
                group=str(row["cell_type"]),
            )
        )
    reference, case = (figures.safe(one) for one in record.levels)
    return forest_plot(
        effects,
        x=f"log2 fold change, {case} over {reference}",
        none_at=0.0,
        colours=figures.colours_of([one.cell_type for one in record.types]),
    )


def _of_type(table: pd.DataFrame, name: str, record: Biomarkers) -> dict[str, Any]:
    """Both figures of one type; many genes that were not found are drawn in part."""
    own = table[table["cell_type"].astype(str) == name]
    is_found = (own["fdr"] <= record.max_fdr).to_numpy()
    found, others = own[is_found].head(_MOST_FOUND), own[~is_found]
    if len(others) > _MOST_OTHERS:
        rows = np.random.default_rng(0).choice(len(others), _MOST_OTHERS, replace=False)
        others = others.iloc[np.sort(rows)]
    n_found = int(is_found.sum())
    _, case = (figures.safe(one) for one in record.levels)
    change = f"log2 fold change, shrunken ({case})"
    # As far to both sides, and no closer than where nothing is to be seen.
    most = 1.08 * max(_LEAST_RANGE, own["shrunken_log2_fold_change"].abs().max())
    difference: figures.Figure = {
        "data": [
            _points(part, part["mean_count"], part["shrunken_log2_fold_change"], is_hit)
            for part, is_hit in ((others, False), (found, True))
        ],
        "layout": figures.layout(height=320, x="mean count", y=change, showlegend=False),
    }
    difference["layout"]["yaxis"] |= {"range": [-most, most]}
    counts = own["mean_count"].to_numpy(dtype=float)
    counts = counts[counts > 0]
    if len(counts):
        ticks = figures.log_ticks(counts.min() / 1.1, counts.max() * 1.1)
        difference["layout"]["xaxis"] |= {"type": "log"} | ticks
    volcano: figures.Figure = {
        "data": [
            _points(
                part,
                part["shrunken_log2_fold_change"],
                -np.log10(part["p_value"].clip(lower=_LEAST_P)),
                is_hit,
            )
            for part, is_hit in ((others, False), (found, True))
        ],
        "layout": figures.layout(height=320, x=change, y="-log10 p", showlegend=False),
    }
    volcano["layout"]["xaxis"] |= {"range": [-most, most]}
    if n_found:
        line = figures.vertical_line(0) | {"xref": "paper", "x0": 0, "x1": 1, "yref": "y"}
        at = -np.log10(max(float(own["p_value"][is_found].max()), _LEAST_P))
        line |= {"y0": at, "y1": at, "line": {"color": figures.GREY, "width": 1.2, "dash": "dash"}}
        volcano["layout"]["shapes"] = [line]
    return {
        "type": name,
        "said": f"{n_found:,} of {count(len(own), 'gene')} found",
        "n_left": len(own) - len(found) - len(others),
        "difference": difference,
        "volcano": volcano,
    }


def _points(part: pd.DataFrame, x: pd.Series, y: pd.Series, is_hit: bool) -> dict[str, Any]:
    return {
        # Not by WebGL: a browser holds only a few figures of it, and there are two a type.
        "type": "scatter",
        "mode": "markers",
        "name": "found" if is_hit else "not found",
        "x": figures.rounded(x.to_numpy(dtype=float), 4),
        "y": figures.rounded(y.to_numpy(dtype=float), 4),
        "text": [figures.safe(one) for one in genes_of(part)],
        "marker": {
            "size": 6 if is_hit else 4,
            "color": figures.PALETTE[1] if is_hit else figures.GREY,
            "opacity": 0.9 if is_hit else 0.6,
        },
        "hovertemplate": "%{text}: %{x:.3~g}, %{y:.3~g}<extra>%{fullData.name}</extra>",
    }
