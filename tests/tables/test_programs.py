"""The record of the programs has a row for each, and no agreement where there is one seed."""

import math

import pytest

from scpress.errors import InputError
from scpress.io.rows import read_rows
from scpress.tables.programs import CLUSTERS, DIMENSION, ProgramGene, ProgramsRecord

FOUND = ProgramsRecord(
    model="vae",
    seeds=(3, 4),
    low=5.0,
    high=95.0,
    n_cells=200,
    n_pairs=1,
    min_log2_fold_change=0.25,
    min_expected=0.5,
    is_linear=True,
    program=("z0", "0 to 1"),
    kind=(DIMENSION, CLUSTERS),
    start=(-1.0, 0.0),
    end=(2.0, 3.5),
    largest=(4.0, 1.0),
    agreement=(0.9, -0.1),
    least_agreement=(0.8, -0.2),
    spanned=(0.95, 0.5),
)


def test_a_record_comes_back():
    assert ProgramsRecord.from_plain(FOUND.as_plain(), "x") == FOUND


def test_one_seed_has_no_agreement():
    plain = FOUND.as_plain() | {"agreement": [math.nan, math.nan]}
    assert math.isnan(ProgramsRecord.from_plain(plain, "x").agreement[0])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"agreement": [0.9]}, "columns of unlike lengths"),
        ({"agreement": [0.9, 1.5]}, "'agreement' in x is 1.5"),
        ({"largest": [1.0, -1.0]}, "'largest' in x is -1.0"),
    ],
)
def test_what_cannot_be_is_refused(changed, says):
    with pytest.raises(InputError, match=says):
        ProgramsRecord.from_plain(FOUND.as_plain() | changed, "x")


def test_a_table_of_genes_is_read_by_its_columns(tmp_path):
    path = tmp_path / "programs.tsv"
    head = "program\tkind\tchange\trank\tgene\tgene_symbol\tlog2_fold_change\texpected_start"
    path.write_text(f"{head}\texpected_end\nz0\tdimension\trises\t1\tg1\tNKG7\t1.5\t0.5\t2.0\n")
    (row,) = read_rows(path, ProgramGene).to_dict("records")
    assert (row["gene_symbol"], row["rank"], row["log2_fold_change"]) == ("NKG7", 1, 1.5)
    path.write_text(f"{head}\nz0\tdimension\trises\t1\tg1\tNKG7\t1.5\t0.5\n")
    with pytest.raises(InputError, match=r"lacks expected_end.*scpress programs"):
        read_rows(path, ProgramGene)
