import pytest

from scpress.config.cohort import BiomarkersOptions, CohortOptions
from scpress.config.simulation import SimulateOptions
from scpress.errors import InputError
from scpress.steps.biomarkers import biomarkers
from scpress.steps.cohort import cohort
from scpress.steps.simulate import simulate
from scpress.tables.cohort import Biomarker

OPTIONS = BiomarkersOptions(condition_key="condition", levels=("control", "case"), n_resamples=2)


def made(**changes):
    words = {"n_cells": 500, "n_genes": 80, "n_types": 2, "n_donors": 10, "donor_genes": 6}
    cells = simulate(SimulateOptions(**{**words, "donor_fold_change": 4.0, **changes}), seed=0)
    options = CohortOptions(type_key="label", min_cells=5)
    return cells, cohort(cells, options=options)


def test_planted_genes_are_found_in_their_type():
    cells, donors = made(condition_effect="expression", n_batches=2)
    table, record = biomarkers(donors, OPTIONS)
    planted = set(cells.var_names[cells.uns["simulation"]["condition_fold_change"] != 1])
    found = table[table["fdr"] <= 0.05]
    assert set(found.loc[found["cell_type"] == "type1", "gene"]) >= planted
    assert len(found) <= len(planted) + 1
    assert list(table) == list(Biomarker.__dataclass_fields__)
    assert table["gene"].iloc[0] in planted
    assert record.held_constant == ("batch=batch2",)
    assert [one.n_found for one in record.types] == [len(found), 0]
    assert [(one.n_reference, one.n_case) for one in record.types] == [(5, 5)] * 2
    up = cells.uns["simulation"]["condition_fold_change"][cells.var_names.get_indexer(found.gene)]
    assert ((up > 1) == (found["log2_fold_change"] > 0)).all()


def test_a_condition_that_is_a_batch_is_refused():
    _, donors = made(confounded=True, n_batches=2)
    with pytest.raises(InputError, match="coincides with batch 'batch'"):
        biomarkers(donors, OPTIONS)


def test_a_type_that_too_few_donors_have_is_not_tested_and_says_why():
    _, donors = made()
    donors.obsm["type_cells"].iloc[:8, 1] = 2
    table, record = biomarkers(donors, OPTIONS)
    assert set(table["cell_type"]) == {"type1"}
    assert record.types[1].reason == "fewer than 3 donors of a condition have enough cells"
    assert record.types[1].n_genes == 0
