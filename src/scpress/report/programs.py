"""What the dimensions of a latent mean in genes: a table, and a panel in which they are moved."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.errors import InputError
from scpress.report import figures
from scpress.report.cells import cluster_label
from scpress.report.expression import pack
from scpress.report.inputs import ReportInputs
from scpress.report.words import genes_of
from scpress.tables.programs import DIMENSION, ProgramsRecord

# Characters that the colours of the map may take of the 20 MB of a page, and genes of each side.
_MAX_CHARACTERS, _N_SHOWN = 2_000_000, 15
# Steps of a colour; a byte holds one of them.
_N_STEPS = 255
RISES, FALLS = "#c05a1c", "#3b76af"


def programs_section(inputs: ReportInputs, *, max_cells: int) -> dict[str, Any] | None:
    """Programs with their genes, agreement and curves; None where none were looked for.

    Raises
    ------
    InputError
        They are of a model, genes or clusters that the cells do not have.
    """
    programs, genes = inputs.programs, inputs.program_genes
    if programs is None or genes is None:
        return None
    record = ProgramsRecord.from_plain(
        programs.uns[slots.RECORD.name]["programs"], "the record of the programs"
    )
    colours = _colours(inputs, record, inputs.shown_rows(max_cells))
    shown_genes = genes[genes["rank"] <= _N_SHOWN].sort_values("rank")
    by_program = dict(tuple(shown_genes.groupby("program", sort=False)))
    panel, rows = [], []
    for number, name in enumerate(record.program):
        own = by_program.get(name, genes.iloc[:0])
        # From what rises most to what falls most, as the panel's bars stand.
        own = pd.concat([own[own["change"] == "rises"], own[own["change"] == "falls"][::-1]])
        labels = genes_of(own).to_numpy(dtype=object)
        is_rising = (own["change"] == "rises").to_numpy()
        title = name if record.kind[number] == DIMENSION else _between(inputs, name)
        rows.append(
            {
                "label": title,
                "range": _range(record, number),
                "rises": list(labels[is_rising]),
                "falls": list(labels[~is_rising][::-1]),
                "agreement": _agreement(record, number),
            }
        )
        if len(own):
            colour = colours.get(name, {"colour": None, "low": 0, "high": 1})
            moved = _moved(programs, record, number, own["gene"])
            shown = {"name": figures.safe(title), "genes": [figures.safe(one) for one in labels]}
            panel.append(shown | moved | colour)
    n_dimensions = record.kind.count(DIMENSION)
    return {
        "record": record,
        "n_seeds": len(record.seeds),
        "dimensions": rows[:n_dimensions],
        "pairs": rows[n_dimensions:],
        "n_pairs": record.n_pairs,
        "panel": {
            "programs": panel,
            "rises": RISES,
            "falls": FALLS,
            "layout": figures.layout(x="log2 fold change since the start", showlegend=False),
        }
        if panel
        else None,
        "n_uncoloured": sum(one["colour"] is None for one in panel),
    }


def _moved(
    programs: AnnData, record: ProgramsRecord, number: int, genes: pd.Series
) -> dict[str, Any]:
    """The places of one program, and how far its genes have changed at each."""
    name = record.program[number]
    columns = programs.var_names.get_indexer(pd.Index(genes))
    if (columns < 0).any():
        raise InputError(
            f"gene {genes.to_numpy()[columns < 0][0]!r} of the table of programs is not among the "
            f"{programs.n_vars} genes of programs.h5ad. Give files of one run."
        )
    own = programs[(programs.obs[slots.PROGRAM.name] == name).to_numpy()]
    places = own.obs[slots.PROGRAM_PLACE.name].to_numpy(dtype=float)
    words = [f"{place:.0f} % of the way" for place in places]
    if record.kind[number] == DIMENSION:
        words = [f"percentile {place:.0f}" for place in places]
        # Values are known of the ends alone.
        words[0] += f" ({record.start[number]:.2f})"
        words[-1] += f" ({record.end[number]:.2f})"
    return {
        "kind": "Dimensions" if record.kind[number] == DIMENSION else "Between clusters",
        "places": words,
        "values": [figures.rounded(curve, 3) for curve in own.X[:, columns]],
    }


def _between(inputs: ReportInputs, name: str) -> str:
    start, _, end = name.partition(" to ")
    return f"{cluster_label(inputs, start)} to {cluster_label(inputs, end)}"


def _range(record: ProgramsRecord, number: int) -> str:
    if record.kind[number] == DIMENSION:
        return f"{record.start[number]:.2f} to {record.end[number]:.2f}"
    return f"{record.end[number]:.2f} apart"


def _agreement(record: ProgramsRecord, number: int) -> str:
    if len(record.seeds) < 2 or not np.isfinite(record.agreement[number]):
        return "-"
    text = f"{record.agreement[number]:.2f} (least {record.least_agreement[number]:.2f})"
    spanned = record.spanned[number]
    return f"{text}, spanned {spanned:.2f}" if np.isfinite(spanned) else text


def _colours(
    inputs: ReportInputs, record: ProgramsRecord, rows: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Program -> how far along it each cell that is drawn is, a byte each, while they fit.

    Of two clusters 0 is the centre of the first one, and 1 that of the second.
    """
    slots.require(inputs.cells, slots.LATENT, slots.LEIDEN, model=record.model)
    z = np.asarray(inputs.cells.obsm[slots.LATENT.of(record.model)], dtype=np.float64)
    leiden = inputs.cells.obs[slots.LEIDEN.name].astype(str).to_numpy()
    colours, n_left = {}, _MAX_CHARACTERS
    for number, name in enumerate(record.program):
        if record.kind[number] == DIMENSION:
            values = z[rows, int(name[1:])]
        else:
            ends = [leiden == one for one in name.split(" to ", 1)]
            if not all(one.any() for one in ends):
                raise InputError(
                    f"the programs are of clusters {name!r}, which the cells lack. Give files of "
                    "one run."
                )
            start, end = (z[one].mean(axis=0) for one in ends)
            way = end - start
            values = (z[rows] - start) @ way / max(float(way @ way), 1e-12)
        low, high = np.percentile(values, [1, 99])
        steps = np.rint((values - low) / max(high - low, 1e-12) * _N_STEPS)
        text = pack(np.clip(steps, 0, _N_STEPS))
        n_left -= len(text)
        if n_left < 0:
            break
        colours[name] = {"colour": text, "low": float(low), "high": float(high)}
    return colours
