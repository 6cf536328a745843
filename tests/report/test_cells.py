"""The map of the cells and the dot plot against the AnnData they are drawn from."""

import numpy as np
import pandas as pd

from scpress.report.cells import collect_dots, collect_map, group_means


def test_map_is_a_subsample_of_the_stated_size(full):
    twice = full.cells.var_names[full.cells.var["gene_symbol"] == "TWICE"][0]
    drawn = collect_map(full, max_cells=100, genes=[twice])
    assert (drawn["n_shown"], drawn["n_cells"]) == (100, full.cells.n_obs)
    assert len(drawn["x"]) == 100
    names = [colour["name"] for colour in drawn["colours"]]
    assert names[:2] == ["cell_type", "leiden"]
    assert names[-1] == "TWICE"


def test_the_map_is_not_coloured_by_what_all_cells_have_in_common(full):
    full.cells.obs["cell_type"] = pd.Categorical(["unassigned"] * full.cells.n_obs)
    names = [one["name"] for one in collect_map(full, max_cells=100, genes=[])["colours"]]
    assert names[0] == "leiden"
    assert "cell_type" in names


def test_colours_of_the_map_are_those_of_the_cells(full):
    gene = full.cells.var_names[4]
    drawn = collect_map(full, max_cells=1000, genes=[gene])
    leiden = next(colour for colour in drawn["colours"] if colour["name"] == "leiden")
    assert [leiden["names"][code] for code in leiden["codes"]] == list(full.cells.obs["leiden"])
    values = drawn["colours"][-1]["values"]
    np.testing.assert_allclose(values, full.cells.X[:, 4].toarray().ravel(), atol=0.051)


def test_group_means_match_pandas(full, groups):
    leiden, order = groups
    mean, fraction = group_means(full, leiden, order, np.arange(20))
    dense = pd.DataFrame(full.cells.X[:, :20].toarray())
    np.testing.assert_allclose(mean, dense.groupby(leiden).mean(), rtol=1e-5)
    np.testing.assert_allclose(fraction, (dense > 0).groupby(leiden).mean())


def test_dots_are_the_first_markers_of_every_cluster(full, groups):
    _, order = groups
    figure, genes = collect_dots(full, 2)
    own = full.markers.groupby("group", sort=False)["gene"]
    assert set(genes) == {gene for _, one in own for gene in one.head(2)}
    assert len(figure["layout"]["yaxis"]["ticktext"]) == len(order)
    assert figure["layout"]["xaxis"]["ticktext"].count("TWICE") == 2
    full.markers = None
    assert collect_dots(full, 2) is None
