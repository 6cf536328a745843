"""One pass over the counts: totals and evenly spaced cells."""

import numpy as np
import pytest
from scipy import sparse

from scpress.archive import survey
from scpress.archive.fit import pack_parameters
from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import ABSENT, Parameters


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


def rare_levels_of(spread):
    """A sample whose cells have `spread` times more of 400 rare genes, or less; what is made of it.

    Ten abundant genes hardly let that be seen of the library size.
    """
    drawn = np.random.default_rng(0)
    of_cell = 2.0 ** (spread * drawn.standard_normal((1500, 1)))
    abundant, rare = drawn.poisson(150, (1500, 10)), drawn.poisson(0.2 * of_cell, (1500, 400))
    X = sparse.csr_matrix(np.concatenate([abundant, rare], axis=1))
    seen = survey.look(lambda: iter([X]), *X.shape)
    tables = [seen.level_table, (np.zeros(1, int), frequencies(np.ones(1)))]
    b, t, w = survey.shares_of(seen.totals), np.full(410, 19), np.zeros((0, 410), int)
    p = Parameters(pack_parameters(b, t, w, survey.direct_from(seen.level_table), tables), 410)
    assert len(p.rare) == 400
    return survey.rare_steps(X, seen.levels, p), survey.rare_table(seen, p)[0], of_cell.ravel()


def test_rare_genes_have_a_level_of_their_own_where_it_pays():
    steps, values, of_cell = rare_levels_of(0.8)
    assert np.corrcoef(steps, np.log2(of_cell))[0, 1] > 0.9
    assert steps.std() * 4 / 16 == pytest.approx(0.7, abs=0.15)
    assert values[0] < steps.min() or values[-1] > steps.max()


def test_rare_genes_have_the_level_of_their_cell_where_none_of_their_own_pays():
    assert rare_levels_of(0.0)[1].tolist() == [0]
