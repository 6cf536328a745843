"""What the page says of names that labelled cells gave."""

from typing import Any

from scpress.report.words import share
from scpress.tables.transfer import ReferenceRecord


def describe_reference(values: Any, n_cells: int) -> dict[str, Any] | None:
    """How far the names can be believed, the types they are of, and what the panel says of them.

    Parameters
    ----------
    values
        `reference` of the record of `annotate`, where there is one.
    """
    if not values:
        return None
    record = ReferenceRecord.from_plain(values, "the record of the labelled cells")
    return {
        "source": record.source,
        "said": _told(record, n_cells),
        "types": _types_table(record),
        "agreement": _agreement_table(record),
    }


def _told(record: ReferenceRecord, n_cells: int) -> list[str]:
    """Sentences."""
    missing = record.n_missing_genes
    genes = f"{missing:,} genes were on one side only and are left out." if missing else ""
    if record.held_out_rate is None or record.accuracy_both is None:
        own = (
            "The confidence is the model's own probability, which is not calibrated here; what is "
        )
        return [f"{own}unlike all it knows may still get a name.", *([genes] if genes else [])]
    assert record.mean_confidence is not None
    told = [
        f"Held out, {100 * record.accuracy_both:.1f}% of the labelled cells are named rightly, at "
        f"a mean confidence of {record.mean_confidence:.2f}.",
        f"{record.n_unlike:,} cells ({share(record.n_unlike, n_cells, 1)}) are unlike all that "
        f"have a label; of labelled cells held out {100 * record.held_out_rate:.1f}% would be "
        "called so.",
        genes,
    ]
    if record.left_out:
        told.append(f"Types of too few labelled cells, not given: {', '.join(record.left_out)}.")
    return [one for one in told if one]


def _types_table(record: ReferenceRecord) -> dict[str, Any] | None:
    if record.types is None:
        return None
    columns = (record.type_sizes, record.type_accuracies, record.type_unlike)
    assert None not in columns
    rows = [
        [name, f"{n:,}", f"{100 * right:.1f}%", f"{100 * unlike:.1f}%"]
        for name, n, right, unlike in zip(record.types, *columns, strict=True)  # type: ignore[arg-type]
    ]
    header = ["type", "labelled cells", "named rightly, held out", "called unlike all, held out"]
    return {"header": header, "rows": rows}


def _agreement_table(record: ReferenceRecord) -> dict[str, Any] | None:
    found = record.agreement
    if found is None:
        return None
    rows = [
        [name, panel_type, f"{100 * part:.0f}%"]
        for name, panel_type, part in zip(found.names, found.panel_types, found.shares, strict=True)
    ]
    return {
        "panel": found.panel,
        "ari": f"{found.ari:.2f}",
        "n_cells": f"{found.n_cells:,}",
        "header": ["name", "the panel's most frequent type", "share of the cells"],
        "rows": rows,
    }
