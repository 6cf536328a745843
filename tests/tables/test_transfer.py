"""The record of names, with labelled cells and without."""

import pytest

from scpress.errors import InputError
from scpress.tables.transfer import PanelAgreement, Probes, ReferenceRecord, TransferRecord

AGREEMENT = PanelAgreement(
    panel="immune", n_cells=50, ari=0.8, names=("B",), panel_types=("B cell",), shares=(0.9,)
)
REFERENCE = ReferenceRecord(
    source="atlas.h5ad",
    n_missing_genes=3,
    n_unlike=4,
    left_out=("mast",),
    unlike_rate=0.05,
    held_out_rate=0.04,
    accuracy_knn=0.9,
    accuracy_linear=0.95,
    accuracy_both=0.96,
    mean_confidence=0.95,
    n_steps=120,
    types=("B", "T"),
    type_sizes=(20, 30),
    type_accuracies=(0.9, 1.0),
    type_unlike=(0.1, 0.0),
    agreement=AGREEMENT,
)


def test_records_come_back():
    for record in (REFERENCE, ReferenceRecord(source="m.pkl", n_missing_genes=0)):
        assert ReferenceRecord.from_plain(record.as_plain(), "x") == record
    probes = Probes(what=("label",), measure=("R2",), chance=(0.0,), latent=(0.5,), pca=(-0.1,))
    record = TransferRecord(
        model="vae", batch="query", n_cells=9, n_reference=50, reference=REFERENCE, probes=probes
    )
    assert TransferRecord.from_plain(record.as_plain(), "x") == record


def test_types_without_their_numbers_are_refused():
    plain = REFERENCE.as_plain() | {"type_sizes": [20]}
    with pytest.raises(InputError, match=r"columns of unlike lengths.*scpress transfer"):
        ReferenceRecord.from_plain(plain, "x")
