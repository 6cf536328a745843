"""Lossy codes are scored on molecules that they have not seen, at the bytes of their files."""

import dataclasses

import numpy as np
import pytest
from builders import two_programs, untrained
from scipy import sparse

from scpress.compression import coders, held_out
from scpress.config.options import TrainOptions
from scpress.model.modelled import ModelledCounts
from scpress.tables.compression import GENE_MEAN, NMF, PCA


def divided(data, n_held_out=150, seed=0):
    """The first cells are held out; all genes are modelled."""
    n_obs, n_vars = data.X.shape
    rows = np.arange(n_obs)
    training = data.take(rows[n_held_out:])
    cells = held_out.divide_cells(
        data,
        rows[:n_held_out],
        data.X[:n_held_out],
        np.arange(n_vars),
        others=rows[n_held_out:],
        share=coders.fit_gene_shares(training),
        seed=seed,
    )
    return cells, training


def best(codes):
    found = {}
    for code in codes:
        key = code.code, code.n_latent
        found[key] = max(found.get(key, -1), code.unseen_deviance_explained)
    return found


def rivals(data, folder, *, pca_ranks=(1, 2, 20), nmf_ranks=(2,)):
    cells, training = divided(data)
    bench = held_out.HeldOutBench(cells, folder)
    return list(held_out.measure_rivals(bench, training, pca_ranks=pca_ranks, nmf_ranks=nmf_ranks))


def test_every_molecule_is_seen_or_unseen():
    data, _ = two_programs()
    cells, _ = divided(data)
    seen = cells.coded.X[:150]
    assert (seen + cells.unseen != data.X[:150]).nnz == 0
    assert cells.unseen.sum() / data.X[:150].sum() == pytest.approx(0.2, abs=0.01)
    # What is not held out is coded as it is.
    assert (cells.coded.X[150:] != data.X[150:]).nnz == 0
    part = np.asarray(seen.sum(axis=1) / data.X[:150].sum(axis=1)).ravel()
    np.testing.assert_allclose(cells.coded.size_factor[:150], data.size_factor[:150] * part)
    np.testing.assert_array_equal(cells.coded.size_factor[150:], data.size_factor[150:])


def test_the_digest_is_of_the_unseen_molecules():
    data, _ = two_programs()
    digests = [divided(data, seed=seed)[0].digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_covariates_go_with_their_cells():
    data, _ = two_programs(n_obs=40)
    data.batch = np.arange(40) % 2
    data.continuous = np.arange(40, dtype=np.float32)[:, None]
    rows = np.arange(40)
    cells = held_out.divide_cells(
        data,
        rows[30:],
        data.X[30:],
        np.arange(60),
        others=rows[:30],
        share=coders.fit_gene_shares(data),
    )
    np.testing.assert_array_equal(cells.coded.batch, np.r_[rows[30:], rows[:30]] % 2)
    np.testing.assert_array_equal(cells.coded.continuous[:, 0], np.r_[rows[30:], rows[:30]])


def test_planted_programs_are_best_at_their_own_rank(tmp_path):
    data, truth = two_programs()
    found = best(rivals(data, tmp_path))
    assert found[GENE_MEAN, 0] == pytest.approx(0, abs=1e-3)
    # Two shares that sum to one are one dimension for PCA, two for NMF.
    assert found[NMF, 2] > 0.1
    assert found[PCA, 1] > 0.1
    # More numbers keep the chance of the seen molecules, which says nothing of the unseen ones.
    assert found[PCA, 20] < found[PCA, 1] - 0.004
    # The truth itself explains no more than a little more.
    cells, _ = divided(data)
    bench = held_out.HeldOutBench(cells, tmp_path)
    total = cells.coded.X[:150].sum(axis=1)
    true_share = truth[:150] / truth[:150].sum(axis=1, keepdims=True)

    class Truth(coders.GeneMeanCoder):
        def decode(self, weights, library, z):
            return np.asarray(np.multiply(true_share, total))

    known = next(iter(bench.measure(Truth(cells.share), code="truth")))
    assert found[NMF, 2] < known.unseen_deviance_explained < found[NMF, 2] + 0.03


def test_of_chance_alone_no_code_explains_anything(tmp_path):
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(5, size=(300, 40)).astype(np.int32))
    codes = rivals(ModelledCounts(X, np.ones(300)), tmp_path, pca_ranks=(1, 10))
    assert max(code.unseen_deviance_explained for code in codes) < 0.01
    assert best(codes)[PCA, 10] < -0.02


def test_bytes_are_those_of_the_files(tmp_path):
    data, _ = two_programs()
    cells, training = divided(data)
    # Of 4,000 cells 400 are coded: what they share is divided by all.
    many = dataclasses.replace(cells, n_obs=4000)
    bench = held_out.HeldOutBench(many, tmp_path)
    coder = next(coders.fit_pca_coders(training, [2]))
    codes = {
        (code.precision, code.weights_precision): code for code in bench.measure(coder, code=PCA)
    }
    assert set(codes) == set(held_out.VARIANTS)
    exact = codes["float32", "float32"]
    # 2 x 60 loadings, 60 means, 60 scales; 2 scores and a total of two bytes for a cell.
    assert 240 * 4 * 0.8 < exact.shared_bytes < 240 * 4 + 1000
    assert 8 * 0.8 < exact.cell_bytes < 8 + 2 + 700 / 400
    for code in codes.values():
        assert code.bytes_per_cell == pytest.approx(code.shared_bytes / 4000 + code.cell_bytes)
        assert code.n_latent == 2
    small = codes["int4", "int4"]
    assert small.cell_bytes < exact.cell_bytes / 2
    assert small.shared_bytes < exact.shared_bytes
    assert codes["int4", "int8"].cell_bytes == small.cell_bytes
    assert codes["int4", "int8"].shared_bytes == codes["int8", "int8"].shared_bytes
    # Fewer bits of the weights alone decode to something else, too.
    explained = {codes["int4", w].unseen_deviance_explained for w in ("int8", "int6", "int4")}
    assert len(explained) == 3
    scores = [
        codes[kind].unseen_deviance_explained
        for kind in (("float32", "float32"), ("int8", "int8"), ("int4", "int4"))
    ]
    assert scores[1] == pytest.approx(scores[0], abs=2e-3)
    assert scores[2] < scores[0]


def test_what_decodes_came_from_the_files(tmp_path):
    data, _ = two_programs()
    cells, training = divided(data)
    bench = held_out.HeldOutBench(cells, tmp_path)
    coder = next(coders.fit_pca_coders(training, [2]))
    whole = next(iter(bench.measure(coder, code=PCA)))
    # A code whose file holds zeros for its loadings says what the mean says.
    coder.weights = coder.weights | {"components": 0 * coder.weights["components"]}
    empty = next(iter(bench.measure(coder, code=PCA)))
    assert empty.unseen_deviance_explained < 0.01 < 0.1 < whole.unseen_deviance_explained


def test_a_gene_without_a_molecule_in_training_costs_a_finite_price(tmp_path):
    data, _ = two_programs()
    X = data.X.tolil()
    X[150:, 0] = 0
    codes = rivals(dataclasses.replace(data, X=X.tocsr()), tmp_path)
    assert all(np.isfinite(code.unseen_deviance_explained) for code in codes)


def test_ranks_that_the_cells_do_not_have_are_left_out(tmp_path):
    data, _ = two_programs(n_vars=6)
    codes = rivals(data, tmp_path, pca_ranks=(2, 2, 7), nmf_ranks=(6, 7))
    assert {(code.code, code.n_latent) for code in codes} == {(GENE_MEAN, 0), (PCA, 2), (NMF, 6)}
    assert len(codes) == 2 + 2 * len(held_out.VARIANTS)


def test_a_model_of_log_values_is_no_code_of_counts(tmp_path):
    data, _ = two_programs()
    cells, _ = divided(data)
    bench = held_out.HeldOutBench(cells, tmp_path)
    for preset, n_codes in (("ldvae", len(held_out.VARIANTS)), ("pca", 0)):
        model = untrained(data, TrainOptions(preset=preset, n_latent=2))
        codes = list(held_out.measure_model(bench, model, name="m"))
        assert len(codes) == n_codes
        assert {code.code for code in codes} <= {"m"}
