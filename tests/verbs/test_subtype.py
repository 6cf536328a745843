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

SUBTYPE = ("subtype", *DATA, "--groupby", "leiden", "--markers", "m.tsv")
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
    Case(
        "latents_without_clusters",
        of_run(*SUBTYPE, "--latent", "@latent.h5ad"),
        ("which model are the latents of", "--clusters"),
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


def test_of_several_latents_those_of_the_model_of_the_clusters_are_taken(
    run_folder, tmp_path, capsys
):
    model = ["--model-file", run_folder / "model.safetensors", "--model", "other"]
    data = [run_folder / word[1:] if word[0] == "@" else word for word in DATA]
    assert run(["embed", *data, *model, "--output", tmp_path / "other.h5ad"]) == 0
    clusters = ["--clusters", run_folder / "clusters.h5ad", "--groupby", "leiden"]
    words = ["subtype", *data, *clusters, "--markers", tmp_path / "markers.tsv"]
    words += ["--output", tmp_path / "subtypes.h5ad", "--latent", tmp_path / "other.h5ad"]
    assert run(words) == 2
    assert "none of the 1 latents is of model 'pca'" in capsys.readouterr().err
    own = run_folder / "latent.h5ad"
    assert run([*words, own, own]) == 0
    assert read_h5ad(tmp_path / "subtypes.h5ad").uns["scpress"]["subtype"]["n_seeds"] == 2


def test_a_kill_between_subtypes_and_markers_leaves_no_subtypes(require_pair_repaired):
    command = of_run("subtype", *DATA, "--clusters", "@clusters.h5ad", "--groupby", "leiden")
    require_pair_repaired(command, {"--markers": "markers.tsv", "--output": "subtypes.h5ad"})
