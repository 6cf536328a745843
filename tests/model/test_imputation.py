"""Hidden entries, the rivals' predictions of them, and the scores, against loops."""

import numpy as np
import pytest
from builders import modelled, untrained, with_gaps
from scipy import sparse
from scipy.stats import nbinom
from sklearn.metrics import mean_poisson_deviance

from scpress.config.options import TrainOptions
from scpress.counts.measured import Measured
from scpress.model.imputation import (
    Hidden,
    Prediction,
    Tally,
    gene_means,
    hide,
    neighbors,
    presence_of,
    recall_at,
    shared_genes,
)
from scpress.model.modelled import ModelledCounts


@pytest.fixture
def data(pbmc):
    return with_gaps(modelled(pbmc, n_genes=50).take(np.arange(90)))


def test_each_set_of_genes_hides_what_it_lacks_from_the_cells_that_have_some(data):
    rows = np.arange(0, 90, 2)
    genes = data.measured.genes
    found = list(hide(data, rows))
    lacking = [one for one in genes if (genes & ~one).any()]
    assert len(found) == len(lacking) == 2
    for hidden, kept in zip(found, lacking, strict=True):
        able = [row for row in rows if (genes[data.measured.of_cell[row]] & ~kept).any()]
        assert len(hidden.seen) == len(able)
        np.testing.assert_array_equal(hidden.X.toarray(), data.X[able].toarray())
        own = data.measured.mask(np.array(able))
        np.testing.assert_array_equal(hidden.mask(slice(None)), own & ~kept)
        np.testing.assert_array_equal(hidden.seen.X.toarray(), data.X[able].toarray() * kept)
        np.testing.assert_array_equal(hidden.seen.measured.mask(), own & kept)
        np.testing.assert_array_equal(hidden.genes, (own & ~kept).any(axis=0))


def test_presence_is_one_less_the_probability_of_a_zero(pbmc):
    data = modelled(pbmc, n_genes=30).take(np.arange(20))
    model = untrained(data, TrainOptions(n_latent=2))
    cells = data.cells_of(model)
    z = model.encode(cells)[0]
    mu, theta = model.mean_counts(cells, z), np.exp(model.log_theta(cells, z))
    pi = model.extra_zero_fraction(cells, z)
    zero = pi + (1 - pi) * nbinom.pmf(0, theta, theta / (theta + mu))
    np.testing.assert_allclose(presence_of(model, cells, z), 1 - zero, rtol=1e-5)
    poisson = untrained(data, TrainOptions(n_latent=2, likelihood="poisson"))
    mu = poisson.mean_counts(cells, z)
    np.testing.assert_allclose(presence_of(poisson, cells, z), 1 - np.exp(-mu), rtol=1e-5)


def _small():
    """Three training cells of whom the last lacks gene 2, and one cell that lacks it, too."""
    X = np.array([[4, 0, 2], [0, 4, 0], [2, 2, 0]])
    sets = Measured(np.array([[True] * 3, [True, True, False]]), np.array([0, 0, 1]))
    training = ModelledCounts(sparse.csr_matrix(X), np.ones(3), measured=sets)
    own = Measured(sets.genes[1:], np.zeros(1, dtype=np.int64))
    seen = ModelledCounts(sparse.csr_matrix(np.array([[8, 0, 0]])), np.ones(1), measured=own)
    X = sparse.csr_matrix(np.array([[8, 0, 3]]))
    genes = np.array([False, False, True])
    return training, Hidden(seen, X, genes, lambda rows: np.tile(genes, (1, 1)))


def test_the_rivals_by_hand():
    training, hidden = _small()
    assert shared_genes(training, hidden).tolist() == [True, True, False]
    by_all = gene_means(training, hidden)(slice(0, 1))
    # Molecules at size factor 1 (each with half a molecule more): 6.5/3, 6.5/3 and 2.5/2.
    rate = np.array([6.5 / 3, 6.5 / 3, 1.25])
    np.testing.assert_allclose(by_all.mean[0], 8 * rate / rate[:2].sum())
    np.testing.assert_allclose(by_all.presence[0], [2 / 3, 2 / 3, 1 / 2])
    near = neighbors(training, hidden, np.array([[0, 2]]))(slice(0, 1))
    # Of gene 2 the first neighbour alone says something, whose shared genes have 4 molecules.
    assert near.mean[0, 2] == pytest.approx(2 / 4 * 8)
    assert near.mean[0, 0] == pytest.approx(6 / 8 * 8)
    np.testing.assert_allclose(near.presence[0], [1 + 2e-3 / 3, 0.5 + 2e-3 / 3, 1 + 0.5e-3])
    nothing = neighbors(training, hidden, np.array([[2, 2]]))(slice(0, 1))
    assert nothing.mean[0, 2] == pytest.approx(by_all.mean[0, 2])


def test_only_hidden_entries_count():
    _, hidden = _small()
    tally = Tally.of_genes(3)
    mean = np.array([[1.0, 1.0, 2.0]])
    tally.add(hidden, lambda rows: Prediction(mean, mean), 1)
    assert tally.deviance[:2].tolist() == [0, 0]
    assert tally.deviance[2] == pytest.approx(mean_poisson_deviance([3], [2]))
    assert tally.n_entries.tolist() == [0, 0, 1]
    assert tally.recall == [1.0]


def test_recall_is_of_k_where_a_cell_expresses_more():
    score = np.array([[0.9, 0.5, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1.0]])
    is_true = np.array([[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    assert recall_at(2, score, is_true) == [0.5, 0.0]
    assert recall_at(4, score, is_true) == [1.0, 1.0]
