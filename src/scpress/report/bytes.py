"""The tables of bytes of the page, and the curves over them."""

import dataclasses
from typing import Any

from scpress.report import figures
from scpress.report.inputs import ReportInputs
from scpress.report.lossy import lossy_section
from scpress.tables.compression import GENE_MEAN, PCA, REFERENCE_RANK, Code, Compression

Section = dict[str, Any]
CURVES = (
    ("deviance_explained", "deviance explained"),
    ("gene_correlation", "correlation per gene, median"),
)
# What each number means, in the words of the page.
NOTES = {
    "nominal": "Against a dense float32 matrix, which nobody stores, and without the decoder.",
    "stored": "Raw counts of the modelled genes as an h5ad stores its X (CSR, int32, gzip) against "
    "the latent as stored (npz, zlib). The counts are exact; the latent is lossy.",
    "with_decoder": "Latent, decoder, one library size per cell and one mean per gene. Names of "
    "cells and genes are in neither side.",
    "deviance_explained": "1 - Poisson deviance of the decoded code / that of gene mean x size "
    "factor. Every code may predict no less than a tenth of the gene mean.",
    "correlation": "Medians, on log-normalized values. The correlation per cell is high for the "
    "gene mean alone: compare with that row.",
    "neighbor_recall": f"Share of the nearest cells by PCA ({REFERENCE_RANK} dimensions of the "
    "log-normalized modelled genes, float32) that are nearest by the code, too. So PCA is its own "
    "judge here, and its recall says nothing against another code's.",
    "sample": "These are the cells that the codes were fitted to, so a code with more numbers also "
    "keeps more of their noise and looks better for it. What a code knows of cells is told by "
    "held-out molecules alone.",
    "ari_float32": "Agreement (ARI) of Leiden clusters with those of the float32 latent; beside it "
    "the agreement of float32 with itself under another seed of Leiden.",
}


def compression_section(inputs: ReportInputs) -> Section | None:
    """Bytes, precision and rivals of every model, and the curves over bytes of all of them."""
    if not inputs.compressions:
        return None
    ordered = sorted(
        inputs.compressions, key=lambda one: (one.model != inputs.primary, one.model, str(one.seed))
    )
    first = ordered[0]
    points: list[Code] = [
        dataclasses.replace(code, code=one.model) for one in ordered for code in one.precision
    ]
    points += [*first.curve, *(code for code in first.rivals if code.code == GENE_MEAN)]
    drawn = [figures.rate_distortion(points, key=key, title=title) for key, title in CURVES]
    return {
        "first": first,
        "bytes": {"header": _BYTES_HEADER, "rows": [_bytes_row(one) for one in ordered]},
        "tensors": {"header": ["part", "tensor", "bytes"], "rows": _tensor_rows(first)},
        "precision": {"header": _PRECISION_HEADER, "rows": _precision_rows(first)},
        "rivals": {"header": _RIVALS_HEADER, "rows": _rival_rows(first)},
        "figures": [figure for figure in drawn if figure["data"]],
        "legend": list(figures.code_colours(points).items()),
        "lossy": lossy_section(ordered),
        "notes": NOTES,
        "is_sampled": first.n_scored_cells < first.n_cells,
    }


def archive_section(inputs: ReportInputs) -> Section | None:
    """Bytes of the packed counts beside those of the file that was packed."""
    packed = inputs.archive
    if packed is None:
        return None
    parts = {
        "names and all else": packed.sections.get("REST", 0),
        "counts": sum(packed.sections.get(kind, 0) for kind in ("MODL", "CELL", "INDX")),
    }
    parts["frames"] = packed.archive_bytes - sum(parts.values())
    rows = {"counts.h5ad (gzip)": packed.input_bytes, "counts.scp": packed.archive_bytes}
    rows |= {f"of it {name}": n_bytes for name, n_bytes in parts.items()}
    cells = max(1, packed.n_cells)
    return {
        "table": {
            "header": ["file", "bytes", "bytes per cell"],
            "rows": [[name, bytes_text(n), f"{n / cells:,.1f}"] for name, n in rows.items()],
        },
        "ratio": packed.input_bytes / max(1, packed.archive_bytes),
        "rung": packed.rung,
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
    "recall of PCA's nearest cells (PCA is its own judge)",
]


def _bytes_row(one: Compression) -> list[str]:
    stored, full = one.stored, one.with_decoder
    even = full.break_even_cells
    return [
        one.model + ("" if one.seed is None else f", seed {one.seed}"),
        f"{one.nominal.ratio:.0f}x",
        f"{stored.counts_bytes_per_cell:,.0f}",
        f"{stored.latent_bytes_per_cell:,.1f}",
        f"{stored.ratio:.1f}x",
        bytes_text(full.fixed_bytes),
        f"{full.ratio:.2f}x",
        "never" if even is None else f"{even:,} cells",
    ]


def _tensor_rows(one: Compression) -> list[list[str]]:
    return [
        [part, name, f"{size:,}"]
        for part, tensors in one.tensors.items()
        for name, size in sorted(tensors.items(), key=lambda item: -item[1])
    ]


def _precision_rows(one: Compression) -> list[list[str]]:
    start = one.precision[0]
    rows = []
    for code in one.precision:
        ari = f"{code.ari_float32:.3f}"
        if code is start:
            ari += f" (another seed of Leiden: {code.ari_other_seed:.3f})"
        rows.append(
            [
                code.precision,
                f"{code.latent_bytes_per_cell:,.1f}",
                f"{code.nll:,.2f}" + ("" if code is start else f" ({code.nll - start.nll:+.3f})"),
                "-" if code.nll_held_out is None else f"{code.nll_held_out:,.2f}",
                f"{code.deviance_explained:.4f}",
                f"{code.neighbor_recall_float32:.3f}",
                ari,
            ]
        )
    return rows


def _rival_rows(one: Compression) -> list[list[str]]:
    return [
        [
            code.code,
            str(code.n_latent),
            bytes_text(code.total_bytes),
            *(
                # Adding 0.0 makes a zero of a negative one.
                "-" if value is None else f"{round(value, 3) + 0.0:.3f}"
                for value in (
                    code.deviance_explained,
                    code.gene_correlation,
                    code.cell_correlation,
                )
            ),
            _recall(code),
        ]
        for code in one.rivals
    ]


def _recall(code: Code) -> Any:
    if code.neighbor_recall is None:
        return "-"
    text = f"{code.neighbor_recall:.3f}"
    return {"text": text, "range": "its own judge"} if code.code == PCA else text


def bytes_text(n: float) -> str:
    """12,345 -> 12.3 kB; decimal units."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:,.1f} {unit}"
    return f"{n:,.0f} B"
