import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from builders import panels_of
from scipy import sparse, stats
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import kneighbors_graph

from scpress.cells.markers import MARKER_COLUMNS, draw_cells, find_markers
from scpress.cells.panels import name_panel
from scpress.config.options import AnnotateOptions
from scpress.counts.demo import demo_counts
from scpress.counts.frames import plain_frame
from scpress.counts.sizes import log_normalize
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.io.panel import read_panel
from scpress.steps.annotate import annotate
from scpress.tables.results import Annotation


@pytest.fixture(scope="module")
def demo():
    """Counts, normalized, clusters (k-means on singular vectors) and known labels of the demo."""
    counts = demo_counts()
    size = np.asarray(counts.X.sum(axis=1)).ravel()
    normalized = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    normalized.obs["size_factor"] = size / np.median(size)
    normalized.obs["library_size"] = size.astype(np.int64)
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
    "CD8_T": {"CD8 T", "Naive CD8 T", "Effector CD8 T", "T cell"},
    "CD4_T": {"CD4 T", "Naive CD4 T", "Memory CD4 T", "Treg", "T cell"},
    "B_naive": {"Naive B", "B cell"},
    "B_memory": {"Memory B", "B cell"},
    "MDC": {"CD14 monocyte", "CD16 monocyte", "Macrophage", "Mononuclear phagocyte"},
}


def test_demo_types_are_right(demo, annotated):
    found = annotated[0].obs["cell_type"].to_numpy()
    for label, types in RIGHT.items():
        assert np.isin(found[demo[3] == label], list(types)).mean() > 0.6, label
    sure = np.isin(demo[3], ["CD8_T", "CD4_T", "Treg", "MDC", "plasma", "mast"])
    of_right = [t in RIGHT.get(label, ()) for t, label in zip(found, demo[3], strict=True)]
    assert np.array(of_right)[sure].mean() > 0.85
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
    assert right[known & (confidence > 0.95)].mean() > right[known & (confidence < 0.8)].mean()
    assert right[known].mean() == pytest.approx(confidence[known].mean(), abs=0.1)


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
    assert record["panel"] == name_panel(None) == "scpress's own of immune cells"
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
    pd.testing.assert_frame_equal(plain_frame(again.obs), plain_frame(annotated[0].obs))
    pd.testing.assert_frame_equal(markers, annotated[1])


# ---- marker genes of clusters


def test_markers_are_those_of_the_plain_rank_sum_test(demo, annotated):
    counts, normalized, clusters, _ = demo
    markers = annotated[1]
    assert tuple(markers.columns) == MARKER_COLUMNS
    assert markers.groupby("group").size().max() <= AnnotateOptions().n_markers
    assert (markers["fdr"] <= 0.05).all()
    assert (markers["log2_fold_change"] > 0).all()
    values = log_normalize(counts.X, normalized.obs["size_factor"].to_numpy())
    for row in markers.iloc[[0, 30, -1]].itertuples():
        value = values[:, counts.var_names.get_loc(row.gene)].toarray().ravel()
        inside = (clusters.obs["leiden"] == row.group).to_numpy()
        p = stats.mannwhitneyu(value[inside], value[~inside], method="asymptotic").pvalue
        assert row.p_value == pytest.approx(p, rel=1e-6, abs=1e-300)
        assert row.fraction_in_group == pytest.approx((value[inside] > 0).mean())
        assert row.fraction_in_others == pytest.approx((value[~inside] > 0).mean())


def test_markers_name_the_type(demo, annotated):
    record = annotated[0].uns["scpress"]["annotate"]
    cluster = record["clusters"][record["cluster_types"].tolist().index("Plasma cell")]
    genes = annotated[1].loc[annotated[1]["group"] == cluster, "gene_symbol"]
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


def test_subsample_for_markers_is_stated(demo, monkeypatch, caplog):
    monkeypatch.setattr("scpress.steps.annotate.MAX_MARKER_CELLS", 900)
    with caplog.at_level("INFO", logger="scpress"):
        found, markers = annotate(*demo[:3], read_panel(), AnnotateOptions())
    n_cells = found.uns["scpress"]["annotate"]["n_marker_cells"]
    assert n_cells < 1000
    assert f"tested on {n_cells} of 1000 cells" in caplog.text
    counts, normalized, clusters, _ = demo
    leiden = clusters.obs["leiden"]
    rows = draw_cells(leiden.cat.codes.to_numpy().astype(np.int64), 900, seed=0)
    expected = find_markers(
        counts.X[rows],
        normalized.obs["size_factor"].to_numpy()[rows],
        leiden.astype(str).to_numpy()[rows],
        counts.var_names.to_numpy(),
        groups=list(leiden.cat.categories),
        max_fdr=AnnotateOptions().max_fdr,
        max_markers=AnnotateOptions().n_markers,
    )
    pd.testing.assert_frame_equal(markers, expected)


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
    with pytest.raises(InputError, match="and clusters 999, not the same ones"):
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


def test_no_gene_that_a_sample_did_not_measure_is_a_marker(simulated, caplog):
    counts, normalized = panels_of(simulated, 60)
    counts.obs["mine"] = types = np.where(np.arange(counts.n_obs) % 4 < 2, "a", "b")
    clusters = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    clusters.obs["leiden"] = pd.Categorical(types)
    options = AnnotateOptions(labels_column="mine", max_fdr=1.0, n_markers=1000)
    with caplog.at_level("INFO", logger="scpress"):
        _, markers = annotate(counts, normalized, clusters, None, options)
    assert "annotate: 60 of 200 genes were not measured in all samples" in caplog.text
    common = set(counts.var_names[counts.varm["measured"].all(axis=1)])
    assert len(markers) > 20
    assert set(markers["gene"]) <= common


def test_names_of_labelled_cells_stand_beside_the_panels(demo):
    counts, normalized, clusters, label = demo
    names = label.astype(str)
    confidence = np.where(np.arange(len(names)) % 10 == 0, 0.2, 0.9)
    named = ad.AnnData(
        obs=pd.DataFrame(
            {"cell_type": pd.Categorical(names), "cell_type_confidence": confidence},
            index=counts.obs_names,
        ),
        uns={"scpress": {"reference": {"source": "atlas", "n_missing_genes": 0}}},
    )
    found, _ = annotate(counts, normalized, clusters, read_panel(), named=named)
    assert (found.obs["cell_type"] == np.where(confidence > 0.5, names, "unassigned")).all()
    record = Annotation.from_plain(found.uns["scpress"], "x").annotate
    assert record.panel is None
    agreement = record.reference.agreement
    assert "immune cells" in agreement.panel
    assert agreement.ari > 0.3
    of = dict(zip(agreement.names, agreement.panel_types, strict=True))
    assert of["plasma"] == "Plasma cell"
    assert agreement.n_cells <= (confidence > 0.5).sum()
    own = AnnotateOptions(labels_column="label")
    with pytest.raises(InputError, match="keep one of labels_column and reference"):
        annotate(counts, normalized, clusters, None, own, named=named)
