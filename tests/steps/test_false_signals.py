"""What is planted is found in the data, and nothing in counts without structure."""

import numpy as np
import pytest
from builders import brief_options, normalized_of
from scipy import sparse

from scpress.config.options import (
    ClusterOptions,
    FalseSignalsOptions,
    SimulateOptions,
    SubtypeOptions,
)
from scpress.errors import InputError
from scpress.steps import false_signals as step
from scpress.steps.cluster import cluster
from scpress.steps.embed import embed
from scpress.steps.false_signals import Steps, correlated_pairs, false_signals
from scpress.steps.simulate import simulate
from scpress.steps.subtype import subtype
from scpress.steps.train import train

PCA = brief_options(preset="pca", n_latent=5, batch_key="sample")
STEPS = Steps(
    ClusterOptions(resolutions=(0.4, 0.8), n_subsamples=4, umap=False),
    SubtypeOptions(groupby="leiden", n_subsamples=4),
    0.05,
)


@pytest.fixture(scope="module")
def planted():
    """Arguments of `false_signals`: two types, of which one is of two subtypes, in two samples."""
    options = SimulateOptions(
        n_cells=500,
        n_genes=150,
        n_types=2,
        n_subtypes=2,
        n_batches=2,
        marker_fraction=0.15,
        type_fold_change=8,
        subtype_fold_change=8,
        zero_inflation=0.0,
    )
    counts = simulate(options, seed=0)
    normalized = normalized_of(counts, n_genes=120)
    model, _ = train(counts, normalized, PCA, seed=3, device="cpu")
    latent = embed(counts, normalized, model, name="m")
    clusters = cluster(latent, STEPS.cluster, model="m", seed=3)
    types = clusters.copy()
    types.obs["leiden"] = counts.obs["label"].to_numpy()
    subtypes, _ = subtype(counts, normalized, types, None, STEPS.subtype, seed=3)
    return counts, normalized, clusters, subtypes, model, PCA


def test_what_is_planted_is_found_and_nothing_in_a_copy(planted, monkeypatch):
    given = []

    def noted(counts, normalized, options, **keywords):
        given.append((counts, normalized, options, keywords))
        return train(counts, normalized, options, **keywords)

    monkeypatch.setattr(step, "train", noted)
    options = FalseSignalsOptions(copies=2, min_correlation=0.25)
    found = false_signals(*planted, options, STEPS, seed=3, device="cpu")
    counts, normalized = planted[:2]
    assert (found.model, found.seed, found.n_cells, found.n_genes) == ("m", 3, 500, 120)
    # The samples.
    assert found.n_strata == 2
    assert found.data.n_clusters >= 2
    assert found.data.n_markers > 20
    assert found.data.n_subtypes == 2
    assert found.data.gain > 10
    assert found.data.raw_pairs > 0.02
    for copy in found.copies:
        assert (copy.n_clusters, copy.n_markers, copy.n_subtypes) == (1, 0, 0)
        assert copy.gain < 0.1 * found.data.gain
        assert copy.raw_pairs < 0.1 * found.data.raw_pairs
        # Five components of noise are what all genes have in common then.
        assert copy.denoised_pairs > 20 * max(copy.raw_pairs, 0.005)
        # Clusters of noise have markers in the counts that made them.
        assert copy.n_cut > 1
        assert copy.n_cut_markers > 0
    assert found.copies[0] != found.copies[1]

    modelled = normalized.var["highly_variable"].to_numpy()
    data = counts.X[:, modelled]
    for copy, sizes, trained, keywords in given:
        for batch in ("batch1", "batch2"):
            rows = (counts.obs["sample"] == batch).to_numpy()
            np.testing.assert_array_equal(copy.X[rows].sum(axis=0), data[rows].sum(axis=0))
        assert sizes.var["highly_variable"].all()
        np.testing.assert_array_equal(
            sizes.obs["size_factor"], normalized.obs["size_factor"].to_numpy()
        )
        assert (trained.preset, trained.allow_failed_fit) == ("pca", True)
        assert keywords["seed"] == 3


def test_pairs_are_counted_as_numpy_does():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 12)) + rng.normal(size=(300, 1)) * np.linspace(0, 1, 12)
    values[:, 9] *= -1
    values[:, 11] = 7.0  # constant
    expected = np.corrcoef(values[:, :11].T)[np.triu_indices(11, 1)]
    above = (np.abs(expected) >= 0.3).sum() / 66
    assert 0.1 < above < 0.9
    blocks = [values[:100], values[100:101], values[101:]]
    assert correlated_pairs(blocks, 0.3) == pytest.approx(above)
    assert correlated_pairs(map(sparse.csr_matrix, blocks), 0.3) == pytest.approx(above)
    assert correlated_pairs([values[:, :1]], 0.3) == 0


def test_of_many_genes_some_are_drawn_and_rare_ones_are_none(monkeypatch):
    X = np.zeros((30, 10), dtype=np.int32)
    X[:20, :6] = 1
    X[:19, 6:] = 1
    assert step._draw_pair_genes(sparse.csr_matrix(X)).tolist() == list(range(6))
    monkeypatch.setattr(step, "_MAX_PAIR_GENES", 4)
    drawn = step._draw_pair_genes(sparse.csr_matrix(X))
    assert len(drawn) == 4
    assert set(drawn) < set(range(6))


def test_counts_stay_in_their_sample_and_batch(planted):
    obs = planted[0].obs.assign(lane=np.arange(500) % 3)
    assert len(np.unique(step._groups(obs, "sample"))) == 2
    groups = step._groups(obs, "lane")
    assert len(np.unique(groups)) == 6
    for number in range(6):
        assert obs[groups == number][["sample", "lane"]].drop_duplicates().shape == (1, 2)
    assert not step._groups(obs[["label"]], None).any()


def test_no_copies_and_other_cells_are_said_so(planted):
    with pytest.raises(InputError, match="set copies to 1 or more"):
        false_signals(*planted, FalseSignalsOptions(), STEPS, seed=0)
    counts, normalized, clusters, *others = planted
    options = FalseSignalsOptions(copies=1)
    with pytest.raises(InputError, match="not the same ones"):
        false_signals(counts, normalized, clusters[:400], *others, options, STEPS, seed=0)
