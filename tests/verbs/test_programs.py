"""`programs` on the files of a run: whose latents they are, and two outputs or none."""

import anndata as ad
import pytest
from verbs.commands import Case, files_under, must, of_run

from scpress.io.rows import read_rows
from scpress.tables.programs import ProgramGene

FILES = ("--latents", "@latent.h5ad", "--model-files", "@model.safetensors")
GIVEN = ("--clusters", "@clusters.h5ad", "--n-genes", "3", "--genes", "programs.tsv")


def unclustered(run_folder, folder):
    """The clusters without the word of whose they are."""
    clusters = ad.read_h5ad(run_folder / "clusters.h5ad")
    del clusters.uns["scpress"]
    clusters.write_h5ad(folder / "clusters.h5ad")
    words = of_run("programs", *FILES, *GIVEN)(run_folder, folder)
    return [folder / "clusters.h5ad" if w == run_folder / "clusters.h5ad" else w for w in words]


def of_another(run_folder, folder):
    """Clusters of a model that has no latent here."""
    clusters = ad.read_h5ad(run_folder / "clusters.h5ad")
    clusters.uns["scpress"]["cluster"]["model"] = "vae"
    clusters.write_h5ad(folder / "clusters.h5ad")
    words = of_run("programs", *FILES, *GIVEN)(run_folder, folder)
    return [folder / "clusters.h5ad" if w == run_folder / "clusters.h5ad" else w for w in words]


CASES = [
    Case(
        "no_genes",
        of_run("programs", *FILES, *GIVEN[:2], *GIVEN[4:]),
        ("n_genes is 0, which lists none",),
    ),
    Case(
        "a_latent_without_its_model",
        of_run("programs", *FILES[:2], "@latent.h5ad", *FILES[2:], *GIVEN),
        ("there are 2 latents and 1 models",),
    ),
    Case("unclustered", unclustered, ("clusters.h5ad' does not say its model",)),
    Case("of_another", of_another, ("none of the 1 latents is of model 'vae'",)),
    Case(
        "a_foreign_file",
        of_run("programs", *FILES[:2], "--model-files", "@latent.h5ad", *GIVEN),
        ("latent.h5ad' is not a readable model file",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, tmp_path):
    words = of_run("programs", *FILES, *GIVEN)(run_folder, tmp_path)
    words[-1] = tmp_path / "programs.tsv"
    must(words, tmp_path / "programs.h5ad")
    found = ad.read_h5ad(tmp_path / "programs.h5ad")
    assert found.varm["loadings_pca"].shape == (found.n_vars, 5)
    table = read_rows(tmp_path / "programs.tsv", ProgramGene)
    assert set(table["program"]) >= {"z0", "z4"}
    assert table.groupby(["program", "change"]).size().max() <= 3
    assert [path.rpartition("/")[2] for path in files_under(tmp_path)] == [
        "programs.h5ad",
        "programs.tsv",
    ]
    # Of genes it goes into the joined file, by name; those that are not modelled have none.
    joined = ["--counts", "@counts.h5ad", "--normalized", "@normalized.h5ad"]
    joined += ["--latents", "@latent.h5ad", "--clusters", "@clusters.h5ad"]
    words = of_run("assemble", *joined)(run_folder, tmp_path)
    must([*words, "--programs", tmp_path / "programs.h5ad"], tmp_path / "scpress.h5ad")
    whole = ad.read_h5ad(tmp_path / "scpress.h5ad")
    own = whole[:, found.var_names]
    assert (own.varm["traversals_pca"] == found.varm["traversals_pca"]).all()
    others = ~whole.var_names.isin(found.var_names)
    assert others.any()
    assert (whole.varm["loadings_pca"][others] != whole.varm["loadings_pca"][others]).all()
    assert whole.uns["scpress"]["programs"]["model"] == "pca"
