import dataclasses

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions
from scpress.donors.features import log_counts, log_ratios
from scpress.donors.views import Cells, Redrawn, known_types, make_view, pseudobulk_of
from scpress.slots import LATENT, UNASSIGNED
from scpress.steps.cohort import cohort
from scpress.tables.cohort import cohort_record

TYPES = ("B", "T")


@pytest.fixture(scope="module")
def made():
    """Four donors of 40 cells of two types and a rare third, with a latent."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"donor": [f"d{one % 4}" for one in range(160)]})
    obs["cell_type"] = np.array(["B", "T"])[rng.integers(0, 2, 160)]
    obs.loc[:3, "cell_type"] = "rare"
    obs.index = obs.index.astype(str)
    counts = ad.AnnData(sparse.csr_matrix(rng.poisson(3.0, (160, 6))), obs=obs)
    latent = ad.AnnData(obs=obs[[]], obsm={LATENT.of("nb"): rng.normal(size=(160, 2))})
    donors = cohort(
        counts, latent=latent, options=CohortOptions(min_cells=1, min_type_cells=5), model="nb"
    )
    unit = obs["donor"].str[1:].astype(int).to_numpy()
    cell_type = pd.Categorical(obs["cell_type"]).codes.astype(int)
    cells = Cells(counts.X, unit, cell_type, latent.obsm[LATENT.of("nb")])
    return donors, cells


def view_of(donors, name):
    return make_view(donors, cohort_record(donors), name, TYPES)


def test_views_are_of_common_types_and_named(made):
    donors, _ = made
    composition = view_of(donors, "composition")
    assert composition.features == list(TYPES)
    expected = log_ratios(donors.obsm["type_cells"][list(TYPES)].to_numpy())
    np.testing.assert_allclose(composition.matrix.toarray(), expected)
    pseudobulk = view_of(donors, "pseudobulk")
    assert pseudobulk.features[:2] == ["B: 0", "B: 1"]
    expected = np.hstack([log_counts(donors.layers[f"counts_{x}"]).toarray() for x in TYPES])
    np.testing.assert_allclose(pseudobulk.matrix.toarray(), expected)
    unnamed = donors.copy()
    unnamed.var["gene_symbol"] = ["", "CD4", "", "", "", ""]
    assert view_of(unnamed, "pseudobulk").features[:2] == ["B: 0", "B: CD4"]
    latent = view_of(donors, "latent")
    assert latent.features == ["B: 1", "B: 2", "T: 1", "T: 2"]
    np.testing.assert_allclose(latent.matrix.toarray()[:, 2:], donors.obsm["X_nb_T"])


def test_counts_are_of_types_that_each_donor_has_enough_cells_of(made):
    donors = made[0].copy()
    record = cohort_record(donors)
    rows = np.array([0, 2, 3])
    assert known_types(donors, record, rows) == TYPES
    values, names = pseudobulk_of(donors, record, rows)
    assert values.shape == (3, len(names)) == (3, 12)
    donors.obsm["type_cells"].loc["d2", "B"] = record.min_type_cells - 1
    assert known_types(donors, record, rows) == ("T",)
    assert known_types(donors, record, np.array([0, 3])) == TYPES
    unnamed = dataclasses.replace(record, types=("B", UNASSIGNED, "rare"))
    assert known_types(donors, unnamed, np.array([0, 3])) == ("B",)


def test_without_types_or_latents_there_is_less(made):
    donors = made[0].copy()
    all_cells = make_view(donors, cohort_record(donors), "pseudobulk", ())
    np.testing.assert_allclose(all_cells.matrix.toarray(), log_counts(donors.X).toarray())
    donors.obsm["type_cells"] = donors.obsm["type_cells"] * [1, 0, 0]
    assert view_of(donors, "composition") is None
    donors.uns["scpress"]["cohort"]["model"] = ""
    assert view_of(donors, "latent") is None


@pytest.mark.parametrize("name", ["composition", "pseudobulk", "latent"])
def test_cells_are_drawn_within_their_donor(made, name):
    donors, cells = made
    view = view_of(donors, name)
    columns = np.arange(view.matrix.shape[1])[1:]
    rng = np.random.default_rng(0)
    redrawn = Redrawn(donors, cohort_record(donors), cells, n_draws=60, rng=rng)
    assert redrawn.kind == "cells"
    found = np.array([one.toarray() for one in redrawn.redraw(view, columns)])
    was = view.matrix.toarray()[:, columns]
    assert found.shape == (60, *was.shape)
    spread = found.std(axis=0)
    assert (spread > 0).all()
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - was), spread)


def test_cells_all_drawn_once_are_the_donors_themselves(made):
    donors, cells = made
    redrawn = Redrawn(donors, cohort_record(donors), cells, n_draws=1, rng=np.random.default_rng(0))
    redrawn._drawn[:] = 1
    for name in ("composition", "pseudobulk", "latent"):
        view = view_of(donors, name)
        (found,) = redrawn.redraw(view, np.arange(view.matrix.shape[1]))
        np.testing.assert_allclose(found.toarray(), view.matrix.toarray(), atol=1e-9)


def test_without_cells_molecules_are_drawn_and_no_latent(made):
    donors, _ = made
    rng = np.random.default_rng(0)
    redrawn = Redrawn(donors, cohort_record(donors), None, n_draws=60, rng=rng)
    assert redrawn.kind == "molecules"
    assert redrawn.redraw(view_of(donors, "latent"), np.arange(4)) == []
    for name in ("composition", "pseudobulk"):
        view = view_of(donors, name)
        columns = np.arange(view.matrix.shape[1])
        found = np.array([one.toarray() for one in redrawn.redraw(view, columns)])
        spread = found.std(axis=0)
        assert (spread > 0).all()
        np.testing.assert_array_less(np.abs(found.mean(axis=0) - view.matrix.toarray()), spread)


def test_donors_of_one_cell_have_no_cells_to_draw(made):
    donors, cells = made[0].copy(), made[1]
    donors.obsm["type_cells"].iloc[:] = [[1, 0, 0]] * 4
    redrawn = Redrawn(donors, cohort_record(donors), cells, n_draws=1, rng=np.random.default_rng(0))
    assert redrawn.kind == "molecules"
