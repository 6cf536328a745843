import numpy as np
import pytest

from scpress.config.cohort import ClassifyOptions, CohortOptions
from scpress.config.simulation import SimulateOptions
from scpress.donors.design import compare
from scpress.errors import InputError
from scpress.steps.classify import classify, features_of
from scpress.steps.cohort import cohort
from scpress.steps.simulate import simulate
from scpress.tables.classification import Classification
from scpress.tables.cohort import cohort_record

OPTIONS = ClassifyOptions(
    condition_key="condition", levels=("control", "case"), n_permutations=20, n_repeats=2
)


@pytest.fixture(scope="module")
def donors():
    words = {"n_cells": 1200, "n_genes": 60, "n_types": 2, "n_donors": 16, "donor_genes": 10}
    options = SimulateOptions(**words, condition_effect="expression", n_batches=2)
    return cohort(simulate(options, seed=0), options=CohortOptions(type_key="label"))


def test_planted_genes_tell_the_condition_and_covariates_do_not(donors):
    weights, record = classify(donors, OPTIONS)
    views = {one.name: one for one in record.views}
    assert list(views) == ["covariates", "composition", "pseudobulk", "components"]
    for name in ("pseudobulk", "components"):
        assert views[name].auc_low > 0.5
        assert views[name].p_value == pytest.approx(1 / 21)
        assert views[name].brier < 0.1
    assert views["covariates"].auc_low < 0.5
    assert record.majority_accuracy == 0.5
    best = views["pseudobulk"]
    assert best.balanced_accuracy == best.accuracy > 0.8
    assert best.balanced_accuracy_low < best.balanced_accuracy
    (curve,) = best.curves
    assert (curve.condition, curve.auc) == ("case", best.auc)
    assert np.mean(curve.cases) == pytest.approx(best.auc, abs=0.005)
    assert sum(best.calibration.n) == 16
    assert Classification.from_plain(record.as_plain(), "it") == record
    heaviest = weights[weights["view"] == "pseudobulk"].head(10)
    assert heaviest["feature"].str.startswith("type1: ").all()
    assert (heaviest["share_of_folds"] == 1).all()
    cases = np.array(record.condition) == 1
    assert np.mean(np.array(best.probability)[cases, 1]) > 0.8
    assert (heaviest["condition"] == "case").all()


def test_several_conditions_are_told_each_from_the_others(donors):
    made = donors.copy()
    # A third kind, of some of both: nothing tells it from them.
    kinds = made.obs["condition"].astype(str).to_numpy().copy()
    kinds[::4] = "other"
    made.obs["kind"] = kinds
    options = ClassifyOptions(
        **vars(OPTIONS)
        | {"condition_key": "kind", "levels": (), "views": ("pseudobulk",), "n_repeats": 1}
    )
    weights, record = classify(made, options)
    assert record.levels == ("case", "control", "other")
    view = record.views[-1]
    assert [one.condition for one in view.curves] == list(record.levels)
    areas = [one.auc for one in view.curves]
    assert min(areas[:2]) > 0.7
    assert view.auc == pytest.approx(np.mean(areas))
    np.testing.assert_allclose(np.sum(view.probability, axis=1), 1)
    assert view.accuracy > record.majority_accuracy
    assert set(weights["condition"]) == set(record.levels)
    one_less = ClassifyOptions(**vars(options) | {"levels": ("other", "case")})
    assert len(classify(made, one_less)[1].unit) < len(record.unit)


def test_the_same_seed_gives_the_same_numbers(donors):
    options = ClassifyOptions(**vars(OPTIONS) | {"views": ("composition",)})
    assert classify(donors, options)[1] == classify(donors, options)[1]


def test_a_type_that_a_unit_lacks_is_no_feature(donors):
    made = donors.copy()
    made.obsm["type_cells"].iloc[0, 1] = 3
    record = cohort_record(made)
    comparison = compare(made.obs, record, OPTIONS)
    values, names = features_of(made, record, comparison, "pseudobulk")
    assert values.shape == (16, 60)
    assert all(name.startswith("type1: ") for name in names)


def test_a_latent_that_all_donors_trained_is_refused():
    with pytest.raises(InputError, match="views cannot be 'latent': a latent that all donors"):
        ClassifyOptions(views=("latent",))


def test_sites_are_held_out_as_a_whole(donors):
    made = donors.copy()
    made.obs["site"] = [f"s{one // 4}" for one in range(16)]
    options = ClassifyOptions(**vars(OPTIONS) | {"views": ("pseudobulk",), "group_key": "site"})
    record = classify(made, options)[1]
    assert (record.held_out, record.n_folds) == ("site", 4)
    made.obs["site"] = np.where(made.obs["condition"] == "case", "s1", "s2")
    with pytest.raises(InputError, match="'control' in 1 of 'site'; to hold these out"):
        classify(made, options)
