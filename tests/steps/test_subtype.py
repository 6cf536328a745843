import anndata as ad
import numpy as np
import pandas as pd
import pytest
from builders import panels_of

from scpress.cells.markers import MARKER_COLUMNS
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import SimulateOptions, SubtypeOptions
from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError
from scpress.steps.simulate import simulate
from scpress.steps.subtype import subtype


@pytest.fixture(scope="module")
def parts():
    """Two types, the first with two subtypes, and a few unassigned cells."""
    options = SimulateOptions(n_cells=400, n_genes=300, n_types=2, n_subtypes=2)
    counts = simulate(options, seed=0)
    counts.obs["sample"] = "one"
    sizes = library_sizes(counts.X)
    normalized = ad.AnnData(
        obs=pd.DataFrame({"size_factor": size_factors(sizes)}, index=counts.obs_names),
        var=pd.DataFrame({"highly_variable": True}, index=counts.var_names),
    )
    types = counts.obs["label"].astype(str).to_numpy()
    types[::40] = "unassigned"
    annotation = ad.AnnData(
        obs=pd.DataFrame({"cell_type": pd.Categorical(types)}, index=counts.obs_names)
    )
    clusters = ad.AnnData(
        obs=pd.DataFrame(
            {"leiden": pd.Categorical(counts.obs["label"].cat.codes.astype(str))},
            index=counts.obs_names,
        )
    )
    return counts, normalized, clusters, annotation


def test_step_names_subtypes_and_says_why_there_are_none(parts):
    counts, normalized, clusters, annotation = parts
    found, markers = subtype(counts, normalized, clusters, annotation, SubtypeOptions(), seed=0)
    names = found.obs["subtype"]
    assert set(names) == {"type1.1", "type1.2", "type2", "unassigned"}
    assigned = (names != "unassigned").to_numpy()
    truth = counts.obs["true_subtype"].to_numpy()[assigned]
    assert adjusted_rand_index(truth, names.to_numpy()[assigned]) > 0.9
    groups = pd.DataFrame(found.uns["scpress"]["subtype"]["groups"]).set_index("group")
    assert groups.loc["type1", "n_subtypes"] == 2
    assert "no supported subtypes" in groups.loc["type2", "reason"]
    assert groups.loc["unassigned", "n_cells"] == 10
    assert set(markers["group"]) == {"type1.1", "type1.2"}
    assert (markers["gene_symbol"] == markers["gene"]).all()
    assert (markers["fdr"] <= 0.05).all()


def test_subtypes_that_one_seed_alone_has_are_marked_and_kept(parts, caplog):
    counts, normalized, clusters, annotation = parts
    caplog.set_level("INFO", logger="scpress")
    rng = np.random.default_rng(0)
    has, lacks = (
        ad.AnnData(obs=counts.obs[[]], obsm={"X_m": rng.normal(size=(400, 4)).astype(np.float32)})
        for _ in range(2)
    )
    has.obsm["X_m"][:, 1] += 8 * pd.factorize(counts.obs["true_subtype"])[0]
    options = SubtypeOptions(max_subtypes=2)
    given = counts, normalized, clusters, annotation, options
    alone, _ = subtype(*given, latents=[has], model="m")
    found, _ = subtype(*given, latents=[has, lacks], model="m")
    # The counts decide: names are the same whatever the seeds say.
    assert (found.obs["subtype"] == alone.obs["subtype"]).all()
    assert "subtype_confidence" not in alone.obs
    assert alone.uns["scpress"]["subtype"]["seeds"] == {}
    record = found.uns["scpress"]["subtype"]
    assert record["n_seeds"] == 2
    assert record["seeds"]["subtype"].tolist() == ["type1.1", "type1.2"]
    assert record["seeds"]["n_found"].tolist() == [1, 1]
    assert record["seeds"]["least"].max() < 0.2
    assert record["seeds"]["most"].min() > 0.9
    assert "type1.1 is found again in the latents of 1 of 2 seeds" in caplog.text
    confidence = found.obs["subtype_confidence"].to_numpy()
    is_split = found.obs["subtype"].str.startswith("type1.").to_numpy()
    assert np.isnan(confidence[~is_split]).all()
    assert np.nanmean(confidence) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(InputError, match="the latent of a seed"):
        subtype(*given, latents=[has, lacks[::-1].copy()], model="m")


def test_cells_without_a_type_are_not_looked_into_however_many(parts):
    counts, normalized, clusters, annotation = parts
    nameless = annotation.copy()
    is_first = (counts.obs["label"] == "type1").to_numpy()
    types = np.where(is_first, "unassigned", "type2")
    nameless.obs["cell_type"] = pd.Categorical(types)
    options = SubtypeOptions(max_subtypes=2)
    found, markers = subtype(counts, normalized, clusters, nameless, options, seed=0)
    assert (found.obs["subtype"][is_first] == "unassigned").all()
    assert markers.empty
    assert tuple(markers.columns) == MARKER_COLUMNS


def test_where_no_cell_has_a_type_clusters_are_looked_into(parts):
    counts, normalized, clusters, annotation = parts
    nameless = annotation.copy()
    nameless.obs["cell_type"] = pd.Categorical(["unassigned"] * counts.n_obs)
    options = SubtypeOptions(max_subtypes=2)
    found, markers = subtype(counts, normalized, clusters, nameless, options, seed=0)
    by_cluster = SubtypeOptions(max_subtypes=2, groupby="leiden")
    same, others = subtype(counts, normalized, clusters, None, by_cluster, seed=0)
    pd.testing.assert_frame_equal(found.obs, same.obs)
    pd.testing.assert_frame_equal(markers, others)
    assert found.uns["scpress"]["subtype"]["groupby"] == "leiden"
    # Without clusters there is nothing to look into.
    alone, _ = subtype(counts, normalized, None, nameless, options, seed=0)
    assert (alone.obs["subtype"] == "unassigned").all()


def test_a_difference_between_samples_is_no_subtype():
    options = SimulateOptions(
        n_cells=300, n_genes=300, n_types=1, n_batches=2, batch_fold_change=2.5
    )
    counts = simulate(options, seed=0)
    normalized = ad.AnnData(
        obs=pd.DataFrame(
            {"size_factor": size_factors(library_sizes(counts.X))}, index=counts.obs_names
        ),
        var=pd.DataFrame({"highly_variable": True}, index=counts.var_names),
    )
    clusters = ad.AnnData(obs=pd.DataFrame({"leiden": "0"}, index=counts.obs_names))
    clusters.obs["leiden"] = clusters.obs["leiden"].astype("category")
    options = SubtypeOptions(groupby="leiden", max_subtypes=2)
    counts.obs["sample"] = counts.obs["batch"]
    assert set(subtype(counts, normalized, clusters, None, options)[0].obs["subtype"]) == {"0"}
    # Called one sample, the same cells fall apart.
    counts.obs["sample"] = "one"
    split = subtype(counts, normalized, clusters, None, options)[0].obs["subtype"]
    assert set(split) == {"0.1", "0.2"}


def test_step_groups_by_cluster_without_an_annotation(parts):
    counts, normalized, clusters, _ = parts
    options = SubtypeOptions(groupby="leiden", max_subtypes=2)
    found, _ = subtype(counts, normalized, clusters, None, options, seed=0)
    assert set(found.obs["subtype"]) == {"0.1", "0.2", "1"}


def test_same_seed_same_subtypes(parts):
    options = SubtypeOptions(max_subtypes=2, n_subsamples=5)
    first, second = (subtype(*parts, options, seed=3) for _ in range(2))
    assert (first[0].obs["subtype"] == second[0].obs["subtype"]).all()
    pd.testing.assert_frame_equal(first[1], second[1])


def test_step_says_what_is_wrong(parts):
    counts, normalized, clusters, annotation = parts
    with pytest.raises(InputError, match="needs the annotation"):
        subtype(counts, normalized, clusters, None, SubtypeOptions())
    with pytest.raises(InputError, match="annotation 400, not the same ones in the same order"):
        subtype(counts, normalized, clusters, annotation[::-1].copy(), SubtypeOptions())
    silent = normalized.copy()
    silent.var["highly_variable"] = False
    with pytest.raises(InputError, match="no gene is highly variable"):
        subtype(counts, silent, clusters, annotation, SubtypeOptions())


def test_subtypes_are_of_genes_that_all_samples_measured(simulated, monkeypatch):
    counts, normalized = panels_of(simulated, 60)
    clusters = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    clusters.obs["leiden"] = pd.Categorical(["0"] * counts.n_obs)
    seen = []

    def noted(matrix, size_factor, genes, *rest, **keywords):
        seen.append(list(genes))
        raise KeyError

    monkeypatch.setattr("scpress.steps.subtype.find_subtypes", noted)
    with pytest.raises(KeyError):
        subtype(counts, normalized, clusters, None, SubtypeOptions(groupby="leiden"))
    assert seen == [list(counts.var_names[counts.varm["measured"].all(axis=1)])]
