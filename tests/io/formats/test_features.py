"""Features that are genes, and what is said of the others."""

import numpy as np
import pytest

from scpress.errors import InputError
from scpress.io.formats.features import are_types, find_genes

FIRST = np.array(["ENSG00000000001", "ENSG00000000002", "CD3"], dtype=object)
SECOND = np.array(["A", "B", "CD3"], dtype=object)


def test_types_are_known_by_the_words_of_10x_in_any_case(tmp_path):
    assert are_types(["Gene Expression", "Negative Control Probe"])
    assert are_types(["gene expression"])
    assert are_types(["Peaks"])
    assert not are_types(["protein_coding", "lncRNA"])
    assert not are_types(["1", "X"])
    types = np.array(["gene expression", "GENE EXPRESSION", "antibody capture"], dtype=object)
    var, target, messages = find_genes(FIRST, SECOND, types, None, tmp_path)
    assert list(var.index) == list(FIRST[:2])
    assert list(var["gene_symbol"]) == ["A", "B"]
    assert list(target) == [0, 1, -1]
    assert messages == ["1 of type antibody capture set aside; 2 of type Gene Expression kept"]


def test_other_words_are_no_types(tmp_path):
    biotypes = np.array(["protein_coding"] * 3, dtype=object)
    var, target, messages = find_genes(FIRST, SECOND, biotypes, None, tmp_path)
    assert len(var) == 3
    assert list(target) == [0, 1, 2]
    assert messages == ["no feature has a type of 10x's (protein_coding): all are taken as genes"]


def test_features_without_genes_are_refused(tmp_path):
    types = np.array(["Peaks"] * 3, dtype=object)
    with pytest.raises(InputError, match="no features of type Gene Expression; found Peaks"):
        find_genes(FIRST, SECOND, types, None, tmp_path)


@pytest.mark.parametrize("word", ["", " ", "Gene Expre", "gene"])
def test_a_type_that_was_cut_off_is_damage(tmp_path, word):
    ids = np.array(["ENSG1", "ENSG2"], dtype=object)
    types = np.array(["Gene Expression", word], dtype=object)
    with pytest.raises(InputError, match=f"the type of feature 'ENSG2' is '{word}', where others"):
        find_genes(ids, None, types, None, tmp_path)
    # Words of nobody's are as they were.
    for other in ("Gene Expression of mine", "Multiplexing Cap"):
        types[1] = other
        assert f"1 of type {other} set" in find_genes(ids, None, types, None, tmp_path)[2][0]
