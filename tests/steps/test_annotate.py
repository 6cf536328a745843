import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import kneighbors_graph

from scpress.cells.cell_types import annotate_cells, best_share, neighbours_within, smooth
from scpress.cells.panels import check_panel, match_panel
from scpress.cli import main
from scpress.config.options import AnnotateOptions
from scpress.counts.demo import demo_counts
from scpress.counts.sizes import log_normalize
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.io.panel import read_panel
from scpress.steps.annotate import MARKER_COLUMNS, annotate, draw_cells

# ---- the scores, on cells made for it

GENES = ["CD3D", "CD3E", "CD3G", "CD8A", "CD8B", "CD4", "IL7R", "MS4A1", "CD79A", "GNLY", "KLRF1"]
TREE = [
    ("T cell", "", "CD3D CD3E CD3G", ""),
    ("CD8 T", "T cell", "CD8A CD8B", "CD4"),
    ("CD4 T", "T cell", "CD4 IL7R", "CD8A CD8B"),
    ("B cell", "", "MS4A1 CD79A", ""),
    ("NK cell", "", "GNLY KLRF1", "CD3D CD3E CD3G"),
]
EXPRESSED = {
    "CD8 T": "CD3D CD3E CD3G CD8A CD8B GNLY",
    "CD4 T": "CD3D CD3E CD3G CD4 IL7R",
    "T cell": "CD3D CD3E CD3G",
    "B cell": "MS4A1 CD79A",
    "NK cell": "GNLY KLRF1",
}


@pytest.fixture(scope="module")
def small_table():
    rows = [
        (cell_type, parent, gene, direction)
        for cell_type, parent, positive, negative in TREE
        for direction, genes in (("positive", positive), ("negative", negative))
        for gene in genes.split()
    ]
    return pd.DataFrame(rows, columns=["cell_type", "parent", "gene_symbol", "direction"])


@pytest.fixture(scope="module")
def planted():
    """40 cells of each type, one cluster each, every cell tied to all others of its type."""
    truth = np.repeat(list(EXPRESSED), 40)
    on = np.array([[gene in EXPRESSED[name].split() for gene in GENES] for name in truth])
    random = np.random.default_rng(0)
    X = random.poisson(np.where(on, 3.0, 0.03))
    clusters = np.repeat(np.arange(len(EXPRESSED)), 40)
    graph = sparse.csr_matrix((clusters[:, None] == clusters[None, :]).astype(float))
    return truth, log_normalize(sparse.csr_matrix(X), np.ones(len(X))), graph, clusters


def name_cells(planted, table, min_confidence=0.5):
    _, values, graph, clusters = planted
    panel = match_panel(check_panel(table), [""] * len(GENES), GENES)
    found = annotate_cells(
        values[:, panel.columns], graph, clusters, panel, min_confidence=min_confidence
    )
    return np.array([*panel.cell_types, "unassigned"])[found.cell_type], found


def test_planted_types_are_found_and_unresolved_ones_keep_the_parent(planted, small_table):
    names, found = name_cells(planted, small_table)
    assert (names == planted[0]).all()
    assert (found.confidence >= 0.5).all()
    assert (found.confidence <= 1).all()
    # Types below T are scored in T cells only.
    is_t = np.isin(planted[0], ["CD8 T", "CD4 T", "T cell"])
    assert np.isfinite(found.scores[is_t]).all()
    assert np.isnan(found.scores[~is_t][:, 1:3]).all()


@pytest.mark.parametrize(
    ("removed", "instead"),
    [("NK cell", "unassigned"), ("B cell", "unassigned"), ("CD8 T", "T cell"), ("CD4 T", "T cell")],
)
def test_type_missing_from_the_panel_is_not_its_neighbour(planted, small_table, removed, instead):
    names, _ = name_cells(planted, small_table[small_table["cell_type"] != removed])
    expected = np.where(planted[0] == removed, instead, planted[0])
    assert (names == expected).all()


def test_lineage_missing_from_the_panel_is_unassigned(planted, small_table):
    lineage = small_table["cell_type"].eq("T cell") | small_table["parent"].eq("T cell")
    names, _ = name_cells(planted, small_table[~lineage])
    is_t = np.isin(planted[0], ["CD8 T", "CD4 T", "T cell"])
    assert (names[is_t] == "unassigned").all()
    assert (names[~is_t] == planted[0][~is_t]).all()


def test_noise_is_unassigned(small_table):
    random = np.random.default_rng(1)
    X = sparse.csr_matrix(random.poisson(0.03, size=(300, len(GENES))))
    edges = sparse.random(300, 300, density=0.05, random_state=1, format="csr")
    values = log_normalize(X, np.ones(300))
    names, found = name_cells((None, values, edges, np.zeros(300, int)), small_table)
    assert (names == "unassigned").all()
    assert (found.confidence < 0.5).all()


def test_two_types_in_one_cell_are_unassigned(planted, small_table):
    _, values, graph, clusters = planted
    both = values.copy().tolil()
    rows = np.flatnonzero(planted[0] == "B cell")
    both[rows] = values[rows] + values[np.flatnonzero(planted[0] == "T cell")]
    names, _ = name_cells((planted[0], both.tocsr(), graph, clusters), small_table)
    # A cell with a little more of one than of the other may be given it.
    assert (names[rows] == "unassigned").mean() >= 0.9


def test_higher_minimum_gives_fewer_answers(planted, small_table):
    names, found = name_cells(planted, small_table, min_confidence=0.999)
    assert (names == "unassigned").all()
    assert (found.confidence > 0.3).any()


def test_a_type_with_most_markers_missing_has_no_full_score(planted, small_table):
    more = [("B cell", "", f"ABSENT{number}", "positive") for number in range(20)]
    table = pd.concat([small_table, pd.DataFrame(more, columns=small_table.columns)])
    names, _ = name_cells(planted, table)
    assert (names[planted[0] == "B cell"] == "unassigned").all()


def test_edges_between_clusters_carry_nothing():
    graph = sparse.csr_matrix(np.array([[0, 2.0, 3.0], [2.0, 0, 0], [3.0, 0, 0]]))
    within = neighbours_within(graph, np.array([0, 0, 1]))
    np.testing.assert_allclose(within.toarray(), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    values = np.array([[1.0], [1.0], [7.0]])
    np.testing.assert_allclose(smooth(values, within), values)


def test_share_is_one_half_where_the_score_is_that_of_none():
    share, best = best_share(np.array([[0.35, 0.0], [0.9, 0.9], [0.0, 1.0]]), 0.35)
    assert share[0] == pytest.approx(0.5)
    assert share[1] < 0.5
    assert share[2] > 0.85
    assert best[2] == 1


# ---- the step, on real cells


@pytest.fixture(scope="module")
def demo():
    """Counts, normalized, clusters (k-means on singular vectors) and known labels of the demo."""
    counts = demo_counts()
    size = np.asarray(counts.X.sum(axis=1)).ravel()
    normalized = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    normalized.obs["size_factor"] = size / np.median(size)
    values = log_normalize(counts.X, normalized.obs["size_factor"].to_numpy())
    points = TruncatedSVD(30, random_state=0).fit_transform(values)
    near = kneighbors_graph(points, 15)
    clusters = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    number = KMeans(12, n_init=1, random_state=0).fit_predict(points)
    clusters.obs["leiden"] = pd.Categorical(number.astype(str))
    clusters.obsp["connectivities"] = sparse.csr_matrix(near.maximum(near.T))
    return counts, normalized, clusters, counts.obs["cell_type_annotations"].to_numpy()


@pytest.fixture(scope="module")
def annotated(demo):
    return annotate(*demo[:3], read_panel(), AnnotateOptions())


RIGHT = {
    "plasma": {"Plasma cell"},
    "mast": {"Mast cell"},
    "Treg": {"Treg", "CD4 T"},
    "CD8_T": {"CD8 T", "T cell"},
    "CD4_T": {"CD4 T", "Treg", "T cell"},
    "B_naive": {"Naive B", "B cell"},
    "B_memory": {"Memory B", "B cell"},
    "MDC": {"CD14 monocyte", "CD16 monocyte", "Macrophage", "Mononuclear phagocyte"},
}


def test_demo_types_are_right(demo, annotated):
    found = annotated[0].obs["cell_type"].to_numpy()
    for label, types in RIGHT.items():
        assert np.isin(found[demo[3] == label], list(types)).mean() > 0.7, label
    assert (found == "unassigned").mean() < 0.15


def test_demo_confidence_says_which_cells_are_right(demo, annotated):
    obs = annotated[0].obs
    confidence = obs["cell_type_confidence"].to_numpy()
    assert confidence.dtype == np.float32
    assert ((obs["cell_type"] == "unassigned").to_numpy() == (confidence < 0.5)).all()
    known = np.isin(demo[3], list(RIGHT)) & (confidence >= 0.5)
    right = np.array(
        [t in RIGHT.get(label, ()) for t, label in zip(obs["cell_type"], demo[3], strict=True)]
    )
    assert right[known & (confidence > 0.75)].mean() > right[known & (confidence < 0.6)].mean()


@pytest.mark.parametrize(
    ("label", "removed"),
    [
        ("NK", ["NK cell"]),
        ("plasma", ["Plasma cell"]),
        ("mast", ["Mast cell"]),
        ("MDC", ["Mononuclear phagocyte", "CD14 monocyte", "CD16 monocyte", "Macrophage"]),
        ("B_memory", ["B cell", "Naive B", "Memory B", "Germinal center B"]),
    ],
)
def test_demo_type_missing_from_the_panel_is_unassigned(demo, label, removed):
    panel = read_panel()
    found, _ = annotate(*demo[:3], panel[~panel["cell_type"].isin(removed)], AnnotateOptions())
    answer = found.obs["cell_type"].to_numpy()[demo[3] == label]
    assert (answer == "unassigned").mean() > 0.8


def test_record_holds_the_scores_of_every_cluster(demo, annotated):
    record = annotated[0].uns["scpress"]["annotate"]
    leiden = demo[2].obs["leiden"].astype("category")
    assert record["clusters"].tolist() == list(leiden.cat.categories)
    assert record["scores"].shape == (len(record["clusters"]), len(record["cell_types"]))
    assert np.isfinite(record["scores"]).all()
    plasma = record["cluster_types"].tolist().index("Plasma cell")
    assert record["cell_types"][record["scores"][plasma].argmax()] == "Plasma cell"
    assert record["parents"][record["cell_types"].tolist().index("CD8 T")] == "T cell"


def test_inputs_are_not_changed_and_matrix_on_disk_gives_the_same(demo, annotated, tmp_path):
    counts, normalized, clusters, _ = demo
    before = counts.X.data.sum(), list(counts.obs), list(clusters.obs)
    write_h5ad(counts, tmp_path / "counts.h5ad")
    backed = read_h5ad(tmp_path / "counts.h5ad", backed=True)
    again, markers = annotate(backed, normalized, clusters, read_panel(), AnnotateOptions())
    assert (counts.X.data.sum(), list(counts.obs), list(clusters.obs)) == before
    pd.testing.assert_frame_equal(again.obs, annotated[0].obs)
    pd.testing.assert_frame_equal(markers, annotated[1])


# ---- marker genes of clusters


def test_markers_are_those_of_the_plain_rank_sum_test(demo, annotated):
    counts, normalized, clusters, _ = demo
    markers = annotated[1]
    assert tuple(markers.columns) == MARKER_COLUMNS
    assert markers.groupby("cluster").size().max() <= AnnotateOptions().n_markers
    assert (markers["fdr"] <= 0.05).all()
    assert (markers["log2_fold_change"] > 0).all()
    values = log_normalize(counts.X, normalized.obs["size_factor"].to_numpy())
    for row in markers.iloc[[0, 30, -1]].itertuples():
        value = values[:, counts.var_names.get_loc(row.gene)].toarray().ravel()
        inside = (clusters.obs["leiden"] == row.cluster).to_numpy()
        p = stats.mannwhitneyu(value[inside], value[~inside], method="asymptotic").pvalue
        assert row.p_value == pytest.approx(p, rel=1e-6, abs=1e-300)
        assert row.pct_in == pytest.approx(100 * (value[inside] > 0).mean())
        assert row.pct_out == pytest.approx(100 * (value[~inside] > 0).mean())


def test_markers_name_the_type(demo, annotated):
    record = annotated[0].uns["scpress"]["annotate"]
    cluster = record["clusters"][record["cluster_types"].tolist().index("Plasma cell")]
    genes = annotated[1].loc[annotated[1]["cluster"] == cluster, "gene_symbol"]
    assert {"MZB1", "JCHAIN", "DERL3"} <= set(genes)


def test_one_cluster_has_no_markers(demo):
    counts, normalized, clusters, _ = demo
    one = clusters.copy()
    one.obs["leiden"] = pd.Categorical(["0"] * one.n_obs)
    found, markers = annotate(counts, normalized, one, read_panel(), AnnotateOptions())
    assert markers.empty
    assert tuple(markers.columns) == MARKER_COLUMNS
    # Types do not hang on the clusters: the neighbours still tell plasma cells.
    assert (found.obs["cell_type"].to_numpy()[demo[3] == "plasma"] == "Plasma cell").mean() > 0.8


def test_many_cells_are_drawn_in_proportion_with_all_of_a_small_cluster():
    code = np.repeat([0, 1, 2], [9000, 990, 10])
    rows = draw_cells(code, 2000, seed=0)
    drawn = np.bincount(code[rows])
    assert drawn.tolist() == [1800, 198, 10]
    assert (np.diff(rows) > 0).all()
    assert (rows == draw_cells(code, 2000, seed=0)).all()
    assert len(draw_cells(code, 10_000, seed=0)) == 10_000


def test_subsample_for_markers_is_stated(demo, monkeypatch, caplog):
    monkeypatch.setattr("scpress.steps.annotate.MAX_MARKER_CELLS", 900)
    with caplog.at_level("INFO", logger="scpress"):
        found, markers = annotate(*demo[:3], read_panel(), AnnotateOptions())
    n_cells = found.uns["scpress"]["annotate"]["n_marker_cells"]
    assert n_cells < 1000
    assert f"tested on {n_cells} of 1000 cells" in caplog.text
    assert len(markers)


# ---- the user's own labels, and bad input


def test_own_labels_are_used_instead(demo):
    counts = demo[0].copy()
    counts.obs["mine"] = counts.obs["cell_type_annotations"].where(demo[3] != "ILC3")
    found, markers = annotate(counts, *demo[1:3], None, AnnotateOptions(labels_column="mine"))
    expected = np.where(demo[3] == "ILC3", "unassigned", demo[3])
    assert (found.obs["cell_type"].to_numpy() == expected).all()
    assert set(found.obs["cell_type_confidence"]) == {0.0, 1.0}
    assert len(markers)


def test_own_labels_named_like_ours_were_kept_as_input(demo):
    counts = demo[0].copy()
    counts.obs["cell_type_input"] = demo[3]
    options = AnnotateOptions(labels_column="cell_type")
    found, _ = annotate(counts, *demo[1:3], None, options)
    assert (found.obs["cell_type"].to_numpy() == demo[3]).all()


def test_missing_labels_column_and_foreign_cells_are_refused(demo):
    counts, normalized, clusters, _ = demo
    with pytest.raises(InputError, match=r"labels_column 'typo'.*cell_type_annotations"):
        annotate(counts, normalized, clusters, None, AnnotateOptions(labels_column="typo"))
    with pytest.raises(InputError, match="the result of cluster has 999 cells"):
        annotate(counts, normalized, clusters[1:], read_panel(), AnnotateOptions())
    with pytest.raises(InputError, match=re.escape("read_panel()")):
        annotate(counts, normalized, clusters, None, AnnotateOptions())


def test_types_without_a_gene_in_the_data_are_named(demo, caplog):
    table = pd.concat(
        [read_panel(), pd.DataFrame({"cell_type": ["Martian"], "gene_symbol": ["GREEN1"]})]
    )
    with caplog.at_level("INFO", logger="scpress"):
        annotate(*demo[:3], table, AnnotateOptions())
    assert "no positive marker of" in caplog.text
    assert "Martian" in caplog.text


def test_verb_writes_both_files_and_refuses_a_bad_panel(demo, annotated, tmp_path, capsys):
    for name, part in zip(("counts", "normalized", "clusters"), demo, strict=False):
        write_h5ad(part, tmp_path / f"{name}.h5ad")
    words = ["annotate"]
    for name in ("counts", "normalized", "clusters"):
        words += [f"--{name}", str(tmp_path / f"{name}.h5ad")]
    words += ["--output", str(tmp_path / "out" / "annotation.h5ad")]
    words += ["--markers", str(tmp_path / "out" / "markers.tsv")]
    panel = tmp_path / "panel.tsv"
    panel.write_text("cell_type\tgene_symbol\nB\tNotAGene\n")
    assert main([*words, "--panel", str(panel)]) == 2
    assert "no gene of the marker table is in the data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    assert main(words) == 0
    written = ad.read_h5ad(tmp_path / "out" / "annotation.h5ad")
    assert (written.obs["cell_type"].to_numpy() == annotated[0].obs["cell_type"].to_numpy()).all()
    markers = pd.read_csv(tmp_path / "out" / "markers.tsv", sep="\t")
    assert tuple(markers.columns) == MARKER_COLUMNS
