"""The joined AnnData: what scanpy does with it, whose columns are kept, and what is refused."""

import anndata as ad
import matplotlib as mpl
import numba
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from scpress import settings
from scpress.cli import main
from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError
from scpress.steps.assemble import assemble

mpl.use("Agg")


def results(counts, *, seed=0):
    """What the other steps would have made of some counts."""
    rng = np.random.default_rng(seed)
    names, n_obs = counts.obs_names, counts.n_obs
    sizes = library_sizes(counts.X)
    normalized = ad.AnnData(
        obs=pd.DataFrame({"library_size": sizes, "size_factor": size_factors(sizes)}, index=names),
        var=pd.DataFrame(
            {"highly_variable": np.arange(counts.n_vars) % 2 == 0}, index=counts.var_names
        ),
    )
    modelled = counts.var_names[::2]
    latent = ad.AnnData(
        obs=pd.DataFrame({"nll_m": rng.random(n_obs, dtype=np.float32)}, index=names),
        var=pd.DataFrame({"theta_m": np.ones(len(modelled), dtype=np.float32)}, index=modelled),
        obsm={"X_m": rng.normal(size=(n_obs, 4)).astype(np.float32)},
        uns={"scpress": {"model": "m", "seed": 3, "verdict": {"status": "ok", "why": None}}},
    )
    clusters = ad.AnnData(
        obs=pd.DataFrame(
            {"leiden": pd.Categorical((np.arange(n_obs) % 3).astype(str))}, index=names
        ),
        obsm={"X_umap": rng.normal(size=(n_obs, 2)).astype(np.float32)},
        uns={"scpress": {"cluster": {"chosen_resolution": 0.8, "tried": [{"a": 1}, {"a": None}]}}},
    )
    annotation = ad.AnnData(
        obs=pd.DataFrame(
            {
                "cell_type": pd.Categorical(np.where(np.arange(n_obs) % 3, "T cell", "unassigned")),
                "cell_type_confidence": rng.random(n_obs, dtype=np.float32),
            },
            index=names,
        ),
        uns={"scpress": {"annotate": {"panel": "immune"}}},
    )
    return normalized, {"m": latent}, clusters, annotation


@pytest.fixture(scope="module")
def users(simulated):
    """Counts of a user who has columns of the names we need."""
    counts = simulated.copy()
    del counts.uns["simulation"]
    counts.obs["leiden"] = pd.Categorical(np.where(np.arange(600) % 2, "mine", "yours"))
    counts.uns["leiden_colors"] = np.array(["#000000", "#ffffff"])
    counts.obsm["X_umap"] = np.ones((600, 2), dtype=np.float32)
    counts.obs["library_size"] = library_sizes(counts.X)
    counts.uns["scpress"] = {"genes_digest": "abc"}
    counts.uns["log1p"] = {"base": 2}
    return counts


@pytest.fixture(scope="module")
def joined(users):
    return assemble(users, *results(users))


def test_matrices_are_log_values_and_counts(users, joined):
    sizes = users.X.toarray().sum(axis=1)
    expected = np.log1p(users.X.toarray() / (sizes / np.median(sizes))[:, None])
    np.testing.assert_allclose(joined.X.toarray(), expected, rtol=1e-6)
    assert joined.X.dtype == np.float32
    assert joined.layers["counts"].dtype == np.int32
    assert (joined.layers["counts"] != users.X).nnz == 0


def test_everything_is_joined(joined):
    assert {"size_factor", "nll_m", "cell_type", "cell_type_confidence"} <= set(joined.obs)
    assert joined.obsm["X_m"].shape == (600, 4)
    record = joined.uns["scpress"]
    assert record["genes_digest"] == "abc"
    assert record["models"]["m"]["verdict"] == {"status": "ok"}
    assert record["cluster"]["chosen_resolution"] == 0.8
    assert record["annotate"] == {"panel": "immune"}


def test_genes_that_are_not_modelled_are_nan(joined):
    assert np.isnan(joined.var["theta_m"].to_numpy()[1::2]).all()
    assert (joined.var["theta_m"].to_numpy()[::2] == 1).all()


def test_columns_of_the_user_are_kept(users, joined):
    assert list(joined.obs["leiden_input"]) == list(users.obs["leiden"])
    assert list(joined.obs["leiden"].cat.categories) == ["0", "1", "2"]
    np.testing.assert_array_equal(joined.obsm["X_umap_input"], users.obsm["X_umap"])
    assert list(joined.uns["leiden_input_colors"]) == ["#000000", "#ffffff"]
    assert "leiden_colors" not in joined.uns
    assert (joined.uns["log1p_input"], joined.uns["log1p"]) == ({"base": 2}, {})


def test_equal_columns_are_not_doubled(joined):
    assert "library_size_input" not in joined.obs


def test_inputs_are_unchanged(users):
    before = users.copy()
    assemble(users, *results(users))
    pd.testing.assert_frame_equal(users.obs, before.obs)
    assert set(users.uns) == set(before.uns)
    assert set(users.obsm) == set(before.obsm)


def test_other_cells_are_an_error(users):
    normalized, latents, clusters, annotation = results(users)
    with pytest.raises(InputError, match="the result of cluster has 600 cells"):
        assemble(users, normalized, latents, clusters[::-1], annotation)
    strange = clusters.copy()
    strange.obs_names = [f"x{name}" for name in strange.obs_names]
    with pytest.raises(InputError, match="among them 'x"):
        assemble(users, normalized, latents, strange, annotation)


def test_other_genes_are_an_error(users):
    normalized, latents, clusters, annotation = results(users)
    latents["m"].var_names = [f"x{name}" for name in latents["m"].var_names]
    with pytest.raises(InputError, match="not among the 300 genes"):
        assemble(users, normalized, latents, clusters, annotation)


def write_inputs(folder, users):
    normalized, latents, clusters, annotation = results(users)
    users.write_h5ad(folder / "counts.h5ad")
    parts = {
        "normalized": normalized,
        "latent": latents["m"],
        "clusters": clusters,
        "annotation": annotation,
    }
    for name, part in parts.items():
        if name == "latent":
            part.uns["scpress"]["verdict"].pop("why")
        if name == "clusters":
            part.uns["scpress"]["cluster"].pop("tried")
        part.write_h5ad(folder / f"{name}.h5ad")


def argv(folder, *more):
    paths = ("counts", "normalized", "clusters", "annotation")
    flags = [word for name in paths for word in (f"--{name}", str(folder / f"{name}.h5ad"))]
    return [
        "assemble",
        *flags,
        "--latents",
        str(folder / "latent.h5ad"),
        "--output",
        str(folder / "scpress.h5ad"),
        *more,
    ]


def test_verb_streams_what_the_step_makes_and_scanpy_uses_it(tmp_path, users, joined, monkeypatch):
    write_inputs(tmp_path, users)
    monkeypatch.setattr(settings, "chunk_bytes", 20_000)
    # numba refuses another number of threads once scanpy has used it in this process.
    assert main(argv(tmp_path, "--threads", str(numba.config.NUMBA_NUM_THREADS))) == 0
    written = sc.read_h5ad(tmp_path / "scpress.h5ad")
    assert (written.X != joined.X).nnz == 0
    assert (written.layers["counts"] != joined.layers["counts"]).nnz == 0
    pd.testing.assert_frame_equal(written.obs, joined.obs)
    assert list(written.var) == list(joined.var)

    sc.pl.umap(written, color=["leiden", "cell_type", written.var_names[0]], show=False)
    sc.tl.rank_genes_groups(written, "leiden", method="wilcoxon")
    sc.pp.neighbors(written, use_rep="X_m")
    sc.tl.dendrogram(written, "leiden", use_rep="X_m")
    written.write_h5ad(tmp_path / "again.h5ad")
    again = sc.read_h5ad(tmp_path / "again.h5ad")
    assert (again.X != joined.X).nnz == 0


def test_denoised_layer_needs_a_model(tmp_path, users, capsys):
    write_inputs(tmp_path, users)
    assert main(argv(tmp_path, "--denoised-layer")) == 2
    assert "--model-file" in capsys.readouterr().err
    assert not (tmp_path / "scpress.h5ad").exists()


def test_denoised_layer_is_the_model_s(tmp_path, users):
    import torch

    from scpress.config.options import TrainOptions
    from scpress.model.axes import resolve_config
    from scpress.model.fitted import TrainedModel
    from scpress.model.network import CountAutoencoder
    from scpress.steps.denoise import denoise

    write_inputs(tmp_path, users)
    genes = list(users.var_names[::2])
    torch.manual_seed(0)
    network = CountAutoencoder(resolve_config(TrainOptions(), n_genes=len(genes))).eval()
    model = TrainedModel(network, genes, genes, float(np.median(users.obs["library_size"])))
    model.save(tmp_path / "model.safetensors")
    more = ("--denoised-layer", "--model-file", str(tmp_path / "model.safetensors"))
    assert main(argv(tmp_path, *more)) == 0
    layer = sc.read_h5ad(tmp_path / "scpress.h5ad").layers["denoised"]
    assert np.isnan(layer[:, 1::2]).all()
    np.testing.assert_allclose(layer[:, ::2], denoise(users, None, model).X, rtol=1e-5)


def test_twice_the_same_model_is_an_error(tmp_path, users, capsys):
    write_inputs(tmp_path, users)
    entry = str(tmp_path / "latent.h5ad")
    flags = argv(tmp_path)
    at = flags.index(entry)
    assert main([*flags[:at], entry, *flags[at:]]) == 2
    assert "two latents are of model 'm'" in capsys.readouterr().err


def test_a_latent_without_a_name_is_an_error(tmp_path, users, capsys):
    write_inputs(tmp_path, users)
    ad.AnnData(obs=users.obs[[]]).write_h5ad(tmp_path / "latent.h5ad")
    assert main(argv(tmp_path)) == 2
    assert "does not say its model" in capsys.readouterr().err
