"""Which genes were measured in which cells, and who refuses counts of which some were not."""

import anndata as ad
import numpy as np
import pytest
from builders import panels_of
from scipy import sparse

from scpress.counts.measured import Measured, common_genes, measured_in, require_all_measured
from scpress.errors import InputError


def _counts(table, samples, names):
    counts = ad.AnnData(sparse.csr_matrix(np.ones((len(samples), len(table)), dtype=np.int32)))
    counts.obs["sample"] = samples
    counts.varm["measured"] = np.array(table, dtype=bool)
    counts.uns["scpress"] = {"sample_names": np.array(names)}
    return counts


# Genes x samples; the first two samples measured the same.
TABLE = [[1, 1, 1], [1, 1, 0], [0, 0, 1]]


def test_samples_of_the_same_genes_are_one_set_and_cells_know_theirs():
    measured = measured_in(_counts(TABLE, ["b", "a", "c", "a"], ["a", "b", "c"]))
    assert measured.genes.shape == (2, 3)
    np.testing.assert_array_equal(measured.mask(), np.array(TABLE, dtype=bool).T[[1, 0, 2, 0]])
    np.testing.assert_array_equal(measured.mask(slice(2, 3)), [[True, False, True]])
    assert measured.everywhere.tolist() == [True, False, False]
    assert measured.sums(np.array([1.0, 10.0, 100.0, 1000.0])).tolist() == [1111, 1011, 100]
    assert measured.take(np.array([2])).mask().tolist() == [[True, False, True]]


def test_what_all_of_the_cells_measured_is_no_mask():
    assert measured_in(_counts([[1, 1], [1, 1]], ["a", "b"], ["a", "b"])) is None
    counts = _counts(TABLE[:2], ["a", "b"], ["a", "b", "c"])  # of c there are no cells
    assert measured_in(counts) is None
    measured = measured_in(_counts(TABLE, ["a", "c"], ["a", "b", "c"]))
    assert measured.select(np.array([0])) is None
    absent = measured.select(np.array([0, -1]))
    assert absent.genes.tolist() == [[True, False]] * 2


@pytest.mark.parametrize(
    ("samples", "names", "match"),
    [
        (["a", "d"], ["a", "b", "c"], "is of sample 'd', of which .* it knows a, b, c"),
        (["a", "b"], ["a", "b"], r"is of shape \(3, 3\), and .* names 2 samples"),
    ],
)
def test_a_table_of_other_samples_is_refused(samples, names, match):
    with pytest.raises(InputError, match=match):
        measured_in(_counts(TABLE, samples, names))


def test_molecules_where_nothing_was_measured_are_refused():
    measured = Measured(np.array([[True, False]]), np.zeros(2, dtype=np.int64))
    measured.require_no_others(np.array([[3, 0]]))
    with pytest.raises(InputError, match="1 genes have molecules in samples"):
        measured.require_no_others(np.array([[3, 1]]))


def test_steps_that_count_zeros_take_common_genes_or_refuse(simulated, caplog):
    counts, _ = panels_of(simulated, 60)
    with caplog.at_level("INFO", logger="scpress"):
        assert common_genes(counts, "annotate").sum() == 140
    assert "annotate: 60 of 200 genes were not measured in all samples" in caplog.text
    assert common_genes(simulated, "annotate") is None
    require_all_measured(simulated, "anomaly")
    with pytest.raises(InputError, match=r"`scpress anomaly` takes counts .*; 60 of 200 genes"):
        require_all_measured(counts, "anomaly")


@pytest.mark.parametrize(
    ("module", "step"),
    [
        ("anomaly", "anomaly"),
        ("cohort", "cohort"),
        ("compress", "compress"),
        ("false_signals", "false_signals"),
        ("generate", "generate"),
        ("genes", "choose_genes"),
        ("learning_curve", "learning_curve"),
        ("search", "search"),
    ],
)
def test_each_of_these_refuses_before_it_reads_anything_else(simulated, module, step):
    import importlib
    import inspect

    counts, _ = panels_of(simulated)
    function = getattr(importlib.import_module(f"scpress.steps.{module}"), step)
    parameters = inspect.signature(function).parameters.values()
    named = {
        one.name: None for one in parameters if one.default is one.empty and one.name != "counts"
    }
    with pytest.raises(InputError, match="every sample measured every gene"):
        function(counts, **named)
