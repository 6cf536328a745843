import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions, DonorSubtypesOptions
from scpress.config.simulation import SimulateOptions
from scpress.errors import InputError
from scpress.steps.cohort import cohort
from scpress.steps.donor_subtypes import donor_subtypes, with_subtypes
from scpress.steps.simulate import simulate

WORDS = {"n_rotations": 99, "n_permutations": 19, "n_resamples": 3, "n_features": 100}
OPTIONS = DonorSubtypesOptions(max_subtypes=3, type_key="label", **WORDS)
SMALL = {"n_cells": 1200, "n_genes": 120, "n_types": 2, "n_donors": 24, "n_batches": 2}


@pytest.fixture(scope="module")
def planted():
    """Cells of 24 donors of two kinds, who die at different times, and their cohort."""
    words = {"donor_subtype_effect": "expression", "donor_genes": 20}
    cells = simulate(SimulateOptions(**SMALL, **words, mean_library_size=1000.0), seed=0)
    donors = cohort(cells, options=CohortOptions(type_key="label", min_cells=1))
    rng = np.random.default_rng(0)
    is_first = (donors.obs["true_donor_kind"] == "kind1").to_numpy()
    donors.obs["days"] = rng.exponential(np.where(is_first, 1.0, 6.0))
    donors.obs["dead"] = 1
    donors.obs["age"] = rng.normal(50, 9, 24)
    donors.obs["age_input"] = donors.obs["age"]
    return cells, donors


TIMED = DonorSubtypesOptions(**vars(OPTIONS) | {"time_key": "days", "event_key": "dead"})


@pytest.fixture(scope="module")
def found(planted):
    cells, donors = planted
    return donor_subtypes(donors, TIMED, counts=cells)


def test_planted_kinds_are_the_subtypes_and_all_goes_with_them(planted, found):
    table, record = found
    assert record.verdict == "2 donor subtypes of 12, 12 donors, by pseudobulk."
    truth = planted[1].obs["true_donor_kind"]
    assert len({*zip(record.donor_subtype, truth, strict=True)}) == 2
    assert {view.name: view.redrawn for view in record.views}["pseudobulk"] == "cells"
    assert record.views[1].types == ("type1", "type2")
    composition = record.views[0]
    assert (composition.name, composition.is_supported) == ("composition", False)
    by = {(one.of, one.column): one for one in record.associations}
    kinds = by["donor_subtype", "true_donor_kind"]
    assert kinds.effect == pytest.approx(1)
    assert kinds.fdr < 0.05
    assert by["donor_subtype", "age"].test == "Kruskal-Wallis"
    assert by["pseudobulk: component 1", "days"].test == "Cox"
    assert by["pseudobulk: component 1", "days"].fdr < 0.05
    assert {of.partition(":")[0] for of, _ in by} == {"donor_subtype", "composition", "pseudobulk"}
    # What was taken off, what the times are and what another says is no column of its own.
    assert {column for _, column in by} == {"condition", "true_donor_kind", "age", "days"}
    assert record.survival.log_rank_p < 0.01
    assert [one.n_donors for one in record.survival.curves] == [12, 12]
    assert table["donor"].tolist() == list(record.donor)
    assert table["donor_subtype_confidence"].between(0, 1).all()


def test_the_same_seed_is_the_same_record(planted, found):
    cells, donors = planted
    assert donor_subtypes(donors, TIMED, counts=cells)[1] == found[1]


def test_latents_are_a_view_whose_cells_are_drawn_anew(planted):
    cells, donors = planted
    rng = np.random.default_rng(0)
    is_first = (cells.obs["true_donor_kind"] == "kind1").to_numpy()
    points = rng.normal(size=(1200, 4)) + 3.0 * is_first[:, None]
    latent = ad.AnnData(obs=cells.obs[[]], obsm={"X_nb": points})
    options = CohortOptions(type_key="label", min_cells=1)
    donors = cohort(cells, latent=latent, options=options, model="nb")
    asked = DonorSubtypesOptions(**vars(OPTIONS) | {"views": ("latent",)})
    _, record = donor_subtypes(donors, asked, counts=cells, latent=latent)
    assert (record.view, record.views[0].redrawn) == ("latent", "cells")
    _, record = donor_subtypes(donors, asked)
    assert record.view == ""
    assert record.views[0].reason.startswith("cells could not be drawn anew")


def test_the_cohort_carries_its_subtypes(planted, found):
    donors = planted[1].copy()
    donors.obs["donor_subtype"] = "mine"
    made = with_subtypes(donors, found[0])
    assert made.obs["donor_subtype"].tolist() == found[0]["donor_subtype"].tolist()
    assert set(made.obs["donor_subtype_input"]) == {"mine"}
    assert "pseudobulk_group" in made.obs
    assert donors.obs["donor_subtype"].tolist() == ["mine"] * 24


def bulk(values, **columns):
    obs = pd.DataFrame({"donor": [f"d{one:02d}" for one in range(len(values))], **columns})
    obs.index = obs["donor"].to_numpy()
    cells = ad.AnnData(sparse.csr_matrix(values), obs=obs)
    return cohort(cells, options=CohortOptions(type_key=None, min_cells=1, min_type_cells=1))


def test_bulk_samples_of_one_kind_have_no_subtypes():
    values = np.random.default_rng(0).poisson(50.0, (20, 30))
    table, record = donor_subtypes(bulk(values), OPTIONS)
    assert record.verdict == "no supported donor subtypes."
    assert set(table["donor_subtype"]) == {"all"}
    assert record.confidence is None
    assert table["donor_subtype_confidence"].isna().all()
    assert (record.view, record.survival) == ("", None)
    assert [view.name for view in record.views] == ["pseudobulk"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"max_subtypes": 1}, "max_subtypes is 1, and a grouping has two or more"),
        (
            {"covariates": ("weight",)},
            "covariates names 'weight', and the donors have batch",
        ),
        ({"batch_key": "empty"}, "'empty' is missing for 1 of 24 donors, 'donor1' the first"),
        ({"covariates": ("many",)}, "are 24 columns, too many to be taken off 24 donors"),
        ({"time_key": "days"}, "event_key names None"),
        ({"time_key": "late", "event_key": "dead"}, "times are numbers of 0 and more; found -1"),
        ({"time_key": "days", "event_key": "twice"}, "events are 1 where one was seen.*found 2"),
        ({"time_key": "condition", "event_key": "dead"}, "holds 'c.*' and not a number"),
        ({"views": ("latent",)}, "all 24 donors are alike in latent, or the cohort has none"),
    ],
)
def test_what_cannot_be_asked_is_one_line(planted, words, line):
    donors = planted[1].copy()
    donors.obs = donors.obs.assign(late=-1.0, twice=2, many=donors.obs_names, empty="a")
    donors.obs.loc["donor1", "empty"] = None
    with pytest.raises(InputError, match=line):
        donor_subtypes(donors, DonorSubtypesOptions(**vars(OPTIONS) | words))


@pytest.mark.parametrize("n", [1, 5])
def test_few_donors_are_one_line(planted, n):
    with pytest.raises(InputError, match=f"{n} donors?, and subtypes are looked for among 6"):
        donor_subtypes(planted[1][:n].copy(), OPTIONS)


def test_donors_who_are_alike_are_one_line():
    with pytest.raises(InputError, match="all 8 donors are alike in composition, pseudobulk, lat"):
        donor_subtypes(bulk(np.full((8, 5), 3)), OPTIONS)


def test_what_is_no_count_is_one_line(planted):
    donors = planted[1].copy()
    donors.X = donors.X * 0.5
    with pytest.raises(InputError, match="whole numbers of 0 and more; found"):
        donor_subtypes(donors, OPTIONS)


def test_parts_of_donors_have_no_subtypes(planted):
    donors = planted[1].copy()
    donors.uns = {"scpress": {"cohort": dict(donors.uns["scpress"]["cohort"], split_by="time")}}
    with pytest.raises(InputError, match="donors are divided by 'time'"):
        donor_subtypes(donors, OPTIONS)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda cells: cells[:-1], "1200 cells of types type1, type2, found 1199 of type1, type2"),
        (lambda cells: cells[:, :-1], "counts"),
    ],
)
def test_cells_of_another_cohort_are_one_line(planted, change, line):
    cells, donors = planted
    with pytest.raises(InputError, match=line):
        donor_subtypes(donors, OPTIONS, counts=change(cells).copy())
