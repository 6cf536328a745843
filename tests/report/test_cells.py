"""The map of the cells and the dot plot against the AnnData they are drawn from."""

import numpy as np
import pandas as pd

from scpress.report.cells import (
    cluster_label,
    collect_dots,
    collect_map,
    group_means,
    is_translation,
    main_type,
)


def test_map_is_a_subsample_of_the_stated_size(full):
    drawn = collect_map(full, max_cells=100)
    assert (drawn["n_shown"], drawn["n_cells"]) == (100, full.cells.n_obs)
    assert len(drawn["x"]) == 100
    names = [colour["name"] for colour in drawn["colours"]]
    assert names[:2] == ["cell_type", "leiden"]
    assert drawn["leiden"] == "leiden"
    assert len(drawn["genes"]["size_factor"]) == 100


def test_the_map_is_not_coloured_by_what_all_cells_have_in_common(full):
    full.cells.obs["cell_type"] = pd.Categorical(["unassigned"] * full.cells.n_obs)
    names = [one["name"] for one in collect_map(full, max_cells=100)["colours"]]
    assert names[0] == "leiden"
    assert "cell_type" in names


def test_colours_of_the_map_are_those_of_the_cells(full):
    drawn = collect_map(full, max_cells=1000)
    leiden = next(colour for colour in drawn["colours"] if colour["name"] == "leiden")
    assert [leiden["names"][code] for code in leiden["codes"]] == list(full.cells.obs["leiden"])
    size = next(colour for colour in drawn["colours"] if colour["name"] == "library_size")
    np.testing.assert_allclose(size["values"], full.cells.obs["library_size"], rtol=1e-3)


def test_group_means_match_pandas(full, groups):
    leiden, order = groups
    mean, fraction = group_means(full, leiden, order, np.arange(20))
    dense = pd.DataFrame(full.cells.X[:, :20].toarray())
    np.testing.assert_allclose(mean, dense.groupby(leiden).mean(), rtol=1e-5)
    np.testing.assert_allclose(fraction, (dense > 0).groupby(leiden).mean())


def test_dots_are_the_first_markers_of_every_cluster(full, groups):
    _, order = groups
    figure = collect_dots(full, 2)
    own = full.markers.groupby("group", sort=False)["gene_symbol"]
    assert set(figure["layout"]["xaxis"]["ticktext"]) == {s for _, one in own for s in one.head(2)}
    assert len(figure["layout"]["yaxis"]["ticktext"]) == len(order)
    assert figure["layout"]["xaxis"]["ticktext"].count("TWICE") == 2
    full.markers = None
    assert collect_dots(full, 2) is None


def test_genes_of_translation_and_mitochondria_are_not_among_the_dots(full, groups):
    _, order = groups
    before = collect_dots(full, 2)["layout"]["xaxis"]["ticktext"]
    assert not is_translation(full.cells).any()
    # Of the first cluster the first two markers become such genes, and the next two are drawn.
    own = full.markers[full.markers["group"] == order[0]]
    for gene, symbol in zip(own["gene"], ["RPL3", "EEF1A1"], strict=False):
        full.cells.var.loc[gene, "gene_symbol"] = symbol
    full.cells.var.loc[own["gene"].iloc[2], "gene_symbol"] = "mt-Co1"
    assert is_translation(full.cells).sum() == 3
    after = collect_dots(full, 2)["layout"]["xaxis"]["ticktext"]
    assert set(after[:2]) == set(own["gene_symbol"].iloc[3:5])
    assert not {"RPL3", "EEF1A1", "mt-Co1"} & set(after)
    assert len(after) >= len(before)


def test_a_cluster_is_not_named_unassigned(full, groups):
    _, order = groups
    types = full.cells.obs["cell_type"].astype(str)
    own = types[full.cells.obs["leiden"] == order[0]].value_counts()
    assert main_type(full, order[0]) == (own.index[0], own.iloc[0])
    assert cluster_label(full, order[0]) == f"{order[0]} · {own.index[0]}"
    full.cells.obs["cell_type"] = pd.Categorical(["unassigned"] * full.cells.n_obs)
    assert main_type(full, order[0]) is None
    assert cluster_label(full, order[0]) == order[0]
