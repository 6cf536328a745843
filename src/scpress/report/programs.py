"""What the dimensions of a latent mean in genes: a table, and a panel in which they are moved."""

from typing import Any

import numpy as np

from scpress import slots
from scpress.errors import InputError
from scpress.report import figures
from scpress.report.cells import cluster_label
from scpress.report.expression import pack
from scpress.report.inputs import ReportInputs
from scpress.tables.programs import DIMENSION, ProgramsRecord

# Characters that the colours of the map may take of the 20 MB of a page.
_MAX_CHARACTERS = 3_000_000
# Steps of a colour; a byte holds one of them.
_N_STEPS = 255
RISES, FALLS = "#c05a1c", "#3b76af"


def programs_section(inputs: ReportInputs, *, max_cells: int) -> dict[str, Any] | None:
    """Programs with their genes, agreement and curves; None where none were looked for.

    Raises
    ------
    InputError
        They are of a model or of clusters that the cells do not have.
    """
    programs, genes = inputs.programs, inputs.program_genes
    if programs is None or genes is None:
        return None
    record = ProgramsRecord.from_plain(
        programs.uns[slots.RECORD.name]["programs"], "the record of the programs"
    )
    colours = _colours(inputs, record, inputs.shown_rows(max_cells))
    of_program = dict(tuple(genes.groupby("program", sort=False)))
    of_row = programs.obs[slots.PROGRAM.name].astype(str).to_numpy()
    place_of_row = programs.obs[slots.PROGRAM_PLACE.name].to_numpy(dtype=float)
    panel, rows = [], []
    for number, name in enumerate(record.program):
        is_dimension = record.kind[number] == DIMENSION
        label = name if is_dimension else _between(inputs, name)
        own = of_program.get(name, genes.iloc[:0])
        ranked = own.sort_values("rank")
        sides = {word: ranked[ranked["change"] == word] for word in ("rises", "falls")}
        shown = {word: _labels(side) for word, side in sides.items()}
        rows.append(
            {
                "label": label,
                "range": _range(record, number),
                "agreement": _agreement(record, number),
                **shown,
            }
        )
        # What falls least comes before what falls most: bars go from the largest to the least.
        names = [*sides["rises"]["gene"], *sides["falls"]["gene"][::-1]]
        if not names:
            continue
        columns = programs.var_names.get_indexer(names)
        own_rows = of_row == name
        curves = programs[own_rows].X[:, columns]
        panel.append(
            {
                "name": figures.safe(label),
                "kind": "Dimensions" if is_dimension else "Between clusters",
                "genes": [figures.safe(one) for one in (*shown["rises"], *shown["falls"][::-1])],
                "values": [figures.rounded(curve, 3) for curve in curves],
                "places": [
                    _place(record, number, place, part)
                    for place, part in zip(
                        place_of_row[own_rows], np.linspace(0, 1, own_rows.sum()), strict=True
                    )
                ],
                **colours.get(name, {"colour": None, "low": 0, "high": 1}),
            }
        )
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


def _labels(side: Any) -> list[str]:
    """Symbols where there are any, otherwise names."""
    symbols = side["gene_symbol"].astype(str)
    return symbols.where(symbols.ne(""), side["gene"].astype(str)).tolist()


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


def _place(record: ProgramsRecord, number: int, place: float, part: float) -> str:
    if record.kind[number] != DIMENSION:
        return f"{place:.0f} % of the way"
    # Percentiles are evenly spaced; values are said at the ends, where they are known.
    ends = {0.0: record.start[number], 1.0: record.end[number]}
    value = f" ({ends[part]:.2f})" if part in ends else ""
    return f"percentile {place:.0f}{value}"


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
