"""Metrics of cells against dense arithmetic, thresholds, reasons and doublets."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import settings
from scpress.config.options import QcOptions
from scpress.errors import InputError
from scpress.steps import qc as step
from scpress.steps.ingest import ingest
from scpress.steps.qc import qc

SYMBOLS = ["MT-CO1", "MT-ND1", "RPL3", "RPS6", "CD3D", "CD8A", "LYZ", "NKG7"]


def make(n_obs=12, symbols=SYMBOLS, seed=0, **obs):
    X = np.random.default_rng(seed).poisson(3.0, (n_obs, len(symbols)))
    table = pd.DataFrame(obs, index=[f"c{i}" for i in range(n_obs)])
    adata = ad.AnnData(sparse.csr_matrix(X), obs=table, var=pd.DataFrame(index=symbols))
    return ingest(adata, sample="s")


def plain(**changes):
    """Options without any effect but the named ones."""
    defaults = {"min_counts": 0, "min_genes": 0, "max_pct_mt": 100.0, "doublets": False}
    return QcOptions(**(defaults | changes))


@pytest.mark.parametrize("chunk_bytes", [1, 10**6])
@pytest.mark.parametrize("mouse", [False, True])
def test_metrics_against_dense_arithmetic(monkeypatch, chunk_bytes, mouse):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    symbols = [s[:3].lower() + s[3:].title() if s[:3] == "MT-" else s.title() for s in SYMBOLS]
    counts = make(symbols=symbols if mouse else SYMBOLS)
    made = qc(counts, plain())
    X = counts.X.toarray().astype(float)
    np.testing.assert_array_equal(made.obs["library_size"], X.sum(1))
    np.testing.assert_array_equal(made.obs["n_genes"], (X > 0).sum(1))
    np.testing.assert_allclose(
        made.obs["pct_counts_mt"], 100 * X[:, :2].sum(1) / X.sum(1), rtol=1e-6
    )
    np.testing.assert_allclose(
        made.obs["pct_counts_ribo"], 100 * X[:, 2:4].sum(1) / X.sum(1), rtol=1e-6
    )
    np.testing.assert_array_equal(made.var["n_cells"], (X > 0).sum(0))
    assert made.X is None
    assert made.obs["pass_qc"].all()
    assert list(made.obs_names) == list(counts.obs_names)


@pytest.mark.parametrize("chunk_bytes", [1, 10**6])
def test_every_reason_is_kept_and_n_cells_counts_passing_cells_only(monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    counts = make()
    X = counts.X.tolil()
    X[0] = 0
    X[1] = 0
    X[1, 0] = 5  # one gene, all mitochondrial
    X[2] = 100
    counts.X = X.tocsr()
    made = qc(counts, plain(min_counts=1, min_genes=2, max_counts=400, max_pct_mt=60.0))
    assert list(made.obs["qc_reason"][:4]) == [
        "min_counts;min_genes;empty", "min_genes;max_pct_mt", "max_counts", "",
    ]  # fmt: skip
    np.testing.assert_array_equal(made.obs["pass_qc"], [False] * 3 + [True] * 9)
    np.testing.assert_array_equal(made.var["n_cells"], (X.toarray()[3:] > 0).sum(0))
    record = made.uns["scpress"]
    assert record["failures"] == {
        "min_counts": 1, "min_genes": 2, "max_counts": 1, "max_pct_mt": 1, "empty": 1,
    }  # fmt: skip
    assert record["n_passing"] == 9
    assert "min_genes (2) removes 2" in record["messages"][-1]


def test_a_cell_without_molecules_never_passes():
    counts = make(keep=True)
    X = counts.X.tolil()
    X[5] = 0
    counts.X = X.tocsr()
    for options in (plain(), plain(filter_column="keep")):
        made = qc(counts, options)
        assert not made.obs["pass_qc"].iloc[5]
        assert made.obs["pct_counts_mt"].iloc[5] == 0


def test_nothing_passes_says_why():
    with pytest.raises(
        InputError, match=r"of 12 cells max_counts \(20\) removes 12, min_genes \(9\) removes 12"
    ):
        qc(make(), plain(min_genes=9, max_counts=20))


def test_mad_limits_are_around_the_median_of_cells_that_pass_the_fixed_ones():
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(6, 0.2, 200))
    size[0], size[1] = 20_000, 12
    X = rng.poisson(size[:, None] / 8, (200, 8))
    X[2, :2] *= 30
    X[3:60] = 0  # empty droplets: with them the median would be far off
    counts = ad.AnnData(sparse.csr_matrix(X), var=pd.DataFrame(index=SYMBOLS))
    counts.obs_names = [f"c{i}" for i in range(200)]
    made = qc(counts, plain(thresholds="mad", min_counts=5))
    assert "mad_counts" in made.obs["qc_reason"].iloc[0]
    assert "mad_counts" in made.obs["qc_reason"].iloc[1]
    assert "mad_pct_mt" in made.obs["qc_reason"].iloc[2]
    assert made.obs["pass_qc"].iloc[60:].mean() > 0.95
    values = np.log1p(X.sum(1))[X.sum(1) >= 5]
    mad = np.median(np.abs(values - np.median(values)))
    limit = np.expm1(np.median(values) + 5 * mad)
    np.testing.assert_allclose(made.uns["scpress"]["limits"]["mad_counts_high"], limit)
    assert "n_genes does not vary" in " ".join(made.uns["scpress"]["messages"])


@pytest.mark.parametrize(
    "values", [[True, False] * 6, ["TRUE", "false"] * 6, [1.0, 0.0] * 6, ["yes", "no"] * 6]
)
def test_filter_column_replaces_every_threshold(values):
    made = qc(make(keep=values), QcOptions(filter_column="keep"))
    np.testing.assert_array_equal(made.obs["pass_qc"], [True, False] * 6)
    assert set(made.obs["qc_reason"]) == {"", "filter_column"}


def test_bad_filter_column():
    with pytest.raises(InputError, match="filter_column 'kept' is not in obs; it has sample, keep"):
        qc(make(keep=True), QcOptions(filter_column="kept"))
    with pytest.raises(InputError, match="true or false for every cell; found 'maybe'"):
        qc(make(keep=["maybe"] * 12), QcOptions(filter_column="keep"))


def test_missing_gene_sets_are_told():
    made = qc(make(symbols=[f"G{i}" for i in range(8)]), plain())
    text = " ".join(made.uns["scpress"]["messages"])
    assert "none of the 8 genes is mitochondrial" in text
    assert "none of the 8 genes is ribosomal" in text


def test_few_cells_have_no_doublet_score():
    made = qc(make(), plain(doublets=True))
    assert made.obs["doublet_score"].isna().all()
    assert made.obs["pass_qc"].all()
    assert "doublets were not scored: 12 cells" in made.uns["scpress"]["messages"][0]


def test_a_failing_scrublet_is_a_message(monkeypatch):
    def fail(*_):
        raise ValueError("n_components must be between 1 and 3\nand more")

    monkeypatch.setattr(step, "_run_scrublet", fail)
    made = qc(make(n_obs=120), plain(doublets=True))
    assert made.obs["doublet_score"].isna().all()
    assert "scrublet failed (n_components must be between 1 and 3)" in " ".join(
        made.uns["scpress"]["messages"]
    )


def test_planted_doublets_score_higher(pbmc):
    rng = np.random.default_rng(0)
    groups = pbmc.obs["bulk_labels"].astype(str).to_numpy()
    pairs = rng.integers(0, pbmc.n_obs, (400, 2))
    pairs = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]][:60]
    X = sparse.vstack([pbmc.X, pbmc.X[pairs[:, 0]] + pbmc.X[pairs[:, 1]]], format="csr")
    var = pd.DataFrame(index=pbmc.var_names)
    obs = pd.DataFrame(index=[f"c{i}" for i in range(X.shape[0])])
    counts = ingest(ad.AnnData(X, obs=obs, var=var), sample="s")
    options = plain(doublets=True, expected_doublet_rate=0.08)
    made = qc(counts, options)
    score = made.obs["doublet_score"].to_numpy()
    assert np.isfinite(score).all()
    singlets, doublets = score[: pbmc.n_obs], score[pbmc.n_obs :]
    assert (doublets[:, None] > singlets[None]).mean() > 0.75
    np.testing.assert_array_equal(score, qc(counts, options).obs["doublet_score"])
    limit = float(np.median(doublets))
    fixed = qc(counts, plain(doublets=True, expected_doublet_rate=0.08, max_doublet_score=limit))
    np.testing.assert_array_equal(fixed.obs["pass_qc"], ~(score > np.float32(limit)))


def test_threshold_that_drops_a_large_part_is_not_used(monkeypatch):
    def claim(*_):
        table = pd.DataFrame({"doublet_score": 0.5, "predicted_doublet": True}, index=range(120))
        return table.set_axis([str(i) for i in range(120)], axis=0)

    monkeypatch.setattr(step, "_run_scrublet", claim)
    made = qc(make(n_obs=120), plain(doublets=True))
    assert made.obs["pass_qc"].all()
    assert "would drop 120 of 120 cells" in " ".join(made.uns["scpress"]["messages"])


@pytest.mark.parametrize(
    ("option", "column"),
    [
        ("min_counts", "library_size"),
        ("max_counts", "library_size"),
        ("min_genes", "n_genes"),
        ("max_genes", "n_genes"),
        ("max_pct_mt", "pct_counts_mt"),
        ("max_pct_ribo", "pct_counts_ribo"),
    ],
)
def test_a_cell_at_a_limit_passes_and_one_beyond_it_does_not(option, column):
    X = [[2, 0, 2, 0, 4, 0, 0, 0], [4, 0, 4, 0, 4, 4, 0, 0], [9, 0, 9, 0, 1, 1, 1, 0]]
    counts = ingest(
        ad.AnnData(
            sparse.csr_matrix(X),
            obs=pd.DataFrame(index=list("abc")),
            var=pd.DataFrame(index=SYMBOLS),
        ),
        sample="s",
    )
    values = qc(counts, plain()).obs[column].to_numpy()
    assert len(set(values)) > 1
    whole = option.endswith(("counts", "genes"))
    limit = int(np.sort(values)[1]) if whole else float(np.sort(values)[1])
    made = qc(counts, plain(**{option: limit}))
    within = values >= limit if option.startswith("min") else values <= limit
    np.testing.assert_array_equal(made.obs["pass_qc"], within)
    assert set(made.obs["qc_reason"]) <= {"", option}


def test_mad_limits_on_both_sides_for_counts_and_above_for_mitochondria():
    # Cells of one molecule of each gene, but for what is planted.
    rng = np.random.default_rng(0)
    X = np.full((101, 8), 100) + rng.integers(-5, 6, (101, 8))
    X[0] *= 10
    X[1] //= 10
    X[2, :2] *= 3
    X[3, :2] = 0
    counts = ad.AnnData(sparse.csr_matrix(X), var=pd.DataFrame(index=SYMBOLS))
    counts.obs_names = [f"c{i}" for i in range(101)]
    made = qc(counts, plain(thresholds="mad", n_mads=8.0))
    reasons = made.obs["qc_reason"].astype(str)
    assert "mad_counts" in reasons.iloc[0]
    assert "mad_counts" in reasons.iloc[1]
    assert "mad_pct_mt" in reasons.iloc[2]
    # Without mitochondrial molecules: fewer are no reason.
    assert "mad_pct_mt" not in reasons.iloc[3]
    values = made.obs["pct_counts_mt"].to_numpy(dtype=float)
    mad = np.median(np.abs(values - np.median(values)))
    limits = made.uns["scpress"]["limits"]
    assert limits["mad_pct_mt_high"] == pytest.approx(np.median(values) + 8 * mad)
    low = np.log1p(X.sum(axis=1))
    low = np.median(low) - 8 * np.median(np.abs(low - np.median(low)))
    assert limits["mad_counts_low"] == pytest.approx(np.expm1(low))
    assert "mad_pct_mt_low" not in limits


def _scores(monkeypatch, scores, predicted):
    """Scrublet's answer for the first cells; the others were dropped by it."""
    table = pd.DataFrame({"doublet_score": scores, "predicted_doublet": predicted})
    table.index = table.index.astype(str)
    monkeypatch.setattr(step, "_run_scrublet", lambda *_: table)


def test_a_score_at_the_limit_passes_and_so_does_a_cell_without_one(monkeypatch):
    _scores(monkeypatch, [0.25, 0.26, 0.24], [True, False, True])
    made = qc(make(n_obs=120), plain(doublets=True, max_doublet_score=0.25))
    assert np.flatnonzero(~made.obs["pass_qc"]).tolist() == [1]
    assert made.obs["qc_reason"].iloc[1] == "doublet"
    assert made.obs["doublet_score"].isna().sum() == 117


@pytest.mark.parametrize(("n_doublets", "dropped"), [(36, 36), (37, 0)])
def test_predicted_doublets_are_dropped_up_to_three_in_ten(monkeypatch, n_doublets, dropped):
    _scores(monkeypatch, np.full(120, 0.5), np.arange(120) < n_doublets)
    made = qc(make(n_obs=120), plain(doublets=True))
    assert (~made.obs["pass_qc"]).sum() == dropped


def test_with_a_filter_column_doublets_are_scored_and_none_is_dropped(monkeypatch):
    _scores(monkeypatch, np.full(120, 0.5), np.arange(120) < 20)
    made = qc(make(n_obs=120, keep=True), plain(doublets=True, filter_column="keep"))
    assert made.obs["pass_qc"].all()
    assert (made.obs["doublet_score"] == 0.5).all()


def test_doublets_are_looked_for_among_the_cells_that_pass(monkeypatch):
    seen = []

    def remember(counts, rows, options):
        seen.append(len(rows))
        return pd.DataFrame({"doublet_score": [0.9], "predicted_doublet": [True]}, index=["1"])

    monkeypatch.setattr(step, "_run_scrublet", remember)
    counts = make(n_obs=130)
    X = counts.X.tolil()
    X[:10] = 0
    counts.X = X.tocsr()
    made = qc(counts, plain(doublets=True, min_counts=1))
    assert seen == [120]
    # Row 1 of what scrublet saw is cell 11.
    assert made.obs["qc_reason"].iloc[11] == "doublet"
    assert np.isfinite(made.obs["doublet_score"]).sum() == 1
