"""A table of false signals is read as it was written."""

import pytest

from scpress.errors import InputError
from scpress.tables.false_signals import FalseSignals, Signals


def test_the_table_is_read_as_it_was_written():
    signals = Signals(
        n_clusters=3,
        n_markers=50,
        n_subtypes=2,
        n_cut=4,
        n_cut_markers=60,
        gain=-1.5,
        raw_pairs=0.01,
        denoised_pairs=0.3,
    )
    found = FalseSignals(
        model="m",
        seed=0,
        n_cells=100,
        n_genes=50,
        n_strata=1,
        max_fdr=0.05,
        resolution=0.8,
        n_pair_genes=40,
        min_correlation=0.3,
        data=signals,
        copies=(signals, signals),
    )
    plain = found.as_plain()
    assert FalseSignals.from_plain(plain, "x") == found
    plain["copies"][0]["raw_pairs"] = 1.5
    with pytest.raises(InputError, match=r"'raw_pairs' in .* is 1\.5"):
        FalseSignals.from_plain(plain, "x")
    with pytest.raises(InputError, match="x has no copy without structure"):
        FalseSignals.from_plain(found.as_plain() | {"copies": []}, "x")
