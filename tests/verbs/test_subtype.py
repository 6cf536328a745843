"""`subtype`: what the step makes of counts on disk with the seed, and an empty table."""

import anndata as ad
import pandas as pd
import pytest
from verbs.commands import DATA, Case, mixed, of_run, run

from scpress.config.options import SimulateOptions, SubtypeOptions
from scpress.counts.sizes import library_sizes, size_factors
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.simulate import simulate
from scpress.steps.subtype import subtype

CASES = [
    Case(
        "clusters_of_other_cells_subtype",
        mixed(
            "clusters.h5ad",
            "subtype",
            *DATA,
            "--clusters",
            "@clusters.h5ad",
            "--groupby",
            "leiden",
            "--markers",
            "m.tsv",
        ),
        ("90", "180"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


@pytest.fixture(scope="module")
def parts():
    """Two types, the first with two subtypes, and a few unassigned cells."""
    options = SimulateOptions(n_cells=400, n_genes=300, n_types=2, n_subtypes=2)
    counts = simulate(options, seed=0)
    counts.obs["sample"] = "one"
    names = counts.obs_names
    normalized = ad.AnnData(
        obs=pd.DataFrame({"size_factor": size_factors(library_sizes(counts.X))}, index=names),
        var=pd.DataFrame({"highly_variable": True}, index=counts.var_names),
    )
    types = counts.obs["label"].astype(str).to_numpy()
    types[::40] = "unassigned"
    obs = pd.DataFrame({"cell_type": pd.Categorical(types)}, index=names)
    return {"counts": counts, "normalized": normalized, "annotation": ad.AnnData(obs=obs)}


def subtyping(parts, folder, *words):
    """Exit code of `subtype` of these parts, written to a folder first."""
    flags = []
    for name, part in parts.items():
        write_h5ad(part, folder / f"{name}.h5ad")
        flags += [f"--{name}", folder / f"{name}.h5ad"]
    flags += ["--output", folder / "subtypes.h5ad", "--markers", folder / "subtype_markers.tsv"]
    return run(["subtype", *flags, *words])


def test_verb_reads_counts_from_disk(parts, tmp_path):
    assert subtyping(parts, tmp_path, "--seed", "3", "--max-subtypes", "2") == 0
    counts, normalized, annotation = parts.values()
    options = SubtypeOptions(max_subtypes=2)
    expected, markers = subtype(counts, normalized, None, annotation, options, seed=3)
    read = read_h5ad(tmp_path / "subtypes.h5ad")
    assert (read.obs["subtype"] == expected.obs["subtype"]).all()
    assert set(read.obs["subtype"]) == {"type1.1", "type1.2", "type2", "unassigned"}
    assert read.uns["scpress"]["subtype"]["seed"] == 3
    table = pd.read_csv(tmp_path / "subtype_markers.tsv", sep="\t")
    assert list(table.columns) == list(markers.columns)
    assert table["gene"].tolist() == markers["gene"].tolist()


def test_verb_writes_an_empty_table_where_there_are_no_subtypes(parts, tmp_path):
    assert subtyping(parts, tmp_path, "--min-cells", "1000") == 0
    assert pd.read_csv(tmp_path / "subtype_markers.tsv", sep="\t").empty
    found = set(read_h5ad(tmp_path / "subtypes.h5ad").obs["subtype"])
    assert found == {"type1", "type2", "unassigned"}


def test_a_kill_between_subtypes_and_markers_leaves_no_subtypes(require_pair_repaired):
    command = of_run("subtype", *DATA, "--clusters", "@clusters.h5ad", "--groupby", "leiden")
    require_pair_repaired(command, {"--markers": "markers.tsv", "--output": "subtypes.h5ad"})
