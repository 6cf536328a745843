"""The compression tables and curves of the page."""

from typing import Any

from scpress.report import figures
from scpress.report.inputs import ReportInputs

Section = dict[str, Any]
CURVES = (
    ("deviance_explained", "deviance explained"),
    ("gene_correlation", "correlation per gene, median"),
)


def compression_section(inputs: ReportInputs) -> Section | None:
    """Bytes, precision and rivals of every model, and the curves over bytes of all of them."""
    if not inputs.compressions:
        return None
    ordered = sorted(
        inputs.compressions,
        key=lambda one: (one["model"] != inputs.primary, one["model"], str(one.get("seed"))),
    )
    first = ordered[0]
    points = [_named(row, one) for one in ordered for row in one["precision"]]
    points += first["curve"]
    points += [row for row in first["rivals"] if row["code"] in figures.RIVALS]
    drawn = [figures.rate_distortion(points, key=key, title=title) for key, title in CURVES]
    return {
        "first": first,
        "bytes": {"header": _BYTES_HEADER, "rows": [_bytes_row(one) for one in ordered]},
        "precision": {"header": _PRECISION_HEADER, "rows": _precision_rows(first)},
        "rivals": {"header": _RIVALS_HEADER, "rows": _rival_rows(first)},
        "figures": [figure for figure in drawn if figure["data"]],
        "legend": list(figures.code_colours(points).items()),
        "notes": first.get("notes", {}),
        "is_sampled": first["n_scored_cells"] < first["n_cells"],
    }


_BYTES_HEADER = [
    "model",
    "nominal, against dense float32",
    "counts, bytes per cell",
    "latent, bytes per cell",
    "stored ratio",
    "decoder and vectors",
    "ratio with decoder",
    "pays from",
]
_PRECISION_HEADER = [
    "latent as",
    "bytes per cell",
    "NLL, nats per cell",
    "held-out cells",
    "deviance explained",
    "recall of float32's nearest cells",
    "ARI with float32's clusters",
]
_RIVALS_HEADER = [
    "code",
    "numbers per cell",
    "bytes, all included",
    "deviance explained",
    "correlation per gene",
    "correlation per cell",
    "recall of nearest cells",
    "ARI with labels",
]


def _named(row: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    return row | {"code": one["model"]}


def _bytes_row(one: dict[str, Any]) -> list[str]:
    stored, full = one["stored"], one["with_decoder"]
    fixed = full["decoder_bytes"] + full["gene_bytes"] + full["library_bytes"]
    even = full["break_even_cells"]
    seed = one.get("seed")
    return [
        one["model"] + ("" if seed is None else f", seed {seed}"),
        f"{one['nominal']['ratio']:.0f}x",
        f"{stored['counts_bytes_per_cell']:,.0f}",
        f"{stored['latent_bytes_per_cell']:,.1f}",
        f"{stored['ratio']:.1f}x",
        bytes_text(fixed),
        f"{full['ratio']:.2f}x",
        "never" if even is None else f"{even:,} cells",
    ]


def _precision_rows(one: dict[str, Any]) -> list[list[str]]:
    start = one["precision"][0]
    rows = []
    for row in one["precision"]:
        change = row["nll"] - start["nll"]
        ari = f"{row['ari_float32']:.3f}"
        if row is start:
            ari += f" (another seed of Leiden: {row['ari_other_seed']:.3f})"
        rows.append(
            [
                row["precision"],
                f"{row['latent_bytes_per_cell']:,.1f}",
                f"{row['nll']:,.2f}" + ("" if row is start else f" ({change:+.3f})"),
                "-" if row.get("nll_held_out") is None else f"{row['nll_held_out']:,.2f}",
                f"{row['deviance_explained']:.4f}",
                f"{row['neighbor_recall_float32']:.3f}",
                ari,
            ]
        )
    return rows


def _rival_rows(one: dict[str, Any]) -> list[list[str]]:
    return [
        [
            row["code"],
            str(row["n_latent"]),
            bytes_text(row["total_bytes"]),
            *(
                "-" if row.get(key) is None else f"{row[key]:.3f}"
                for key in (
                    "deviance_explained",
                    "gene_correlation",
                    "cell_correlation",
                    "neighbor_recall",
                    "ari_label",
                )
            ),
        ]
        for row in one["rivals"]
    ]


def bytes_text(n: float) -> str:
    """12,345 -> 12.3 kB; decimal units."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:,.1f} {unit}"
    return f"{n:,.0f} B"
