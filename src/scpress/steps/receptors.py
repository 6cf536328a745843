"""Receptor sequences: a code of every chain, joined to the cells by their names."""

import logging
from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.config.receptors import ReceptorsOptions
from scpress.errors import InputError
from scpress.receptors.cells import (
    ARM_NAMES,
    choose_chains,
    group_cells,
    join_files,
    note_ambiguities,
)
from scpress.receptors.contigs import Contigs
from scpress.receptors.distances import kmer_codes
from scpress.receptors.sequences import IDENTITY, Sequences, decode, encode, unique_chains
from scpress.receptors.training import train

log = logging.getLogger("scpress")

# Fewer different sequences than this teach nothing.
_LEAST = 20


def receptors(
    cells: pd.Index, files: Mapping[str, list[Contigs]], options: ReceptorsOptions | None = None
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Give each cell the code of its receptor, NaN where it has none, and say what the code keeps.

    Parameters
    ----------
    cells
        Names of the cells.
    files
        Name -> its tables; a barcode of them is the cell `{name}_{barcode}`.

    Returns
    -------
    AnnData, DataFrame
        [cells] the code of the V-J chain, then that of the V-D-J chain, with the chains; and
        [sequences] every different chain of the tables, with its nearest one by the code.

    Raises
    ------
    InputError
        No cell has a chain, or there are too few sequences.
    """
    options = options or ReceptorsOptions()
    chains = join_files(files)
    is_there = chains["cell"].isin(cells)
    if not is_there.any():
        found = repr(chains["cell"].iloc[0]) if len(chains) else "nothing that is productive"
        raise InputError(
            f"no cell has a receptor: the cells are named like {cells[0]!r}, and the tables have "
            f"{found}. Name each table by what stands before the barcode of its cells."
        )
    for name in files:
        if not chains.loc[is_there, "cell"].str.startswith(f"{name}_").any():
            log.warning("receptors: none of the tables' barcodes of %r is a cell.", name)
    table = unique_chains(chains)
    least = max(_LEAST, options.n_latent + 1 if options.method == "kmers" else 0)
    if len(table) < least:
        raise InputError(
            f"the tables have {len(table)} different sequences, too few to learn from; at least "
            f"{least} are needed."
        )
    codes, table, accuracy = _learn(table, options)
    chosen = {arm: one[one.index.isin(cells)] for arm, one in choose_chains(chains).items()}
    result = _of_cells(cells, chosen, chains[is_there], table, codes, options)
    n_any = int(np.isfinite(result.obsm[slots.RECEPTOR.name]).any(axis=1).sum())
    n_both = int(np.isfinite(result.obsm[slots.RECEPTOR.name]).all(axis=1).sum())
    log.info(
        "receptors: %d of %d cells have a receptor, %d of them both chains; %d have none (NaN).",
        n_any,
        len(cells),
        n_both,
        len(cells) - n_any,
    )
    record = {
        "method": options.method,
        "seed": options.seed,
        "n_cells": len(cells),
        "n_with_receptor": n_any,
        "n_with_both_chains": n_both,
        "n_sequences": len(table),
        "n_chains_without_cell": int((~is_there).sum()),
        "dropped": {
            name: {reason: sum(one.dropped.get(reason, 0) for one in contigs) for reason in reasons}
            for name, contigs in files.items()
            if (reasons := sorted({reason for one in contigs for reason in one.dropped}))
        },
        **accuracy,
    }
    result.uns[slots.RECORD.name] = {"receptors": record}
    return result, table


def _learn(table: pd.DataFrame, options: ReceptorsOptions) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Codes of the sequences; the table with what each is read back as, and its nearest one."""
    accuracy: dict = {}
    if options.method == "kmers":
        codes = kmer_codes(table, options.n_latent, seed=options.seed)
    else:
        sequences = encode(table)
        log.info("receptors: %d different sequences to learn from.", len(table))
        trained = train(sequences, options)
        codes = trained.codes
        if not np.isfinite(codes).all():
            raise InputError(
                f"the training with learning_rate {options.learning_rate:g} did not converge; give "
                "a smaller one."
            )
        right = (trained.written == sequences.residues) & (sequences.residues > 0)
        table = table.assign(
            is_held_out=trained.is_held_out,
            read_back=decode(trained.written),
            residues_right=right.sum(axis=1),
        )
        accuracy = {
            "n_passes": len(trained.losses),
            "held_out_losses": list(trained.losses),
            "v_right": _mean_of_known(trained.v_right[trained.is_held_out]),
            "j_right": _mean_of_known(trained.j_right[trained.is_held_out]),
            "reconstruction": reconstruction(sequences, right, trained.is_held_out),
        }
        held = trained.is_held_out
        log.info(
            "receptors: %d passes; of sequences not trained on, %.1f %% of the residues, %.1f %% "
            "of the V and %.1f %% of the J genes are read back from the code.",
            len(trained.losses),
            100 * right[held].sum() / sequences.lengths[held].sum(),
            100 * accuracy["v_right"],
            100 * accuracy["j_right"],
        )
    return codes, _with_nearest(table, codes), accuracy


def _mean_of_known(right: np.ndarray) -> float:
    known = right[~np.isnan(right)]
    return float(known.mean()) if len(known) else float("nan")


def reconstruction(
    sequences: Sequences, right: np.ndarray, is_held_out: np.ndarray
) -> dict[str, list]:
    """What is read back of the held-out sequences of each length: columns of a table."""
    lengths = sequences.lengths[is_held_out]
    right = right[is_held_out].sum(axis=1)
    found = np.unique(lengths)
    return {
        "length": found.tolist(),
        "n_sequences": [int((lengths == one).sum()) for one in found],
        "residues_right": [float(right[lengths == one].mean() / one) for one in found],
        "whole": [float((right[lengths == one] == one).mean()) for one in found],
    }


def _with_nearest(table: pd.DataFrame, codes: np.ndarray) -> pd.DataFrame:
    """The table with the nearest other sequence of the same chain, by the code."""
    from sklearn.neighbors import NearestNeighbors

    nearest = pd.Series("", index=table.index, dtype=object)
    distance = pd.Series(np.nan, index=table.index, dtype="float64")
    for _, rows in table.groupby("chain").groups.items():
        if len(rows) < 2:
            continue
        points = codes[rows]
        far, near = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(points).kneighbors()
        nearest[rows] = table["cdr3"].to_numpy()[rows[near[:, 0]]]
        distance[rows] = far[:, 0]
    return table.assign(nearest_cdr3=nearest, nearest_distance=distance)


def _of_cells(
    cells: pd.Index,
    chosen: Mapping[str, pd.DataFrame],
    chains: pd.DataFrame,
    table: pd.DataFrame,
    codes: np.ndarray,
    options: ReceptorsOptions,
) -> ad.AnnData:
    number = pd.Series(table.index, index=pd.MultiIndex.from_frame(table[IDENTITY]))
    joined = np.full((len(cells), 2 * codes.shape[1]), np.nan, dtype=np.float32)
    obs = pd.DataFrame(index=pd.Index(cells, dtype=object))
    for half, arm in enumerate(ARM_NAMES):
        one = chosen[arm]
        rows = number.reindex(pd.MultiIndex.from_frame(one[IDENTITY])).to_numpy(dtype=np.int64)
        columns = slice(half * codes.shape[1], (half + 1) * codes.shape[1])
        joined[cells.get_indexer(one.index), columns] = codes[rows]
        for name in IDENTITY:
            slot = slots.RECEPTOR_CHAIN[arm, name].name
            obs[slot] = pd.Categorical(one[name].replace("", None).reindex(cells))
    counted = chains.groupby("cell").size()
    obs[slots.RECEPTOR_CHAINS.name] = counted.reindex(cells, fill_value=0).astype("int64").array
    notes = note_ambiguities(chains).reindex(cells, fill_value="")
    obs[slots.RECEPTOR_NOTE.name] = pd.Categorical(notes)
    groups = group_cells(chosen, options.max_distance).reindex(cells)
    named = groups[groups > 0].astype("int64").astype(str).reindex(cells)
    order = [str(one) for one in sorted({int(one) for one in named.dropna()})]
    obs[slots.RECEPTOR_GROUP.name] = pd.Categorical(named, categories=order)
    log.info(
        "receptors: %d groups of cells whose receptors are at most %g apart hold %d cells.",
        len(order),
        options.max_distance,
        int(named.notna().sum()),
    )
    return ad.AnnData(obs=obs, obsm={slots.RECEPTOR.name: joined})
