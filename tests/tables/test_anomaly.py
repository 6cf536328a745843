"""The record of the strangest cells names the genes of each of them."""

import pytest

from scpress.errors import InputError
from scpress.tables.anomaly import AnomalyRecord

FOUND = AnomalyRecord(
    model="vae",
    seeds=(0, 1),
    folds=2,
    n_reference=200,
    n_tested=50,
    n_called=2,
    max_fdr=0.1,
    cells=("a", "b"),
    genes=("HBB HBA1", "PPBP"),
)


def test_a_record_comes_back():
    assert AnomalyRecord.from_plain(FOUND.as_plain(), "x") == FOUND


def test_cells_without_their_genes_are_refused():
    plain = FOUND.as_plain() | {"genes": ["PPBP"]}
    with pytest.raises(InputError, match=r"scpress anomaly"):
        AnomalyRecord.from_plain(plain, "x")
