"""Which genome genes and cells are of, and what genes are called without it."""

import numpy as np
import pandas as pd
import pytest
from raw_files import raw_of
from scipy import sparse

from scpress.counts.genomes import choose_genome
from scpress.counts.raw import RawCounts
from scpress.errors import InputError


def test_of_several_genomes_one_must_be_chosen():
    names = ["GRCh38_A", "mm10_a", "GRCh38_MT-CO1", "mm10___mt-Co1"]
    with pytest.raises(
        InputError, match=r"GRCh38 \(2 genes\), mm10 \(2 genes\); .*\. Set `genome`"
    ):
        choose_genome(raw_of(names), None, "file")
    raw = choose_genome(raw_of(names), "mm10", "file")
    assert list(raw.var.index) == ["a", "mt-Co1"]
    found = sparse.vstack(list(raw.chunks())).toarray()
    np.testing.assert_array_equal(found, [[1, 3], [2, 4]])
    raw = choose_genome(raw_of(names), "mm10+GRCh38", "file")
    assert list(raw.var.index) == ["A", "a", "MT-CO1", "mt-Co1"]
    with pytest.raises(InputError, match="no genes of genome 'hg19'; found GRCh38"):
        choose_genome(raw_of(names), "hg19", "file")


def test_one_genome_is_taken_off_names_and_columns_and_none_leaves_all_as_it_is():
    raw = choose_genome(raw_of(["hg19_A", "hg19_B"], gene_name=["hg19_A", "hg19_B"]), None, "file")
    assert list(raw.var.index) == list(raw.var["gene_name"]) == ["A", "B"]
    same = raw_of(["A_B", "hg19_C", "D"], n=[1, 2, 3])
    assert choose_genome(same, None, "file") is same
    with pytest.raises(InputError, match="`genome` 'hg19' has no effect"):
        choose_genome(same, "hg19", "file")


def test_symbols_of_two_species_that_would_meet_keep_their_genome():
    names = ["GRCh38_ACTB", "GRCm38_ACTB"]
    assert list(choose_genome(raw_of(names), "GRCh38+GRCm38", "f").var.index) == names


MIXTURE = ["hg19_A", "hg19_B", "mm10_a", "mm10_b"]
CELLS = [[95, 0, 5, 0], [45, 45, 10, 0], [0, 0, 1, 1], [1, 0, 0, 9], [0, 0, 0, 0]]
SHARES = (
    "more than 90 % of a cell's molecules are of hg19 in 1, of mm10 in 1 and of none in 3 of 5 "
    "cells"
)


def mixture(**obs):
    values = sparse.csr_matrix(CELLS, dtype=np.uint8)
    return RawCounts(
        pd.DataFrame(obs, index=[*"vwxyz"]),
        pd.DataFrame(index=MIXTURE),
        lambda max_bytes: iter([values[:3], values[3:]]),
    )


def test_a_mixture_says_which_genome_each_cell_is_of():
    with pytest.raises(InputError, match=SHARES):
        choose_genome(mixture(), None, "file")
    for genome in ("hg19", "mm10+hg19"):
        raw = choose_genome(mixture(), genome, "file")
        assert raw.messages[0] == SHARES
        # Exactly nine tenths are not more than these, and a cell without molecules is of none.
        assert list(raw.obs["genome"]) == ["hg19", "mixed", "mm10", "mixed", "mixed"]


def test_a_column_of_the_users_stays_and_one_genome_makes_none():
    assert list(choose_genome(mixture(genome=1), "hg19", "f").obs["genome"]) == [1] * 5
    assert "genome" not in choose_genome(raw_of(["hg19_A", "hg19_B"]), "hg19", "f").obs
