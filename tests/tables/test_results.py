"""Which files are as their steps write them, and what is said of those that are not."""

import copy

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.errors import InputError
from scpress.tables import results

STABILITY = {
    "resolution": np.array([0.4, 0.8]),
    "n_leiden": np.array([2, 3]),
    "n_clusters": np.array([2, 2]),
    "ari_mean": np.array([0.9, -0.1]),
    "ari_low": np.array([0.8, -0.2]),
    "ari_high": np.array([1.0, 0.1]),
}


@pytest.fixture
def clusters():
    """What `cluster` makes of 3 cells, as h5ad gives it back."""
    names = ["a", "b", "c"]
    graph = sparse.csr_matrix(np.ones((3, 3), dtype=np.float32))
    made = ad.AnnData(
        obs=pd.DataFrame({"leiden": pd.Categorical(["0", "1", "0"])}, index=names),
        obsp={"distances": graph, "connectivities": graph.copy()},
        uns={"neighbors": {"connectivities_key": "connectivities", "distances_key": "distances"}},
    )
    made.uns["neighbors"]["params"] = {
        "n_neighbors": 15,
        "random_state": 0,
        "use_rep": "X_m",
        "method": "umap",
        "metric": "euclidean",
    }
    record = {"model": "m", "seed": 0, "chosen_resolution": np.nan, "min_stability": 0.7}
    record |= {"n_subsampled": 2, "n_stability_cells": 3, "stability": copy.deepcopy(STABILITY)}
    made.uns["scpress"] = {"cluster": record}
    return made


def test_a_file_as_its_step_writes_it_passes(clusters):
    results.CLUSTERS.require(clusters, "the file")


def _without(*path):
    def change(made):
        inside = made.uns
        for key in path[:-1]:
            inside = inside[key]
        del inside[path[-1]]

    return change


def _set(value, *path):
    def change(made):
        inside = made.uns
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = value

    return change


CLUSTER = ("scpress", "cluster")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without("scpress"), r"^the file: uns\['scpress'\] is missing"),
        (_without(*CLUSTER), r"uns\['scpress'\] in the file lacks 'cluster'; it has nothing"),
        (_without(*CLUSTER, "seed"), r"'cluster' in uns\['scpress'\] in the file lacks 'seed'"),
        (_without("neighbors"), r"uns\['neighbors'\] in the file is not a table"),
        (_set(-1, "neighbors", "params", "n_neighbors"), "'n_neighbors' in .* is -1, which"),
        (_set(3.5, *CLUSTER, "seed"), r"'seed' in .* is 3\.5, which it cannot be"),
        (_set(True, *CLUSTER, "seed"), "'seed' in .* is True, which"),
        (_set(5, *CLUSTER, "model"), "'model' in .* is 5, which"),
        (_set(np.inf, *CLUSTER, "chosen_resolution"), "'chosen_resolution' in .* is inf, which"),
        (_set(np.array([0.4, np.nan]), *CLUSTER, "stability", "ari_low"), "is nan, which"),
        (_set(np.array([0.4, 1.1]), *CLUSTER, "stability", "ari_low"), r"is 1\.1, which"),
        (_set(np.array([2]), *CLUSTER, "stability", "n_leiden"), "columns of unlike lengths"),
        (_set([1], "scpress"), r"uns\['scpress'\] \(what was run.*\) is \[1\] and no table"),
    ],
)
def test_what_a_file_says_of_itself_is_checked(clusters, change, says):
    change(clusters)
    with pytest.raises(InputError, match=says):
        results.CLUSTERS.require(clusters, "the file")


def test_a_slot_that_the_step_always_writes_is_missed(clusters):
    del clusters.obsp["connectivities"]
    with pytest.raises(InputError, match=r"^the file: obsp\['connectivities'\] is missing"):
        results.CLUSTERS.require(clusters, "the file")


def test_a_slot_that_a_step_may_write_is_checked_where_it_is_there(clusters):
    clusters.obsm["X_umap"] = np.full((3, 2), np.nan)
    with pytest.raises(InputError, match=r"X_umap.* lacks numbers"):
        results.CLUSTERS.require(clusters, "the file")


@pytest.fixture
def final(clusters):
    """The joined file of those clusters and a latent."""
    made = clusters
    made.obsm["X_m"] = np.zeros((3, 2), dtype=np.float32)
    made.obs["nll_m"] = np.float32(1)
    made.uns["scpress"] |= {"models": {"m": {"model": "m"}}, "format_version": np.int64(1)}
    return made


def test_the_joined_file_has_what_the_steps_it_names_wrote(final):
    results.FINAL.require(final, "the file")
    for axis, key in (("obs", "leiden"), ("obsp", "distances"), ("obsm", "X_m"), ("obs", "nll_m")):
        lacking = final.copy()
        del getattr(lacking, axis)[key]
        with pytest.raises(InputError, match=rf"the file: {axis}\['{key}'\] is missing"):
            results.FINAL.require(lacking, "the file")
    # What no step says it made is not asked for.
    del final.uns["scpress"]["cluster"], final.obs["leiden"]
    results.FINAL.require(final, "the file")


def test_a_latent_of_the_joined_file_is_checked_by_the_name_of_its_model(final):
    final.obsm["X_other"] = np.full((3, 2), np.nan)  # a user's
    results.FINAL.require(final, "the file")
    final.obsm["X_m"][1, 0] = np.nan
    with pytest.raises(InputError, match=r"obsm\['X_m'\].* lacks numbers"):
        results.FINAL.require(final, "the file")


@pytest.mark.parametrize(
    ("version", "says"), [(2, "newer scpress"), ("1", "Is the file damaged"), (1.0, "damaged")]
)
def test_the_format_of_the_joined_file_is_asked_first(final, version, says):
    final.uns["scpress"] = {"format_version": version, "messages": 5}
    with pytest.raises(InputError, match=says):
        results.FINAL.require(final, "the file")


def test_merged_counts_have_the_columns_of_qc():
    obs = pd.DataFrame({"sample": pd.Categorical(["s", "s"])}, index=["a", "b"])
    var = pd.DataFrame({"gene_id": ["", ""], "gene_symbol": ["A", "B"]}, index=["A", "B"])
    counts = ad.AnnData(obs=obs, var=var)
    counts.uns["scpress"] = {"genes_digest": "d", "messages": np.zeros(0)}
    results.COUNTS.require(counts, "the file")
    counts.uns["scpress"]["sample_names"] = np.array(["s"])
    with pytest.raises(InputError, match=r"obs\['library_size'\] is missing"):
        results.COUNTS.require(counts, "the file")


def test_a_latent_says_of_which_training_it_is():
    with pytest.raises(InputError, match=r"lacks 'model'; it has seed"):
        results.LATENT.require(ad.AnnData(np.zeros((2, 2)), uns={"scpress": {"seed": 0}}), "x")
