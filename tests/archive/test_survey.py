"""One pass over the counts: totals and evenly spaced cells."""

import numpy as np
from scipy import sparse

from scpress.archive import survey
from scpress.archive.numpy_reader import ABSENT


def test_shares_are_log2_of_the_fraction_and_finer_with_more_molecules():
    totals = np.array([2**20, 2**19 * 1.03, 2**4, 1, 0])
    b = survey.shares_of(totals)
    exact = 16 * np.log2(totals[:4] / totals.sum())
    assert abs(b[:2] - exact[:2]).max() <= 0.5
    assert b[4] == ABSENT
    # Of 16 molecules the log has a standard deviation of 5.8 sixteenths: steps of 16.
    assert (b[2] % 16, b[3] % 32) == (0, 0)
    assert abs(b[2] - exact[2]) <= 8


def test_the_sample_is_every_so_many_cells_whatever_the_blocks(monkeypatch):
    X = sparse.csr_matrix(np.arange(1, 201)[:, None])
    for cells, nonzeros, step in ((70, 2**22, 3), (200, 30, 8)):
        monkeypatch.setattr(survey, "_SAMPLE_CELLS", cells)
        monkeypatch.setattr(survey, "_SAMPLE_NONZEROS", nonzeros)
        for n in (7, 64, 200):
            seen = survey.look(lambda n=n: (X[at : at + n] for at in range(0, 200, n)), 200, 1)
            assert seen.sample.toarray().ravel().tolist() == (seen.cells + 1).tolist()
            assert len(seen.cells) <= max(cells, nonzeros)
            if n == 7:
                assert seen.cells[1] == step
