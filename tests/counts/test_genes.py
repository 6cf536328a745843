"""Names of genes: ids, symbols, mitochondrial and ribosomal ones."""

import numpy as np
import pandas as pd
import pytest

from scpress.counts.genes import (
    MITOCHONDRIAL_IDS,
    RIBOSOMAL_IDS,
    find_ids_and_symbols,
    is_gene_id,
    is_mitochondrial,
    is_ribosomal,
    without_version,
)


def test_versions():
    assert without_version("ENSG00000198888.2") == "ENSG00000198888"
    assert without_version("ENSG00000182378.14_PAR_Y") == "ENSG00000182378.14_PAR_Y"
    assert without_version("AC000.1") == "AC000.1"


def test_ids_are_told_from_symbols():
    names = ["ENSG00000198888", "ENSMUSG00000064341.1", "mm10_ENSMUSG00000064341", "MT-ND1", "ENSA"]
    assert list(is_gene_id(names)) == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("index", "columns", "ids", "symbols"),
    [
        (["A", "B"], {}, ["", ""], ["A", "B"]),
        (["ENSG00000000001", "ENSG00000000002"], {}, None, ["", ""]),
        (["A", "B"], {"gene_ids": ["x1", "x2"]}, ["x1", "x2"], ["A", "B"]),
        (["x", "y"], {"Accession": ["i", "j"], "Gene": ["A", "B"]}, ["i", "j"], ["A", "B"]),
        (["A", "B"], {"gene_ids": ["", ""]}, ["", ""], ["A", "B"]),
        (["A", "B"], {"gene_ids": [None, "x2"]}, ["", "x2"], ["A", "B"]),
    ],
)
def test_ids_and_symbols_come_from_columns_or_the_index(index, columns, ids, symbols):
    found = find_ids_and_symbols(pd.DataFrame(columns, index=index))
    assert list(found[0]) == (index if ids is None else ids)
    assert list(found[1]) == symbols


def test_mitochondrial_by_symbol_or_id_human_and_mouse():
    ids = ["", "", "ENSG00000198888.2", "ENSMUSG00000064341", "ENSG00000000003", ""]
    symbols = ["MT-CO1", "mt-Nd1", "", "", "TSPAN6", "MT1A"]
    assert list(is_mitochondrial(ids, symbols)) == [True, True, True, True, False, False]
    assert len(MITOCHONDRIAL_IDS) == 26


def test_ribosomal_by_symbol_or_human_id():
    ids = ["", "", "ENSG00000198034.1", "", "", ""]
    symbols = ["RPS4X", "Rpl13a", "", "RPS6KA1", "RPL34-AS1", "RPN1"]
    expected = [True, True, True, False, False, False]
    np.testing.assert_array_equal(is_ribosomal(ids, symbols), expected)
    assert len(RIBOSOMAL_IDS) == 87
