import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scpress.cells.stability import adjusted_rand_index
from scpress.cells.subtypes import find_subtypes
from scpress.cli import main
from scpress.config.options import SimulateOptions, SubtypeOptions
from scpress.counts.simulation import simulate_counts
from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.simulate import simulate
from scpress.steps.subtype import subtype


def _find(options, seed, **changes):
    truth = simulate_counts(options, seed=seed)
    genes = np.array([f"gene{number + 1}" for number in range(options.n_genes)])
    found = find_subtypes(
        truth.counts,
        size_factors(library_sizes(truth.counts)),
        genes,
        truth.batch,
        SubtypeOptions(**changes),
        rng=np.random.default_rng(seed),
    )
    return truth, found


@pytest.mark.parametrize("seed", range(3))
def test_homogeneous_type_has_no_subtypes(seed):
    options = SimulateOptions(n_cells=200, n_genes=300, n_types=1, n_batches=2)
    _, found = _find(options, seed)
    assert found.labels.max() == 0
    assert "no supported subtypes" in found.reason
    assert found.markers.empty


def test_stable_gradient_of_depth_has_no_markers_in_held_out_molecules():
    options = SimulateOptions(n_cells=300, n_genes=300, n_types=1, library_size_sd=0.9)
    _, found = _find(options, 0, min_stability=0.3)
    # It is stable enough to be tested, and then it is the held-out molecules that refuse it.
    assert "markers of its own in held-out molecules" in found.candidates[0]["verdict"]
    assert found.labels.max() == 0


@pytest.mark.parametrize("n_subtypes", [2, 3])
def test_planted_subtypes_are_found_with_their_markers(n_subtypes):
    options = SimulateOptions(n_cells=300, n_genes=400, n_types=1, n_subtypes=n_subtypes)
    truth, found = _find(options, 0)
    assert adjusted_rand_index(truth.subtype, found.labels) > 0.9
    planted = truth.subtype_fold_change > 1
    for label in range(n_subtypes):
        subtype_of = np.bincount(truth.subtype[found.labels == label]).argmax()
        names = found.markers.loc[found.markers["group"] == label, "gene"]
        numbers = names.str.removeprefix("gene").astype(int).to_numpy() - 1
        assert len(numbers) >= 3
        assert planted[subtype_of, numbers].mean() >= 0.9


def test_batches_are_no_subtypes():
    options = SimulateOptions(
        n_cells=300, n_genes=300, n_types=1, n_batches=2, batch_fold_change=2.5
    )
    truth, found = _find(options, 0)
    assert found.labels.max() == 0
    blind = find_subtypes(
        truth.counts,
        size_factors(library_sizes(truth.counts)),
        np.arange(300).astype(str),
        np.zeros(300, dtype=int),
        SubtypeOptions(max_subtypes=2),
        rng=np.random.default_rng(0),
    )
    # Without the sample the same cells fall apart: the centring is what prevents it.
    assert adjusted_rand_index(truth.batch, blind.labels) > 0.9


def test_small_and_silent_groups_have_a_reason():
    options = SimulateOptions(n_cells=40, n_genes=100, n_types=1)
    assert "40 cells are fewer than min_cells=60" in _find(options, 0)[1].reason
    quiet = SimulateOptions(n_cells=100, n_genes=4, n_types=1, mean_library_size=1)
    truth = simulate_counts(quiet, seed=0)
    found = find_subtypes(
        truth.counts[:, :3],
        np.ones(100),
        np.array(list("abc")),
        np.zeros(100, dtype=int),
        SubtypeOptions(),
        rng=np.random.default_rng(0),
    )
    assert "variable genes are detected" in found.reason


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
    assert set(markers["subtype"]) == {"type1.1", "type1.2"}
    assert (markers["gene_symbol"] == markers["gene"]).all()
    assert (markers["fdr"] <= 0.05).all()


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
    with pytest.raises(InputError, match="in another order"):
        subtype(counts, normalized, clusters, annotation[::-1].copy(), SubtypeOptions())
    silent = normalized.copy()
    silent.var["highly_variable"] = False
    with pytest.raises(InputError, match="no gene is highly variable"):
        subtype(counts, silent, clusters, annotation, SubtypeOptions())


def test_verb_reads_counts_from_disk(parts, tmp_path):
    names = ("counts", "normalized", "clusters", "annotation")
    arguments = ["subtype", "--seed", "0"]
    for name, part in zip(names, parts, strict=True):
        write_h5ad(part, tmp_path / f"{name}.h5ad")
        arguments += [f"--{name}", str(tmp_path / f"{name}.h5ad")]
    arguments += ["--output", str(tmp_path / "subtypes.h5ad")]
    arguments += ["--markers", str(tmp_path / "subtype_markers.tsv"), "--max-subtypes", "2"]
    assert main(arguments) == 0
    expected, _ = subtype(*parts, SubtypeOptions(max_subtypes=2), seed=0)
    read = read_h5ad(tmp_path / "subtypes.h5ad")
    assert (read.obs["subtype"] == expected.obs["subtype"]).all()
    table = pd.read_csv(tmp_path / "subtype_markers.tsv", sep="\t")
    assert {"group", "subtype", "gene", "log2_fold_change", "fdr"} <= set(table)


def test_verb_writes_an_empty_table_where_there_are_no_subtypes(parts, tmp_path):
    counts, normalized, _, annotation = parts
    for name, part in (("counts", counts), ("normalized", normalized), ("annotation", annotation)):
        write_h5ad(part, tmp_path / f"{name}.h5ad")
    arguments = ["subtype", "--min-cells", "1000"]
    for name in ("counts", "normalized", "annotation"):
        arguments += [f"--{name}", str(tmp_path / f"{name}.h5ad")]
    arguments += ["--output", str(tmp_path / "subtypes.h5ad")]
    arguments += ["--markers", str(tmp_path / "subtype_markers.tsv")]
    assert main(arguments) == 0
    assert pd.read_csv(tmp_path / "subtype_markers.tsv", sep="\t").empty
    assert set(read_h5ad(tmp_path / "subtypes.h5ad").obs["subtype"]) == {
        "type1",
        "type2",
        "unassigned",
    }
