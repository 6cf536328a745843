"""Names of genes: ids, symbols, mitochondrial and ribosomal ones."""

import numpy as np
import pandas as pd
import pytest

from scpress.counts.genes import (
    MITOCHONDRIAL_IDS,
    RIBOSOMAL_IDS,
    find_ids_and_symbols,
    find_name_columns,
    is_mitochondrial,
    is_ribosomal,
    tell_ids_from_symbols,
    without_version,
)
from scpress.counts.names import is_gene_id


def test_versions():
    assert without_version("ENSG00000198888.2") == "ENSG00000198888"
    assert without_version("ENSG00000182378.14_PAR_Y") == "ENSG00000182378.14_PAR_Y"
    assert without_version("AC000.1") == "AC000.1"
    # Another gene, and a gene without a version.
    assert without_version("ENSMUSG00000064341.11") == "ENSMUSG00000064341"
    assert without_version("ENSG00000198888") == "ENSG00000198888"
    assert without_version("ENSG00000198888.") == "ENSG00000198888."
    assert without_version("") == ""


@pytest.mark.parametrize(
    ("index", "columns", "ids", "symbols"),
    [
        (["A", "B"], {}, ["", ""], ["A", "B"]),
        (["ENSG00000000001", "ENSG00000000002"], {}, None, ["", ""]),
        (["A", "B"], {"gene_ids": ["x1", "x2"]}, ["x1", "x2"], ["A", "B"]),
        (["x", "y"], {"Accession": ["i", "j"], "Gene": ["A", "B"]}, ["i", "j"], ["A", "B"]),
        (["A", "B"], {"gene_ids": ["", ""]}, ["", ""], ["A", "B"]),
        (["A", "B"], {"gene_ids": [None, "x2"]}, ["", "x2"], ["A", "B"]),
        # A column of any other name, if it holds ids, and an index that holds both.
        (
            ["A", "B"],
            {"n": [1, 2], "x": ["ENSG00000000001", "ENSG00000000002"]},
            ["ENSG00000000001", "ENSG00000000002"],
            ["A", "B"],
        ),
        (["A", "B", "C"], {"x": ["ENSG00000000001", "", None]}, [""] * 3, ["A", "B", "C"]),
        (
            ["MT-ND1_ENSG00000000001", "B_ENSG00000000002"],
            {},
            ["ENSG00000000001", "ENSG00000000002"],
            ["MT-ND1", "B"],
        ),
        (
            ["a_ENSG00000000001", "b_ENSG00000000002"],
            {"symbol": ["A", "B"]},
            ["ENSG00000000001", "ENSG00000000002"],
            ["A", "B"],
        ),
        # The first of the usual names that says anything.
        (["A", "B"], {"gene_ids": ["n", "n"], "gene_id": ["x", "y"]}, ["x", "y"], ["A", "B"]),
        (["A", "B"], {"gene_id": ["", ""], "ensembl": ["x", "y"]}, ["x", "y"], ["A", "B"]),
        # Half of the names are ids: of an index of symbols. More than half: of one of ids.
        (["ENSG00000000001", "B"], {}, ["", ""], ["ENSG00000000001", "B"]),
        (
            ["ENSG00000000001", "ENSG00000000002", "ERCC-1"],
            {},
            ["ENSG00000000001", "ENSG00000000002", ""],
            ["", "", "ERCC-1"],
        ),
        (
            ["ENSG00000000001", "ENSG00000000002"],
            {"gene_symbols": ["A", None]},
            None,
            ["A", ""],
        ),
    ],
)
def test_ids_and_symbols_come_from_columns_or_the_index(index, columns, ids, symbols):
    found = find_ids_and_symbols(pd.DataFrame(columns, index=index))
    assert list(found[0]) == (index if ids is None else ids)
    assert list(found[1]) == symbols


def test_a_table_without_genes_has_no_ids():
    ids, symbols = find_ids_and_symbols(pd.DataFrame(index=[]))
    assert len(ids) == len(symbols) == 0


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
    assert all(is_gene_id(list(RIBOSOMAL_IDS | MITOCHONDRIAL_IDS)))


@pytest.mark.parametrize(
    ("symbol", "mitochondrial", "ribosomal"),
    [
        ("MT-ND6", True, False),
        ("Mt-co1", True, False),
        ("MT", False, False),
        ("MTRNR2L1", False, False),
        ("AMT-1", False, False),
        ("RPS6", False, True),
        ("RPS6KB2", False, False),
        ("Rps6ka3", False, False),
        ("RPS19", False, True),
        ("RPS19BP1", False, False),
        ("RPLP0", False, True),
        ("RPSA", False, True),
        ("RPL36A-HNRNPH2", False, False),
        ("MRPL1", False, False),
        ("MRPS6", False, False),
    ],
)
def test_names_near_a_rule(symbol, mitochondrial, ribosomal):
    assert is_mitochondrial([""], [symbol]) == [mitochondrial]
    assert is_ribosomal([""], [symbol]) == [ribosomal]


def test_one_set_of_ids_is_not_the_other():
    ids = ["ENSG00000198888", "ENSG00000198034", "ENSG00000198034.9", "ENSMUSG00000064370.1"]
    names = [""] * 4
    assert list(is_mitochondrial(ids, names)) == [True, False, False, True]
    assert list(is_ribosomal(ids, names)) == [False, True, True, False]


E10, E11 = "ENSG00000000010", "ENSG00000000011"


@pytest.mark.parametrize(
    ("first", "second", "ids", "symbols"),
    [
        ([E10, E11], ["A", "B"], [E10, E11], ["A", "B"]),
        (["A", "B"], None, ["", ""], ["A", "B"]),
        (["A", "A"], None, ["", ""], ["A", "A"]),
        (["A", "B"], ["A", "B"], ["", ""], ["A", "B"]),
        # Symbols made unique beside symbols as they are: what is given is kept.
        (["A", "B", "B-1"], ["A", "B", "B"], ["", "", ""], ["A", "B", "B"]),
        (["A", "A"], ["x", "y"], ["", ""], ["x", "y"]),
        (["A", "B"], [E10, E11], [E10, E11], ["A", "B"]),
        ([E10, E11], [E10, E11], [E10, E11], ["", ""]),
        ([E10, E11, "GFP"], [E10, E11, "GFP"], [E10, E11, "GFP"], ["", "", "GFP"]),
        ([E10 + ".3", E11 + ".1"], None, [E10 + ".3", E11 + ".1"], ["", ""]),
        (["ENSMUST00000000010.4"], None, ["ENSMUST00000000010.4"], [""]),
        # Ids of other makers: numbers, locus tags.
        (["574405", "574404"], ["Pwwp4b", "Pwwp4a"], ["574405", "574404"], ["Pwwp4b", "Pwwp4a"]),
        (["AT1G01010", "AT1G01020"], ["NAC001", "ARV1"], None, ["NAC001", "ARV1"]),
        (["x", "y"], ["", ""], ["", ""], ["x", "y"]),
        # Both in one name, whichever comes first; names that hold one stay.
        ([E10 + "_MT-ND1", E11 + "_B_1"], None, [E10, E11], ["MT-ND1", "B_1"]),
        (["MT-ND1|" + E10, "B|" + E11, "GFP"], None, [E10, E11, ""], ["MT-ND1", "B", "GFP"]),
        ([E10 + " A", E11 + " B"], ["Gene Expression"] * 2, [E10, E11], ["A", "B"]),
        (["A-" + E10 + ".2", "B-" + E11], ["", ""], [E10 + ".2", E11], ["A", "B"]),
        # One word at all ids is a genome.
        (["hg19_" + E10, "hg19_" + E11] * 2, None, ["hg19_" + E10, "hg19_" + E11] * 2, [""] * 4),
    ],
)
def test_a_column_of_ids_is_told_from_one_of_symbols(first, second, ids, symbols):
    second = None if second is None else np.array(second, dtype=object)
    found = tell_ids_from_symbols(np.array(first, dtype=object), second)
    assert list(found[0]) == (first if ids is None else ids)
    assert list(found[1]) == symbols


def test_columns_of_names_are_given_as_they_stand():
    var = pd.DataFrame({"gene_ids": ["A", "B"]}, index=["x", "y"])
    ids, symbols = find_name_columns(var)
    assert (list(ids), list(symbols)) == (["A", "B"], ["x", "y"])
