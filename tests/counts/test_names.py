"""What names alone say: ids, genomes, tags, and rows and columns of no gene."""

import numpy as np
import pytest

from scpress.counts.names import (
    are_exchanged,
    are_hashtags,
    find_genomes,
    find_no_cells_by_name,
    find_no_genes_by_name,
    find_rows_of_no_gene,
    is_gene_id,
    split_names,
    without_genome,
)


def test_ids_are_told_from_symbols():
    names = ["ENSG00000198888", "ENSMUSG00000064341.1", "mm10_ENSMUSG00000064341", "MT-ND1", "ENSA"]
    assert list(is_gene_id(names)) == [True, True, True, False, False]
    others = ["FBgn0000001", "WBGene00000001", "ENSG00000182378.14_PAR_Y", "mm10___ENSG00000000001"]
    assert is_gene_id(others).all()
    # A transcript, and an id with more behind it.
    assert not is_gene_id(["ENST00000361390", "ENSG00000198888-AS1", "ENSG0000019888", ""]).any()


def test_names_of_one_kind_are_not_split():
    for names in (
        ["ENSG00000000010", "ENSG00000000011"],
        ["hg19_ENSG00000000010", "hg19_ENSG00000000011"],  # of a genome
        ["A_1", "B_2"],
        ["A_ENSG1", "B_ENSG2"],
        [],
    ):
        assert split_names(np.array(names, dtype=object)) is None


@pytest.mark.parametrize(
    ("prefix", "genome"),
    [("GRCh38_", "GRCh38"), ("mm10___", "mm10"), ("hg19-", "hg19"), ("mm10---", "mm10"),
     ("HUMAN_", "HUMAN"), ("mouse_", "mouse")],
)  # fmt: skip
def test_a_genome_in_front_of_a_symbol_is_found_and_taken_off(prefix, genome):
    names = [prefix + name for name in ("MT-CO1", "HLA-A", "5S_rRNA")]
    assert list(find_genomes([""] * 3, names)) == [genome] * 3
    assert [without_genome(name, genome) for name in names] == ["MT-CO1", "HLA-A", "5S_rRNA"]


def test_no_genome_is_found_in_names_that_only_look_so():
    for names in (
        ["HLA-A", "HLA-B", "HLA-C"],
        ["hg19_A", "B", "C"],  # most must have one
        [f"SYM{i}_ENSG{i:011d}" for i in range(11)],  # a symbol in front of each id
    ):
        assert set(find_genomes(names, names)) == {""}
    ids = [f"custom_ENSG{i:011d}" for i in range(11)]
    assert set(find_genomes(ids, ids)) == {"custom"}


@pytest.mark.parametrize("name", ["no_feature", "_ambiguous", "__too_low_aQual", "not_aligned"])
def test_rows_of_htseq_of_any_version_are_no_genes(name):
    assert list(find_rows_of_no_gene(["A", name])[0]) == [False, True]


def test_spike_ins_are_told_from_genes_that_begin_alike():
    names = ["ERCC-00002", "hg19_ERCC-00002", "SIRV1", "SIRV103", "ERCC1", "SIRVA", "ERCC-2"]
    assert list(find_rows_of_no_gene(names)[1]) == [True] * 4 + [False] * 3


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["MS-1-GGAGAAGA", "MS-2-CCACAATG", "X"], True),
        (["Hashtag1", "Hashtag2"], True),
        (["HTO_A", "HTO-B"], True),
        (["CMO301", "CMO302"], True),
        (["CD3_TotalSeqB", "CD4_TotalSeqB"], True),
        (["B0251_anti-human_Hashtag1"], True),
        (["HLA-A", "MT-CO1"], False),
        (["CMOS", "HTT"], False),
        (["A", "MS-1-GGAGAAGA"], False),
        ([], False),
    ],
)
def test_tags_are_told_by_their_names(names, expected):
    assert are_hashtags(names) == expected


IDS = [f"ENSG{i:011d}" for i in range(20)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["A", "B", "Cell_Type"], ["Cell_Type"]),
        (["batch", "A", "B", "n_genes"], ["batch", "n_genes"]),
        (["A", "1-Mar", "Sep-02", "B"], ["1-Mar", "Sep-02"]),
        ([*"ABCDE", "score"], ["score"]),
        (["score", *"ABCDE"], ["score"]),
        ([*"ABC", "score", *"DE"], []),  # in the middle it may be a gene
        ([*"ABC", "score", "other"], []),
        ([*"ABCDE", "mt-Nd1"], []),
        ([*IDS, "Score"], ["Score"]),
        ([*IDS, "ERCC-00002"], []),
        ([*IDS[:4], *"ABCDEF"], []),
        ([], []),
    ],
)
def test_columns_of_metadata_are_told_by_their_names(names, found):
    assert find_no_genes_by_name(names) == found


BARCODES = ["AAACCCAAGGAGAGTA-1", "s1_AAACGCTTCAGCCCAG"]


def test_what_is_on_the_wrong_axis():
    genes = ["ACTB", "gapdh", "B2M", "X"]
    assert are_exchanged(genes, ["c1", "c2"])
    assert are_exchanged(["c1", "c2"], BARCODES)
    assert are_exchanged(IDS, ["c1"])
    for cells, of_genes in ((BARCODES, genes), (["c1"], genes), (["c1"], ["g1"]), (genes, genes)):
        assert not are_exchanged(cells, of_genes)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["length", *BARCODES, *BARCODES], ["length"]),
        (["length", *BARCODES, *BARCODES, "total"], ["length", "total"]),
        ([*BARCODES, "length", *BARCODES], []),
        (["c1", "c2", "total"], []),
        (BARCODES, []),
        ([], []),
    ],
)
def test_columns_beside_barcodes_are_told(names, found):
    assert find_no_cells_by_name(names) == found
