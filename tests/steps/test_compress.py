"""The compression table of a small network, and its honesty."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scpress import slots
from scpress.cli import main
from scpress.config.options import CompressOptions, TrainOptions
from scpress.counts.sizes import library_sizes
from scpress.errors import InputError
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder
from scpress.steps.compress import compress
from scpress.tables.compression import Compression
from scpress.tables.training import TrainingRecord

OPTIONS = CompressOptions(pca_ranks=(2, 5), nmf_ranks=(2,))


def inputs(simulated, *, library="observed", batch_key=None, n_latent=4):
    """Normalized, latent and an untrained network."""
    options = TrainOptions(
        preset="scvi", hidden=(8,), n_latent=n_latent, library=library, batch_key=batch_key
    )
    genes = list(simulated.var_names[::2])
    batches = tuple(sorted(simulated.obs[batch_key].unique())) if batch_key else ()
    config = resolve_config(options, n_genes=len(genes), batches=batches)
    torch.manual_seed(0)
    sizes = library_sizes(simulated.X)
    model = TrainedModel(
        CountAutoencoder(config).eval(),
        genes,
        genes,
        float(np.median(sizes)),
        validation_cells=np.arange(0, 600, 10),
        record=TrainingRecord(seed=7, n_training_cells=540, n_validation_cells=60),
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
    text = json.dumps(result.as_plain(), allow_nan=False)
    assert Compression.from_plain(json.loads(text), "x") == result
    assert (result.n_cells, result.n_genes, result.n_latent) == (600, 150, 4)
    assert result.seed == 7
    assert result.nominal.ratio == 150 / 4


def test_bytes_add_up(result):
    part = result.with_decoder
    parts = ("latent_bytes", "decoder_bytes", "gene_bytes", "library_bytes")
    assert part.total_bytes == sum(getattr(part, name) for name in parts)
    assert part.ratio == pytest.approx(result.stored.counts_bytes / part.total_bytes)
    # 4 x 8 + 8 x 150 x 2 heads and theta, float32, hardly compressible.
    assert part.decoder_bytes > 8000
    assert result.stored.all_genes_bytes_per_cell > result.stored.counts_bytes_per_cell


def test_break_even_is_where_the_lines_cross(result):
    part, stored = result.with_decoder, result.stored
    n = part.break_even_cells
    fixed = part.decoder_bytes + part.gene_bytes
    cell = (part.latent_bytes + part.library_bytes) / 600
    assert fixed + n * cell <= n * stored.counts_bytes_per_cell
    assert fixed + (n - 1) * cell > (n - 1) * stored.counts_bytes_per_cell


def test_precision_rows_shrink_and_stay_close(result):
    rows = result.precision
    assert [row.precision for row in rows] == ["float32", "float16", "int8"]
    sizes = [row.latent_bytes for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    assert rows[0].neighbor_recall_float32 == rows[0].ari_float32 == 1
    assert rows[2].neighbor_recall_float32 > 0.8
    assert rows[2].nll == pytest.approx(rows[0].nll, rel=1e-2)
    assert rows[0].nll_held_out is not None
    assert rows[0].nll_held_out != rows[0].nll


def test_rivals_are_at_most_as_large_and_pca_beats_an_untrained_network(result):
    model, pca, mean = result.rivals
    assert model.code == "m"
    assert pca.total_bytes <= model.total_bytes
    assert pca.n_latent == result.same_bytes_rank
    assert pca.deviance_explained > max(0.05, model.deviance_explained)
    assert mean.deviance_explained == pytest.approx(0, abs=1e-6)
    assert mean.total_bytes < pca.total_bytes


def test_curve_grows_with_rank(result):
    explained = [row.deviance_explained for row in result.curve]
    assert explained == sorted(explained)
    assert {2, 5} <= {row.n_latent for row in result.curve}


def test_library_by_size_factor_and_subsample_of_stated_size(simulated):
    normalized, latent, model = inputs(simulated, library="size_factor")
    options = CompressOptions(pca_ranks=(2,), rivals=False, precisions=("int8",), max_cells=200)
    result = compress(simulated, normalized, latent, model, name="m", options=options)
    assert (result.n_cells, result.n_scored_cells) == (600, 200)
    assert [row.precision for row in result.precision] == ["float32", "int8"]


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
    argv = ["compress", "--model", "m", "--pca-ranks", "2", "5", "--nmf-ranks", "2"]
    code = main(argv + [word for k, path in paths.items() for word in (f"--{k}", str(path))])
    assert code == 0
    assert json.loads((tmp_path / "c.json").read_text()) == result.as_plain()


def test_every_stored_tensor_has_its_bytes_and_all_are_counted(result):
    tensors = result.tensors
    assert set(tensors) == {"latent", "decoder", "genes", "library"}
    # What the scvi preset decodes with, by the names of the network.
    hidden = [f"decoder.{part}" for part in ("linear.0.weight", "linear.0.bias")]
    norm = [f"decoder.norm.0.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    heads = [f"{head}.{part}" for head in ("eta", "pi_logits") for part in ("weight", "bias")]
    assert set(hidden + norm + heads + ["log_theta"]) <= set(tensors["decoder"])
    assert list(tensors["library"]) == ["total"]
    whole = {
        "latent": result.with_decoder.latent_bytes,
        "decoder": result.with_decoder.decoder_bytes,
        "genes": result.with_decoder.gene_bytes,
        "library": result.with_decoder.library_bytes,
    }
    for part, size in whole.items():
        # A zip archive has two headers with the name of each tensor, and an end.
        names = sum(76 + 2 * len(name) + 8 for name in tensors[part])
        assert sum(tensors[part].values()) + names <= size
        assert size <= sum(tensors[part].values()) + 2 * names + 30


def test_a_batch_of_the_model_is_stored_and_counted(simulated):
    batched, latent, model = inputs(simulated, batch_key="batch")
    result = compress(simulated, batched, latent, model, name="m", options=OPTIONS)
    assert set(result.tensors["library"]) == {"total", "batch"}
    plain = compress(simulated, *inputs(simulated), name="m", options=OPTIONS)
    assert result.with_decoder.library_bytes > plain.with_decoder.library_bytes
    assert result.with_decoder.total_bytes > plain.with_decoder.total_bytes


def test_bytes_are_divided_by_all_cells_and_scores_by_those_measured(simulated, result):
    normalized, latent, model = inputs(simulated)
    options = CompressOptions(pca_ranks=(2, 5), rivals=False, max_cells=200)
    sampled = compress(simulated, normalized, latent, model, name="m", options=options)
    assert sampled.with_decoder == result.with_decoder
    first, second = result.stored, sampled.stored
    assert first.counts_bytes == second.counts_bytes
    assert first.latent_bytes_per_cell == second.latent_bytes_per_cell
    # All genes are stored for the scored cells alone, and divided by those.
    assert second.all_genes_bytes_per_cell == pytest.approx(first.all_genes_bytes_per_cell, rel=0.1)
    for code, same in zip(result.curve[:2], sampled.curve[:2], strict=True):
        assert code.bytes_per_cell == same.bytes_per_cell
        assert code.deviance_explained != same.deviance_explained
    for code in (*sampled.rivals, *sampled.precision, *sampled.curve):
        assert code.bytes_per_cell == code.total_bytes / 600


def test_scored_cells_are_decoded_with_their_own_library(simulated):
    normalized, latent, model = inputs(simulated)
    options = CompressOptions(pca_ranks=(2,), rivals=False, max_cells=200)
    result = compress(simulated, normalized, latent, model, name="m", options=options)
    rows = np.sort(np.random.default_rng(0).choice(600, size=200, replace=False))
    sizes = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy()[rows]
    cells = model.cells(simulated.X[rows][:, ::2].tocsr(), sizes / model.median_library_size)
    nll = -model.log_likelihood(cells, latent.obsm["X_m"][rows])
    assert result.precision[0].nll == pytest.approx(nll.mean(), rel=1e-6)
    is_held_out = np.isin(rows, model.validation_cells)
    assert result.precision[0].nll_held_out == pytest.approx(nll[is_held_out].mean(), rel=1e-6)


def test_rivals_have_the_names_the_page_draws_them_by(result):
    assert [code.code for code in result.rivals] == ["m", "PCA", "gene mean x size factor"]
    assert {code.code for code in result.curve} == {"PCA"}
    assert {code.code for code in result.precision} == {"model"}


def test_the_counts_that_are_compared_with_are_compressed(simulated, result):
    # Stored without compression, int32 values and columns alone take 8 bytes a molecule's gene.
    nonzeros = simulated.X[:, ::2].nnz
    assert result.stored.counts_bytes < 0.6 * 8 * nonzeros


def names_of(result):
    return list(dict.fromkeys((code.code, code.n_latent) for code in result.held_out.codes))


def test_codes_are_scored_on_molecules_of_the_held_out_cells(result, simulated):
    held_out = result.held_out
    assert names_of(result) == [
        ("m", 4),
        ("gene mean x size factor", 0),
        ("PCA", 2),
        ("PCA", 5),
        ("NMF", 2),
    ]
    assert (held_out.n_coded_cells, held_out.n_cells) == (600, 60)
    molecules = simulated.X[np.arange(0, 600, 10)][:, ::2].sum()
    assert held_out.n_molecules == pytest.approx(molecules / 5, rel=0.02)
    best = {
        name: max(c.unseen_deviance_explained for c in held_out.codes if c.code == name)
        for name, _ in names_of(result)
    }
    # Three types are planted; the network was not trained.
    assert best["PCA"] > 0.05
    assert best["NMF"] > 0.05
    assert best["m"] < best["PCA"]


def test_nothing_is_fitted_to_the_held_out_cells(simulated, result):
    normalized, latent, model = inputs(simulated)
    changed = simulated.copy()
    X = changed.X.tolil()
    # Another world in the held-out cells: what is fitted, and so its bytes, is as before.
    for row in model.validation_cells:
        X[row] = X[row][:, ::-1]
    changed.X = X.tocsr()
    other = compress(changed, normalized, latent, model, name="m", options=OPTIONS)
    for before, after in zip(result.held_out.codes, other.held_out.codes, strict=True):
        assert before.shared_bytes == after.shared_bytes
        assert before.code != "PCA" or before != after
    assert result.held_out.digest != other.held_out.digest


def test_the_same_model_at_other_sizes_is_on_the_curve(simulated, result):
    normalized, latent, model = inputs(simulated)
    others = [inputs(simulated, n_latent=n)[2] for n in (2, 8)]
    options = CompressOptions(n_latents=(8, 2), rivals=False)
    both = compress(simulated, normalized, latent, model, name="m", options=options, others=others)
    assert names_of(both) == [("m", 4), ("m", 2), ("m", 8)]
    assert both.held_out.digest == result.held_out.digest
    n = len(both.held_out.codes) // 3
    assert both.held_out.codes[:n] == result.held_out.codes[:n]
    sizes = [both.held_out.codes[i * n].bytes_per_cell for i in (1, 0, 2)]
    assert sizes == sorted(sizes)


def test_models_of_other_sizes_than_asked_or_of_other_cells_are_an_error(simulated):
    normalized, latent, model = inputs(simulated)
    other = inputs(simulated, n_latent=2)[2]
    options = CompressOptions(n_latents=(3,))
    with pytest.raises(InputError, match="n_latents is 3 and the other models have 2; give"):
        compress(simulated, normalized, latent, model, name="m", options=options, others=[other])
    with pytest.raises(InputError, match="is 3 and the other models have none"):
        compress(simulated, normalized, latent, model, name="m", options=options)
    other.validation_cells = np.arange(5)
    options = CompressOptions(n_latents=(2,))
    with pytest.raises(InputError, match="model of 2 latent dimensions was trained on other"):
        compress(simulated, normalized, latent, model, name="m", options=options, others=[other])


def test_without_held_out_cells_there_are_no_unseen_molecules(simulated, caplog):
    normalized, latent, model = inputs(simulated)
    model.record = TrainingRecord(seed=7, n_training_cells=5, n_validation_cells=60)
    options = CompressOptions(pca_ranks=(2,))
    with caplog.at_level("INFO", logger="scpress"):
        result = compress(simulated, normalized, latent, model, name="m", options=options)
    assert result.held_out is None
    assert "no cells were held out" in caplog.text
