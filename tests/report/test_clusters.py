"""The rows of the clusters, and what they link to, against the cells."""

import numpy as np
import pytest

from scpress.report.clusters import cluster_rows, clusters_section, marker_tables


def test_clusters_are_those_of_the_cells(full):
    obs = full.cells.obs
    section = clusters_section(full)
    assert section["n_clusters"] == obs["leiden"].nunique()
    assert section["chosen"] == full.record["cluster"]["chosen_resolution"]
    assert section["by_sample"] is not None
    for row in section["rows"]:
        own = obs[obs["leiden"] == row["name"]]
        assert row["size"] == f"{len(own):,}"
        assert row["share"] == f"{len(own) / len(obs):.1%}"
        assert row["confidence"] == f"{own['leiden_confidence'].median():.2f}"
        types = own["cell_type"].astype(str).value_counts()
        assert row["type"].startswith(f"{types.index[0]} (")
        assert row["found"] == "yes"


def test_a_cluster_that_some_seed_does_not_find_is_marked(full):
    full.cells.uns["scpress"]["cluster"]["unconfirmed"] = np.array(["1"])
    assert {row["name"]: row["found"] for row in cluster_rows(full)}["1"] == "no"


def test_markers_of_a_cluster_are_in_its_row_and_its_table(full):
    full.cells.var["gene_symbol"] = full.cells.var["gene_symbol"].astype(object)
    name = cluster_rows(full)[0]["name"]
    own = full.markers[full.markers["group"] == name]
    full.cells.var.loc[own["gene"].iloc[0], "gene_symbol"] = "RPL3"
    full.markers.loc[own.index[0], "gene_symbol"] = "RPL3"
    row, table = cluster_rows(full)[0], marker_tables(full)[name]
    # The ribosome's gene leads the table and is not among those that name the cluster.
    assert table["rows"][0][0] == "RPL3"
    assert row["markers"] == own["gene_symbol"].iloc[1:6].tolist() == table["named"]
    first = own.iloc[0]
    assert table["rows"][0][1:3] == [f"{first['log2_fold_change']:+.2f}", f"{first['z']:.1f}"]
    assert len(table["rows"]) == min(len(own), 15)


def test_subtypes_are_linked_where_their_group_was_looked_into(full):
    groups = full.record["subtype"]["groups"]["group"]
    for row in cluster_rows(full):
        name = row["type"].rsplit(" (", 1)[0]
        assert groups[row["subtypes"]] == name
    full.cells.uns["scpress"]["subtype"]["groups"]["group"] = np.array(["x"] * len(groups))
    assert {row["subtypes"] for row in cluster_rows(full)} == {None}


@pytest.mark.parametrize("markers", ["none", "empty"])
def test_without_markers_a_row_names_none(full, markers):
    full.markers = None if markers == "none" else full.markers.iloc[:0]
    assert marker_tables(full) == {}
    assert all(row["markers"] == [] and not row["has_table"] for row in cluster_rows(full))
    del full.cells.obs["leiden"]
    assert cluster_rows(full) == []
