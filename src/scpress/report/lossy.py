"""Which lossy code is best at which size, in words and as a figure."""

import math
from collections.abc import Sequence
from typing import Any

from scpress.report import figures
from scpress.report.figures import RIVALS
from scpress.report.words import share
from scpress.tables.compression import Compression, LossyCode

NOTE = (
    "Each code was stored, read back and decoded. Fitted were the models and their rivals to the "
    "training cells. Of each held-out cell a random four fifths of the molecules were coded, and "
    "the codes are scored on the other fifth, which nothing was fitted to and no latent was made "
    "from. The models alone had one advantage: their training was stopped by the loss of these "
    "cells. Explained is a share of the Poisson deviance that the gene mean leaves, and most of "
    "that is chance, which no code explains."
)


def lossy_section(compressions: Sequence[Compression]) -> dict[str, Any] | None:
    """Describe the front of all codes that were scored on the molecules of the first model."""
    scored = [one for one in compressions if one.held_out is not None]
    if not scored:
        return None
    first = scored[0]
    codes = gather_codes(scored)
    front = find_front(codes)
    most = first.stored.counts_bytes_per_cell
    assert first.held_out is not None
    others = [one.model for one in scored if one.held_out.digest != first.held_out.digest]  # type: ignore[union-attr]
    names = list(dict.fromkeys(code.code for code in codes))
    return {
        "figure": figures.lossy_front(codes, front),
        "legend": list(figures.code_colours(codes).items()),
        "ranges": describe_ranges(front, most),
        "models": [
            describe_model(name, codes, front, most, first.n_cells)
            for name in names
            if name not in RIVALS
        ],
        "left_out": others,
        "n_cells": first.held_out.n_cells,
        "n_molecules": first.held_out.n_molecules,
        "note": NOTE,
    }


def gather_codes(compressions: Sequence[Compression]) -> list[LossyCode]:
    """Codes of all models and of each rival once, scored on the same molecules as the first's."""
    codes: list[LossyCode] = []
    with_rivals = [one for one in compressions if one.held_out is not None]
    for one in with_rivals:
        if one.held_out.digest == with_rivals[0].held_out.digest:  # type: ignore[union-attr]
            known = {code.code for code in codes}
            codes += [code for code in one.held_out.codes if code.code not in known]  # type: ignore[union-attr]
    return codes


def find_front(codes: Sequence[LossyCode]) -> list[LossyCode]:
    """Codes that no code of as few bytes equals, from the smallest on."""
    front: list[LossyCode] = []
    for code in sorted(codes, key=lambda c: (c.bytes_per_cell, -c.unseen_deviance_explained)):
        if not front or code.unseen_deviance_explained > front[-1].unseen_deviance_explained:
            front.append(code)
    return front


def front_ranges(
    front: Sequence[LossyCode], most: float
) -> list[tuple[float, float, list[LossyCode]]]:
    """(from, to, codes) Bytes per cell over which codes of one name are the best, in order.

    `most` is where the last range ends: what the counts take themselves.
    """
    found: list[tuple[float, float, list[LossyCode]]] = []
    inside = [code for code in front if code.bytes_per_cell < most]
    for code in inside:
        if found and found[-1][2][0].code == code.code:
            found[-1][2].append(code)
            continue
        if found:
            found[-1] = (found[-1][0], code.bytes_per_cell, found[-1][2])
        found.append((code.bytes_per_cell, most, [code]))
    return found


def front_share(name: str, front: Sequence[LossyCode], most: float) -> float:
    """Part of the byte range, on the figure's logarithmic axis, over which a code is the best."""
    ranges = front_ranges(front, most)
    if not ranges:
        return 0.0
    whole = math.log(most / ranges[0][0])
    return sum(math.log(high / low) for low, high, codes in ranges if codes[0].code == name) / whole


def cells_to_lead(codes: Sequence[LossyCode], rivals: Sequence[LossyCode]) -> int | None:
    """Cells from which one of the codes is smaller than every rival that keeps as much.

    None where there is no such number: the rivals have fewer bytes for each cell, too.
    """
    found = [_cells_to_beat(code, rivals) for code in codes]
    return min((n for n in found if n is not None), default=None)


def _cells_to_beat(code: LossyCode, rivals: Sequence[LossyCode]) -> int | None:
    most = 0
    for rival in rivals:
        if rival.unseen_deviance_explained < code.unseen_deviance_explained:
            continue
        more = code.shared_bytes - rival.shared_bytes
        saved = rival.cell_bytes - code.cell_bytes
        if saved <= 0:
            return None
        most = max(most, math.floor(more / saved) + 1)
    return most


def describe_ranges(front: Sequence[LossyCode], most: float) -> list[str]:
    """One sentence for each range of bytes, and what is best there."""
    ranges = front_ranges(front, most)
    sentences = []
    for low, high, codes in ranges:
        ends = [_percent(code.unseen_deviance_explained) for code in (codes[0], codes[-1])]
        kept = " to ".join(dict.fromkeys(ends))
        end = " (the counts themselves)" if high == most else ""
        sentences.append(
            f"From {_number(low)} to {_number(high)} bytes per cell{end}: {codes[0].code} "
            f"({_kinds(codes)}), which explains {kept}."
        )
    return sentences


def describe_model(
    name: str, codes: Sequence[LossyCode], front: Sequence[LossyCode], most: float, n_cells: int
) -> str:
    """Where one model is at the front; where it is not, why, and at how many cells it would be."""
    own = [code for code in codes if code.code == name]
    led = front_share(name, front, most)
    smallest = min(own, key=lambda code: code.bytes_per_cell)
    decoder = smallest.shared_bytes / n_cells
    cost = (
        f"its smallest code has {_number(smallest.bytes_per_cell)} bytes per cell, of which "
        f"{_number(decoder)} are the decoder over {n_cells:,} cells"
    )
    if led > 0:
        first = next(code for code in front if code.code == name)
        text = (
            f"{name} is the best code over {share(led, 1)} of the range of bytes (on a log scale)"
        )
        if first is front[0]:
            return text + "."
        return f"{text}, not below {_number(first.bytes_per_cell)}: {cost}."
    others = [code for code in codes if code.code != name]
    best = max(own, key=lambda code: code.unseen_deviance_explained)
    rival = min(
        (c for c in others if c.unseen_deviance_explained >= best.unseen_deviance_explained),
        key=lambda code: code.bytes_per_cell,
        default=None,
    )
    text = f"{name} is nowhere the best code: {cost}"
    if rival is None:
        return f"{text}; it keeps the most, in more bytes than the counts have."
    even = cells_to_lead(own, others)
    return (
        f"{text}, and the {_percent(best.unseen_deviance_explained)} that it explains at best "
        f"{rival.code} explains in {_number(rival.bytes_per_cell)}. "
        + (
            "More cells to share the decoder would not change this."
            if even is None
            else f"Shared by {even:,} cells its decoder would make it the smaller."
        )
    )


def _kinds(codes: Sequence[LossyCode]) -> str:
    """Say what the smallest and the largest of some codes are."""
    ends = [_kind(codes[0]), _kind(codes[-1])]
    return " to ".join(dict.fromkeys(ends))


def _kind(code: LossyCode) -> str:
    if code.n_latent == 0:
        return f"weights at {code.weights_precision}"
    dimensions = f"{code.n_latent} dimension" + ("s" if code.n_latent > 1 else "")
    if code.precision == code.weights_precision:
        return f"{dimensions} at {code.precision}"
    return f"{dimensions} at {code.precision}, weights at {code.weights_precision}"


def _percent(value: float) -> str:
    # Adding 0.0 makes a zero of a negative one.
    return f"{round(value, 3) + 0.0:.1%}"


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
