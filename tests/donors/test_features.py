import numpy as np
from scipy import sparse

from scpress.donors.features import learn_rotation, log_counts, log_of_total, log_ratios


def test_log_ratios_sum_to_zero_and_know_types_without_cells():
    found = log_ratios(np.array([[8, 2, 0], [80, 20, 0]]))
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-12)
    assert found[0, 0] - found[0, 1] == np.log(8.5 / 2.5)
    assert np.abs(found).max() < 4


def test_log_counts_are_of_ten_thousand_molecules():
    found = log_counts(sparse.csr_matrix([[1, 3, 0], [0, 0, 0]]))
    np.testing.assert_allclose(found.toarray(), [np.log1p([2500, 7500, 0]), [0, 0, 0]])


def test_some_genes_beside_all_molecules_are_as_among_all_genes():
    counts = np.array([[1, 3, 6], [0, 0, 0]])
    found = log_of_total(counts[:, 1:], counts.sum(axis=1))
    np.testing.assert_allclose(found, log_counts(sparse.csr_matrix(counts)).toarray()[:, 1:])


def test_features_keep_their_variance_where_they_are_not_scaled():
    values = np.random.default_rng(0).normal(size=(9, 4)) * [1, 2, 3, 4]
    nothing = np.empty((9, 0))
    turned = learn_rotation(sparse.csr_matrix(values), nothing, n_features=4, is_scaled=False)
    centred = values - values.mean(axis=0)
    np.testing.assert_allclose(turned.standardize(sparse.csr_matrix(values), nothing), centred)
    found = turned.apply(sparse.csr_matrix(values), nothing)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-9)


def test_a_rotation_keeps_what_a_ridge_sees():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 30)) * np.arange(1, 31)
    turned = learn_rotation(sparse.csr_matrix(values), np.empty((9, 0)), n_features=10)
    assert turned.columns.tolist() == np.sort(np.argsort(-values.var(axis=0))[:10]).tolist()
    kept = values[:, turned.columns]
    scaled = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    found = turned.apply(sparse.csr_matrix(values), np.empty((9, 0)))
    np.testing.assert_allclose(found @ found.T, scaled @ scaled.T, atol=1e-9)
    two = learn_rotation(sparse.csr_matrix(values), np.empty((9, 0)), n_features=10, n_directions=2)
    np.testing.assert_allclose(two.apply(sparse.csr_matrix(values), np.empty((9, 0))), found[:, :2])


def test_what_is_held_constant_is_taken_off_as_it_was_learned():
    rng = np.random.default_rng(1)
    batch = (np.arange(40) % 2).astype(float)[:, None]
    values = rng.normal(size=(40, 6)) + 5 * batch
    turned = learn_rotation(sparse.csr_matrix(values), batch, n_features=6)
    found = turned.apply(sparse.csr_matrix(values), batch)
    np.testing.assert_allclose(found[::2].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found[1::2].mean(axis=0), 0, atol=1e-9)
    means = np.array([values[::2].mean(axis=0), values[1::2].mean(axis=0)])
    np.testing.assert_allclose(turned.scale, (values - means[np.arange(40) % 2]).std(axis=0))
    # A donor alone is what it was among others.
    one = turned.apply(sparse.csr_matrix(values[3:4]), batch[3:4])
    np.testing.assert_allclose(one, found[3:4])


def test_a_feature_without_variance_is_no_feature():
    values = sparse.csr_matrix(np.column_stack([np.ones(5), np.arange(5.0)]))
    assert learn_rotation(values, np.empty((5, 0)), n_features=2).columns.tolist() == [1]
