"""Chains to read and to learn from."""

import numpy as np
import pandas as pd
import pytest

from scpress.receptors.contigs import COLUMNS, RESIDUES, Contigs


def chain_frame(*rows):
    """Chains of (barcode, chain, cdr3, V, J, molecules)."""
    return pd.DataFrame([(*row, "", "") for row in rows], columns=list(COLUMNS))


def contigs_of(*rows):
    """A table that was read, of the same."""
    return Contigs(chain_frame(*rows), len(rows), {})


def make_chains():
    """60 cells with both chains; V and J give the ends, what is between is random."""
    rng = np.random.default_rng(0)
    rows = []
    for cell in range(60):
        for chain, start in (("TRA", "CAV"), ("TRB", "CAS")):
            middle = "".join(rng.choice(list(RESIDUES), size=rng.integers(2, 9)))
            rows.append(
                (
                    f"c{cell}",
                    chain,
                    start + middle + "F",
                    f"{chain}V{cell % 3}",
                    f"{chain}J{cell % 2}",
                    5,
                )
            )
    return chain_frame(*rows)


@pytest.fixture(scope="session")
def many_chains():
    """The same for all tests of this folder."""
    return make_chains()
