"""How chains of any length become numbers: residues and genes, each chain once."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scpress.receptors.contigs import RESIDUES

# What tells two chains apart.
IDENTITY = ["chain", "cdr3", "v_gene", "j_gene"]
# Beside the residues: what fills a row, what begins and ends a sequence, what is not told.
PADDING, START, END, UNTOLD = 0, len(RESIDUES) + 1, len(RESIDUES) + 2, len(RESIDUES) + 3
N_TOKENS = len(RESIDUES) + 4


@dataclass(frozen=True)
class Sequences:
    """Chains as numbers.

    Attributes
    ----------
    residues
        [sequences, longest] From 1, in the order of `RESIDUES`; 0 after the end.
    lengths
        [sequences] Residues of each.
    v, j
        [sequences] Number of the gene, from 1; 0 where it is not known.
    v_names, j_names
        Name of every number.
    """

    residues: np.ndarray
    lengths: np.ndarray
    v: np.ndarray
    j: np.ndarray
    v_names: tuple[str, ...]
    j_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.lengths)


def unique_chains(chains: pd.DataFrame) -> pd.DataFrame:
    """[sequences] Chains of which no two have the same residues and genes, sorted, with `n_cells`.

    Sorted, so that the order of files and cells changes no training.
    """
    return (
        chains.groupby(IDENTITY, sort=True, as_index=False)
        .size()
        .rename(columns={"size": "n_cells"})
    )


def encode(chains: pd.DataFrame) -> Sequences:
    """Chains, each row one, as numbers."""
    texts = chains["cdr3"].tolist()
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    residues = np.zeros((len(texts), int(lengths.max(initial=0))), dtype=np.int64)
    # The bytes of all texts in one piece: no loop over residues.
    table = np.zeros(128, dtype=np.int64)
    table[np.frombuffer(RESIDUES.encode(), dtype=np.uint8)] = np.arange(1, len(RESIDUES) + 1)
    flat = table[np.frombuffer("".join(texts).encode(), dtype=np.uint8)]
    residues[np.arange(residues.shape[1]) < lengths[:, None]] = flat
    v, v_names = _numbered(chains["v_gene"])
    j, j_names = _numbered(chains["j_gene"])
    return Sequences(residues, lengths, v, j, v_names, j_names)


def decode(residues: np.ndarray) -> list[str]:
    """[sequences, any] Numbers as text, up to the first that is no residue."""
    letters = np.array(list(" " + RESIDUES + " " * (N_TOKENS - len(RESIDUES) - 1)))
    return ["".join(row).partition(" ")[0] for row in letters[residues]]


def _numbered(genes: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    names = ("", *sorted(set(genes) - {""}))
    numbers = {name: number for number, name in enumerate(names)}
    return genes.map(numbers).to_numpy(dtype=np.int64, copy=True), names
