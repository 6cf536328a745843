"""Cells of a run named by labelled ones: the other direction of `transfer`, and by genes alone."""

import numpy as np
import pytest
from builders import brief_options, normalized_of
from scipy import sparse

from scpress.cells.reference import LinearNames
from scpress.config.transfer import ReferenceOptions
from scpress.errors import InputError
from scpress.steps import reference as step
from scpress.steps.reference import reference, reference_by_model
from scpress.steps.train import train
from scpress.tables.transfer import ReferenceRecord


@pytest.fixture(scope="module")
def named(_shared_simulated):
    """A run of three types, the third of which the labelled cells lack."""
    counts = _shared_simulated.adata
    is_run = np.arange(counts.n_obs) % 2 == 0
    run = counts[is_run].copy()
    labelled = counts[~is_run & (counts.obs["label"] != "type3").to_numpy()].copy()
    labelled.obs["cell_type_input"] = labelled.obs["label"].astype(str)
    normalized = normalized_of(run)
    options = brief_options(hidden=(16,), n_latent=3, max_steps=300, allow_failed_fit=True)
    model, _ = train(run, normalized, options, seed=0, device="cpu")
    given = ReferenceOptions(max_steps=20)
    return run, reference(run, normalized, labelled, model, given, source="atlas"), labelled, model


def test_known_types_are_named_and_another_is_unassigned(named):
    run, found, labelled, _ = named
    truth = run.obs["label"].astype(str).to_numpy()
    cells = found.obs["cell_type"].astype(str).to_numpy()
    is_named = cells != "unassigned"
    assert (cells[is_named] == truth[is_named]).mean() > 0.97
    assert is_named[truth != "type3"].mean() > 0.6
    assert (cells[truth == "type3"] == "unassigned").mean() > 0.9
    record = ReferenceRecord.from_plain(found.uns["scpress"]["reference"], "x")
    assert record.source == "atlas"
    assert record.n_unlike == (cells == "unassigned").sum()
    assert sum(record.type_sizes) == labelled.n_obs
    assert (found.obs_names == run.obs_names).all()


def test_no_such_column_is_one_line(named):
    run, _, labelled, model = named
    with pytest.raises(InputError, match="labels_column 'own' is not in obs"):
        reference(run, None, labelled, model, ReferenceOptions(labels_column="own"))


def linear(genes):
    weights = np.array([[1.0, -1, 0], [-1, 1, 0]])
    return LinearNames(("a", "b"), genes, weights, np.zeros(2), np.zeros(3), np.ones(3))


def test_a_model_of_genes_names_by_them(simulated, monkeypatch):
    counts = simulated[:100].copy()
    genes = counts.var_names[:2].tolist()
    counts.var["gene_symbol"] = counts.var_names
    X = counts.X.tolil()
    X[:50, 0], X[:50, 1], X[50:, 0], X[50:, 1] = 9, 0, 0, 9
    counts.X = sparse.csr_matrix(X)
    monkeypatch.setattr(step, "_BLOCK_CELLS", 30)
    found = reference_by_model(counts, linear((*genes, "absent")), source="m.pkl")
    assert found.obs["cell_type"].tolist() == ["a"] * 50 + ["b"] * 50
    assert found.obs["cell_type_confidence"].min() > 0.9
    assert "reference_p" not in found.obs
    record = ReferenceRecord.from_plain(found.uns["scpress"]["reference"], "x")
    assert (record.n_missing_genes, record.held_out_rate) == (1, None)
    with pytest.raises(InputError, match=r"'m.pkl' knows 3 genes .*another species"):
        reference_by_model(counts, linear(("x", "y", "z")), source="m.pkl")
