"""Strange cells are found by models that have not seen them, and so are their strange genes."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from builders import brief_options, normalized_of
from scipy import sparse, stats

from scpress.config.anomaly import AnomalyOptions
from scpress.config.options import SimulateOptions
from scpress.errors import InputError
from scpress.steps import anomaly as step
from scpress.steps.anomaly import anomaly, reference_cells
from scpress.steps.simulate import simulate
from scpress.steps.train import train
from scpress.tables.anomaly import AnomalyRecord

OPTIONS = AnomalyOptions(
    folds=2, reference_key="role", reference_values=("known",), n_like=20, draws=5
)
SCVI = brief_options(preset="scvi", hidden=(16,), n_latent=3, learning_rate=0.01)
N_KNOWN, N_NORMAL, N_NEW = 300, 60, 10
LOUD = 7


@pytest.fixture(scope="module")
def counts():
    """Known and new cells of three types, new ones of a fourth, one with a gene gone wild."""
    drawn = simulate(SimulateOptions(n_cells=600, n_genes=80, type_fold_change=20), seed=3)
    is_new = drawn.obs["label"].to_numpy() == "type4"
    normal, new = np.flatnonzero(~is_new)[: N_KNOWN + N_NORMAL], np.flatnonzero(is_new)[:N_NEW]
    out = drawn[np.concatenate([normal, new])].copy()
    X = out.X.toarray()
    X[N_KNOWN + 1, LOUD] = 900
    out.X = sparse.csr_matrix(X)
    out.obs = pd.DataFrame(
        {"role": np.where(np.arange(out.n_obs) < N_KNOWN, "known", "new")}, index=out.obs_names
    )
    return out


@pytest.fixture(scope="module")
def normalized(counts):
    return normalized_of(counts, n_genes=80)


@pytest.fixture(scope="module")
def found(counts, normalized):
    trained = []

    def recorded(data, sizes, options, **keywords):
        trained.append((set(data.obs_names), keywords["seed"]))
        return train(data, sizes, options, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "train", recorded)
        out = anomaly(counts, normalized, SCVI, OPTIONS, seeds=[0, 1], name="vae", device="cpu")
    return out, trained


def test_new_cells_of_another_type_are_called_and_normal_ones_are_not(found):
    called = found[0].obs["is_anomaly"].to_numpy()
    assert called[-N_NEW:].all()
    # The one whose gene has gone wild is no normal cell either.
    assert called[N_KNOWN:-N_NEW].sum() <= 2
    assert not called[:N_KNOWN].any()


def test_models_are_of_the_reference_alone_and_each_cell_of_it_is_left_out_once(found, counts):
    trained = found[1]
    assert [seed for _, seed in trained] == [0, 1, 0, 1]
    known = set(counts.obs_names[:N_KNOWN])
    assert trained[0][0] == trained[1][0]
    assert trained[0][0] | trained[2][0] == known
    assert not trained[0][0] & trained[2][0]


def test_p_values_of_the_reference_are_ranks(found):
    obs = found[0].obs
    assert obs["anomaly_reference"].sum() == N_KNOWN
    p = obs["anomaly_p"].to_numpy()
    assert stats.kstest(p[:N_KNOWN], "uniform").pvalue > 0.01
    assert p[-N_NEW:].max() < 0.02
    np.testing.assert_array_equal(obs["anomaly_fdr"].isna(), obs["anomaly_reference"])


def test_a_gene_gone_wild_is_an_outlier_of_its_cell(found):
    out, _ = found
    signed = out.X.toarray()
    assert signed[N_KNOWN + 1, LOUD] > 3
    # Of normal cells hardly a gene is one.
    assert (signed[:N_KNOWN] != 0).mean() < 0.005
    np.testing.assert_array_equal(out.obs["n_outlier_genes"], (signed != 0).sum(axis=1))
    assert (np.abs(signed[signed != 0]) >= -np.log10(OPTIONS.max_fdr) - 1e-6).all()


def test_the_record_names_the_strangest_cells_and_their_genes(found, counts):
    out, _ = found
    record = AnomalyRecord.from_plain(out.uns["scpress"]["anomaly"], "x")
    assert (record.model, record.seeds, record.n_reference) == ("vae", (0, 1), N_KNOWN)
    assert record.n_tested == N_NORMAL + N_NEW
    assert record.n_called == out.obs["is_anomaly"].sum()
    wild = record.cells.index(counts.obs_names[N_KNOWN + 1])
    assert record.genes[wild].split()[0] == counts.var["gene_symbol"].iloc[LOUD]


def test_without_a_reference_cells_are_ranked_and_none_is_called(counts, normalized, caplog):
    brief = brief_options(preset="dca", hidden=(8,), n_latent=2, max_steps=20, likelihood="poisson")
    options = AnomalyOptions(folds=2, n_like=20)
    with caplog.at_level("INFO", logger="scpress"):
        out = anomaly(counts, normalized, brief, options, seeds=[0], device="cpu")
    assert "no reference is named" in caplog.text
    assert not out.obs["is_anomaly"].any()
    assert (out.obs["anomaly_fdr"] == 1).all()
    assert out.obs["anomaly_p"].nunique() == counts.n_obs


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"reference_values": ()}, "reference_key is 'role' and reference_values has 0"),
        ({"reference_key": "rule"}, "'rule' is no obs column"),
        ({"reference_values": ("known", "odd")}, r"no cell has 'odd' in obs\['role'\]"),
        ({"n_like": 200}, "the reference has 300 cells, and 2 folds with n_like 200 need 402"),
    ],
)
def test_a_reference_that_is_not_there_is_refused(counts, changes, says):
    import dataclasses

    with pytest.raises(InputError, match=says):
        reference_cells(counts.obs, dataclasses.replace(OPTIONS, **changes))


def test_what_gives_no_probability_of_a_count_is_refused(counts, normalized):
    pca = brief_options(preset="pca", n_latent=2)
    with pytest.raises(InputError, match="likelihood 'gaussian' gives a count no probability"):
        anomaly(counts, normalized, pca, OPTIONS, seeds=[0])
    with pytest.raises(InputError, match="folds is 1, which scores no cell"):
        anomaly(counts, normalized, SCVI, AnomalyOptions(folds=1), seeds=[0])


def test_no_dense_matrix_of_all_cells_is_made(counts, normalized):
    assert sparse.issparse(
        anomaly(
            ad.AnnData(counts.X[:130], obs=counts.obs[:130].copy(), var=counts.var),
            normalized[:130].copy(),
            brief_options(preset="dca", hidden=(8,), n_latent=2, max_steps=2, likelihood="nb"),
            AnomalyOptions(folds=2, n_like=10),
            seeds=[0],
            device="cpu",
        ).X
    )
