"""What scvi-tools is given: the counts, codes and covariates of all blocks, in cell order."""

import numpy as np
import pytest
from builders import normalized_of

from scpress import settings
from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder
from scpress.steps import export as step


def model_of(counts, **changes):
    """An untrained model of the variable genes, in another order than the counts have them."""
    normalized = normalized_of(counts, n_genes=50)
    columns = np.flatnonzero(normalized.var["highly_variable"])[::-1]
    options = TrainOptions(**changes)
    batches = () if options.batch_key is None else tuple(counts.obs["batch"].cat.categories)
    config = resolve_config(options, n_genes=50, batches=batches)
    genes = counts.var_names[columns].tolist()
    median = float(np.median(normalized.obs["library_size"]))
    return normalized, columns, TrainedModel(CountAutoencoder(config), genes, genes, median)


@pytest.fixture
def given(monkeypatch):
    """What the step hands to scvi-tools."""
    seen = {}

    def save(model, data, directory):
        seen.update(model=model, data=data, directory=directory)

    monkeypatch.setattr(step, "save_as_scvi", save)
    return seen


@pytest.mark.parametrize("chunk_bytes", [2_000, 10**8])
def test_all_blocks_are_handed_over_in_cell_order(
    simulated, given, monkeypatch, tmp_path, chunk_bytes
):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    counts = simulated.copy()
    counts.obs["depth"] = np.linspace(-1, 3, counts.n_obs)
    normalized, columns, model = model_of(
        counts, batch_key="batch", continuous_covariates=("depth",)
    )
    step.export(counts, normalized, model, tmp_path / "scvi")
    data = given["data"]
    np.testing.assert_array_equal(data.X.toarray(), counts.X[:, columns].toarray())
    np.testing.assert_array_equal(data.batch, counts.obs["batch"].cat.codes)
    np.testing.assert_allclose(data.continuous.ravel(), counts.obs["depth"], rtol=1e-6)
    np.testing.assert_allclose(data.size_factor, normalized.obs["size_factor"])
    assert given["model"] is model
    assert given["directory"] == tmp_path / "scvi"


def test_without_covariates_none_are_made_up(simulated, given, tmp_path):
    normalized, _, model = model_of(simulated, batch_key=None)
    step.export(simulated, normalized, model, tmp_path / "scvi")
    assert given["data"].batch is None
    assert given["data"].continuous is None


def test_a_model_scvi_cannot_be_is_refused_before_any_count_is_read(simulated, given, tmp_path):
    _, _, model = model_of(simulated, preset="dca", batch_key=None)
    with pytest.raises(InputError, match="scvi-tools' SCVI"):
        step.export(None, None, model, tmp_path / "scvi")
    assert not given


def test_cells_without_the_models_genes_are_refused(simulated, given, tmp_path):
    normalized, _, model = model_of(simulated, batch_key=None)
    with pytest.raises(InputError, match="of them are missing"):
        step.export(simulated[:, :40].copy(), normalized, model, tmp_path / "scvi")
    assert not given
