"""Which genes mark which cell type, and where those genes are in the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scpress import slots
from scpress.counts.genes import without_version
from scpress.errors import InputError

REQUIRED_COLUMNS = ("cell_type", "gene_symbol")
DIRECTIONS = ("positive", "negative")
# Of how many molecules a typical value of the table counts.
_TYPICAL_UNIT = 10_000
# The panels that come with the package, the first one the default, and what they are of.
SHIPPED_PANELS = {
    "immune": "immune cells",
    "pancreas": "the pancreas",
    "brain": "the cortex of the brain",
    "lung": "the lung",
    "gut": "the gut",
}


@dataclass(frozen=True)
class Panel:
    """Cell types in a tree and their marker genes, as positions in the data."""

    cell_types: tuple[str, ...]
    parent: np.ndarray  # [types] position of the parent, -1 for a root
    columns: np.ndarray  # [markers] position of each marker gene in the data
    positive: np.ndarray  # [types, markers] True where the gene must be expressed
    negative: np.ndarray  # [types, markers] True where the gene must not be
    n_listed: np.ndarray  # [types] positive genes in the table, found in the data or not

    typical: np.ndarray  # [markers] part of a cell's molecules where the gene is on, 0 unknown

    def with_descendants(self, types: np.ndarray) -> np.ndarray:
        """[family] Sorted positions of some types and of all types below them."""
        family = set(types.tolist())
        while below := set(np.flatnonzero(np.isin(self.parent, list(family))).tolist()) - family:
            family |= below
        return np.array(sorted(family))

    def children(self, cell_type: int) -> np.ndarray:
        """[children] Positions of the types right below one; -1 gives the roots."""
        return np.flatnonzero(self.parent == cell_type)


def name_panel(panel: str | None) -> str:
    """What the page calls a panel: the words for a shipped one, else the path."""
    panel = panel or next(iter(SHIPPED_PANELS))
    return f"scpress's own of {SHIPPED_PANELS[panel]}" if panel in SHIPPED_PANELS else panel


def check_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Check a marker table and fill in its optional columns.

    Parameters
    ----------
    table
        One row per type and gene: cell_type, gene_symbol and, where wanted, gene_id, parent
        (a coarser type of the table), direction (positive or negative), typical (molecules of
        10,000 in cells where the gene is on), source.

    Returns
    -------
    The same rows, text without spaces around it, '' where a value is missing.

    Raises
    ------
    InputError
        A missing column or name, an unknown direction or parent, a repeated row, a typical value
        that is no number.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns)) or "nothing"
        raise InputError(
            f"the marker table has no column {missing[0]!r}; found {found}. It needs cell_type and "
            "gene_symbol, separated by tabs; gene_id, parent, direction, typical and source are "
            "optional."
        )
    if table.empty:
        raise InputError("the marker table has no rows. Give at least one marker gene.")
    defaults = {
        "gene_id": "",
        "parent": "",
        "direction": "positive",
        "typical": "",
        "source": "",
    }
    checked = table.assign(**{k: v for k, v in defaults.items() if k not in table.columns})
    for name in (*REQUIRED_COLUMNS, *defaults):
        checked[name] = checked[name].fillna("").astype(str).str.strip()
    checked["direction"] = checked["direction"].replace("", defaults["direction"])
    _require_rows(checked)
    _require_tree(checked)
    return checked.reset_index(drop=True)


def _require_rows(table: pd.DataFrame) -> None:
    blank = table["cell_type"].eq("") | (table["gene_symbol"].eq("") & table["gene_id"].eq(""))
    if blank.any():
        raise InputError(
            f"row {int(np.flatnonzero(blank)[0]) + 1} of the marker table has no cell type or no "
            "gene. Fill it in or remove the row."
        )
    if table["cell_type"].eq(slots.UNASSIGNED).any():
        raise InputError(f"{slots.UNASSIGNED!r} means no type; rename it in the marker table.")
    wrong = table.loc[~table["direction"].isin(DIRECTIONS), "direction"]
    if len(wrong):
        raise InputError(
            f"direction in the marker table must be positive or negative; found {wrong.iloc[0]!r}."
        )
    given = table.loc[table["typical"].ne(""), "typical"]
    number = pd.to_numeric(given, errors="coerce")
    bad = given[~number.between(0, _TYPICAL_UNIT)]
    if len(bad):
        raise InputError(
            f"typical in the marker table must be molecules of {_TYPICAL_UNIT:,}; found "
            f"{bad.iloc[0]!r}. Give a number of 0 to {_TYPICAL_UNIT:,} or leave it empty."
        )
    # The same gene as positive and as negative marker of a type contradicts itself.
    name = table["gene_symbol"].where(table["gene_symbol"].ne(""), table["gene_id"])
    repeated = pd.DataFrame({"cell_type": table["cell_type"], "gene": name}).duplicated()
    if repeated.any():
        row = table[repeated].iloc[0]
        raise InputError(
            f"gene {name[repeated].iloc[0]!r} is listed twice for {row['cell_type']!r} in the "
            "marker table. Keep one of the rows."
        )
    no_positive = sorted(
        set(table["cell_type"]) - set(table.loc[table["direction"] == "positive", "cell_type"])
    )
    if no_positive:
        raise InputError(
            f"{no_positive[0]!r} has no positive marker gene in the marker table. Give it one."
        )


def _require_tree(table: pd.DataFrame) -> None:
    parents = table.groupby("cell_type", sort=False)["parent"].unique()
    several = parents[parents.str.len() > 1]
    if len(several):
        raise InputError(
            f"{several.index[0]!r} has several parents in the marker table: "
            f"{', '.join(map(repr, several.iloc[0]))}. Give it one."
        )
    parent = parents.str[0]
    unknown = parent[parent.ne("") & ~parent.isin(parent.index)]
    if len(unknown):
        raise InputError(
            f"parent {unknown.iloc[0]!r} of {unknown.index[0]!r} is not a type of the marker "
            "table. Add its markers or leave the parent empty."
        )
    for cell_type in parent.index:
        above = parent[cell_type]
        for _ in range(len(parent)):
            above = parent[above] if above else ""
        if above:
            raise InputError(f"{cell_type!r} is its own ancestor in the marker table.")


def match_panel(table: pd.DataFrame, ids: Sequence[str], symbols: Sequence[str]) -> Panel:
    """Find the marker genes in the data, by id where both have one, else by symbol.

    Parameters
    ----------
    table
        From `check_panel`.
    ids, symbols
        [genes] Of the data; '' where there is none. Of a repeated symbol the first gene counts.

    Raises
    ------
    InputError
        No marker gene is in the data.
    """
    by_id: dict[str, int] = {}
    by_symbol: dict[str, int] = {}
    for column, (gene_id, symbol) in enumerate(zip(ids, symbols, strict=True)):
        by_id.setdefault(without_version(gene_id), column)
        by_symbol.setdefault(symbol, column)
    columns = [
        by_id.get(gene_id, by_symbol.get(symbol, -1) if symbol else -1)
        if gene_id
        else by_symbol.get(symbol, -1)
        for gene_id, symbol in zip(table["gene_id"], table["gene_symbol"], strict=True)
    ]
    at = np.array(columns, dtype=np.int64)
    if (at < 0).all():
        wanted = ", ".join(dict.fromkeys(table["gene_symbol"].head(3)))
        seen = ", ".join(map(str, list(symbols)[:3]))
        raise InputError(
            f"no gene of the marker table is in the data: the table has {wanted}, the data {seen}. "
            "Is the table for this species, and does it name genes the same way?"
        )
    cell_types = tuple(dict.fromkeys(table["cell_type"]))
    row_type = table["cell_type"].map({name: i for i, name in enumerate(cell_types)}).to_numpy()
    parents = table.drop_duplicates("cell_type")["parent"]
    is_positive = table["direction"].eq("positive").to_numpy()
    found = at >= 0
    genes = np.unique(at[found])
    masks = []
    for wanted_rows in (is_positive & found, ~is_positive & found):
        mask = np.zeros((len(cell_types), len(genes)), dtype=bool)
        mask[row_type[wanted_rows], np.searchsorted(genes, at[wanted_rows])] = True
        masks.append(mask)
    typical = np.zeros(len(genes))
    rate = pd.to_numeric(table["typical"].replace("", "0")).to_numpy(dtype=np.float64)
    np.maximum.at(typical, np.searchsorted(genes, at[found]), rate[found] / _TYPICAL_UNIT)
    return Panel(
        cell_types=cell_types,
        parent=np.array([cell_types.index(name) if name else -1 for name in parents]),
        columns=genes,
        positive=masks[0],
        negative=masks[1],
        n_listed=np.bincount(row_type[is_positive], minlength=len(cell_types)),
        typical=typical,
    )
