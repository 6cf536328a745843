"""Which chains a cell's receptor is, and which cells have receptors that are alike."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scpress.receptors.contigs import ARMS, COLUMNS, Contigs
from scpress.receptors.distances import tcrdist_like
from scpress.receptors.sequences import IDENTITY

ARM_NAMES = ("VJ", "VDJ")
# Clonotypes of which all distances are held at a time.
_ROWS = 1024


def join_files(files: Mapping[str, list[Contigs]]) -> pd.DataFrame:
    """[chains] All files' chains, with `cell`, which is `{name}_{barcode}`, and `arm`.

    A chain that two files have of one cell is there once.
    """
    parts = [
        one.chains.assign(cell=name + "_" + one.chains["barcode"].astype(str))
        for name, contigs in files.items()
        for one in contigs
    ]
    chains = pd.concat(parts, ignore_index=True).drop(columns="barcode")
    chains["arm"] = chains["chain"].map(ARMS)
    # By molecules, then by name: the order of rows and files decides nothing.
    order = ["cell", "arm", "molecules", *IDENTITY, *COLUMNS[-2:]]
    chains = chains.sort_values(order, ascending=[one != "molecules" for one in order])
    return chains.drop_duplicates(["cell", *IDENTITY]).reset_index(drop=True)


def choose_chains(chains: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Arm -> [cells] the chain with the most molecules, of chains as `join_files` has them."""
    first = chains.drop_duplicates(["cell", "arm"])
    return {arm: first[first["arm"] == arm].set_index("cell") for arm in ARM_NAMES}


def note_ambiguities(chains: pd.DataFrame) -> pd.Series:
    """[cells] What is not clear about a cell's receptor, joined by '; '; "" where all is."""
    by_cell = chains.groupby("cell", sort=True)
    notes = pd.Series("", index=pd.Index(sorted(set(chains["cell"])), name="cell"), dtype=object)
    for arm in ARM_NAMES:
        n = chains[chains["arm"] == arm].groupby("cell").size().reindex(notes.index, fill_value=0)
        notes = _noted(notes, n > 1, n.astype(str) + f" {arm} chains")
    kinds = chains.assign(kind=chains["chain"].str[:2]).groupby("cell")["kind"].nunique()
    notes = _noted(notes, kinds.reindex(notes.index) > 1, "chains of T and B cells")
    for gene, name in (("other_v_genes", "V"), ("other_j_genes", "J")):
        several = by_cell[gene].agg(lambda one: bool((one != "").any())).reindex(notes.index)
        notes = _noted(notes, several.astype(bool), f"several {name} genes")
    return notes


def _noted(notes: pd.Series, has: pd.Series, text: "str | pd.Series") -> pd.Series:
    joined = notes.where(notes == "", notes + "; ") + text
    return notes.where(~has, joined)


def group_cells(chosen: Mapping[str, pd.DataFrame], max_distance: float) -> pd.Series:
    """[cells with both chains] Number of the group, from 1, the largest first; 0 of one alone.

    Receptors are linked where the distances of their two chains add up to no more than
    `max_distance`; a group is what links join. Copies of one receptor are a group, too.
    """
    of_arms = [chosen[arm][IDENTITY].add_suffix(f"_{arm}") for arm in ARM_NAMES]
    pairs = of_arms[0].join(of_arms[1], how="inner")
    if pairs.empty:
        return pd.Series(0, index=pairs.index, dtype="int64")
    receptors = pairs.drop_duplicates().reset_index(drop=True)
    of_receptor = receptors.reset_index().merge(
        pairs.reset_index(), on=list(pairs.columns), suffixes=("", "_cell")
    )
    number = of_receptor.set_index("cell")["index"].reindex(pairs.index).to_numpy()
    linked = _links(receptors, max_distance)
    _, component = connected_components(linked, directed=False)
    group = pd.Series(component[number], index=pairs.index)
    # Largest first; of one size, the one whose first cell comes first by name.
    table = group.reset_index(name="group").groupby("group")["cell"].agg(["size", "min"])
    table = table.sort_values(["size", "min"], ascending=[False, True])
    ranks = pd.Series(np.arange(1, len(table) + 1), index=table.index)
    ranks[table["size"] == 1] = 0
    return group.map(ranks).astype("int64")


def _links(receptors: pd.DataFrame, max_distance: float) -> sparse.coo_matrix:
    arms = []
    for arm in ARM_NAMES:
        columns = {f"{name}_{arm}": name for name in IDENTITY}
        arms.append(receptors[list(columns)].rename(columns=columns))
    rows, others = [], []
    for start in range(0, len(receptors), _ROWS):
        parts = [tcrdist_like(one.iloc[start : start + _ROWS], one) for one in arms]
        row, column = np.nonzero(np.add(*parts) <= max_distance)
        # Receptors of T and B cells are never alike, whatever their sequences.
        kinds = arms[0]["chain"].to_numpy(dtype=str), arms[1]["chain"].to_numpy(dtype=str)
        same = np.logical_and.reduce([kind[row + start] == kind[column] for kind in kinds])
        rows.append(row[same] + start)
        others.append(column[same])
    row, column = np.concatenate(rows), np.concatenate(others)
    n = len(receptors)
    return sparse.coo_matrix((np.ones(len(row), dtype=bool), (row, column)), shape=(n, n))
