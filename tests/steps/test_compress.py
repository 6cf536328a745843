"""The compression table of a small network, and its honesty."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scpress import slots
from scpress.cli import main
from scpress.compression.decoder import StoredDecoder, library_arrays
from scpress.config.options import CompressOptions, TrainOptions
from scpress.counts.sizes import library_sizes
from scpress.errors import InputError
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.steps.compress import compress

OPTIONS = CompressOptions(pca_ranks=(2, 5))


def inputs(simulated, *, library="observed"):
    """Counts, normalized, latent and an untrained network with the answer of a linear fit."""
    options = TrainOptions(preset="scvi", hidden=(8,), n_latent=4, library=library)
    genes = list(simulated.var_names[::2])
    config = resolve_config(options, n_genes=len(genes))
    torch.manual_seed(0)
    sizes = library_sizes(simulated.X)
    model = TrainedModel(
        CountAutoencoder(config).eval(),
        genes,
        genes,
        float(np.median(sizes)),
        validation_cells=np.arange(0, 600, 10),
        record={"seed": 7, "n_training_cells": 540, "n_validation_cells": 60},
    )
    normalized = ad.AnnData(
        obs=pd.DataFrame({slots.LIBRARY_SIZE.name: sizes}, index=simulated.obs_names)
    )
    cells = model.cells(simulated.X[:, ::2].tocsr(), sizes / np.median(sizes))
    z, _ = model.encode(cells)
    latent = ad.AnnData(obs=pd.DataFrame(index=simulated.obs_names), obsm={"X_m": z})
    return normalized, latent, model


@pytest.fixture(scope="module")
def result(simulated):
    normalized, latent, model = inputs(simulated)
    return compress(simulated, normalized, latent, model, name="m", options=OPTIONS)


def test_result_is_json_and_names_what_it_is_of(result):
    json.dumps(result, allow_nan=False)
    assert (result["n_cells"], result["n_genes"], result["n_latent"]) == (600, 150, 4)
    assert result["seed"] == 7
    assert result["nominal"]["ratio"] == 150 / 4


def test_bytes_add_up(result):
    part = result["with_decoder"]
    parts = ("latent_bytes", "decoder_bytes", "gene_bytes", "library_bytes")
    assert part["total_bytes"] == sum(part[name] for name in parts)
    assert part["ratio"] == pytest.approx(result["stored"]["counts_bytes"] / part["total_bytes"])
    # 4 x 8 + 8 x 150 x 2 heads and theta, float32, hardly compressible.
    assert part["decoder_bytes"] > 8000
    assert result["stored"]["all_genes_bytes_per_cell"] > result["stored"]["counts_bytes_per_cell"]


def test_break_even_is_where_the_lines_cross(result):
    part, stored = result["with_decoder"], result["stored"]
    n = part["break_even_cells"]
    fixed = part["decoder_bytes"] + part["gene_bytes"]
    cell = (part["latent_bytes"] + part["library_bytes"]) / 600
    assert fixed + n * cell <= n * stored["counts_bytes_per_cell"]
    assert fixed + (n - 1) * cell > (n - 1) * stored["counts_bytes_per_cell"]


def test_precision_rows_shrink_and_stay_close(result):
    rows = result["precision"]
    assert [row["precision"] for row in rows] == ["float32", "float16", "int8"]
    sizes = [row["latent_bytes"] for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    assert rows[0]["neighbor_recall_float32"] == rows[0]["ari_float32"] == 1
    assert rows[2]["neighbor_recall_float32"] > 0.8
    assert rows[2]["nll"] == pytest.approx(rows[0]["nll"], rel=1e-2)
    assert rows[0]["nll_held_out"] is not None
    assert rows[0]["nll_held_out"] != rows[0]["nll"]


def test_rivals_are_at_most_as_large_and_pca_beats_an_untrained_network(result):
    model, pca, mean = result["rivals"]
    assert model["code"] == "m"
    assert pca["total_bytes"] <= model["total_bytes"]
    assert pca["n_latent"] == result["same_bytes_rank"]
    assert pca["deviance_explained"] > max(0.05, model["deviance_explained"])
    assert mean["deviance_explained"] == pytest.approx(0, abs=1e-6)
    assert mean["total_bytes"] < pca["total_bytes"]


def test_curve_grows_with_rank(result):
    explained = [row["deviance_explained"] for row in result["curve"]]
    assert explained == sorted(explained)
    assert {2, 5} <= {row["n_latent"] for row in result["curve"]}


def test_library_by_size_factor_and_subsample_of_stated_size(simulated):
    normalized, latent, model = inputs(simulated, library="size_factor")
    options = CompressOptions(pca_ranks=(2,), precisions=("int8",), max_cells=200)
    result = compress(simulated, normalized, latent, model, name="m", options=options)
    assert (result["n_cells"], result["n_scored_cells"]) == (600, 200)
    assert [row["precision"] for row in result["precision"]] == ["float32", "int8"]


def test_zero_inflation_lowers_the_expected_counts(simulated):
    _, latent, model = inputs(simulated)
    data = ModelledCounts(simulated.X[:5, ::2].tocsr(), np.ones(5))
    z = latent.obsm["X_m"][:5]
    decoder = StoredDecoder(model, model.decoder_state(), library_arrays(model, data), data)
    mu = model.mean_counts(data.cells_of(model), z)
    assert (decoder.expected_counts(z, 0, 5) < mu).all()


def test_decoder_uses_the_weights_it_was_given(simulated):
    _, latent, model = inputs(simulated)
    data = ModelledCounts(simulated.X[:5, ::2].tocsr(), np.ones(5))
    z = latent.obsm["X_m"][:5]
    library = library_arrays(model, data)
    same = StoredDecoder(model, model.decoder_state(), library, data)
    np.testing.assert_array_equal(
        same.negative_log_likelihood(z), -model.log_likelihood(data.cells_of(model), z)
    )
    zeros = {name: np.zeros_like(value) for name, value in model.decoder_state().items()}
    other = StoredDecoder(model, zeros, library, data)
    assert (other.negative_log_likelihood(z) != same.negative_log_likelihood(z)).all()


def test_other_cells_are_an_error(simulated):
    normalized, latent, model = inputs(simulated)
    with pytest.raises(InputError, match="normalized 599"):
        compress(simulated, normalized[1:], latent, model, name="m", options=OPTIONS)


def test_another_gene_list_is_an_error(simulated):
    normalized, latent, model = inputs(simulated)
    with pytest.raises(InputError, match="another gene list"):
        compress(simulated[:, 10:], normalized, latent, model, name="m", options=OPTIONS)


def test_verb_reads_from_disk_and_writes_the_same(tmp_path, simulated, result):
    normalized, latent, model = inputs(simulated)
    simulated.copy().write_h5ad(tmp_path / "counts.h5ad")
    normalized.write_h5ad(tmp_path / "normalized.h5ad")
    latent.write_h5ad(tmp_path / "latent.h5ad")
    model.save(tmp_path / "model.safetensors")
    paths = {name: tmp_path / f"{name}.h5ad" for name in ("counts", "normalized", "latent")}
    paths |= {"model-file": tmp_path / "model.safetensors", "output": tmp_path / "c.json"}
    argv = ["compress", "--model", "m", "--pca-ranks", "2", "5"]
    code = main(argv + [word for k, path in paths.items() for word in (f"--{k}", str(path))])
    assert code == 0
    assert json.loads((tmp_path / "c.json").read_text()) == result
