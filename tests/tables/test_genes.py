"""The table of a choice of genes is read as it was written, and chooses one that it compared."""

import pytest

from scpress.errors import InputError
from scpress.tables.genes import GenesCandidate, GenesChoice

CHOICE = GenesChoice(
    model="m",
    seed=0,
    n_cells=9,
    n_all=40,
    n_folds=2,
    chosen=20,
    flavor="deviance",
    max_genes=30,
    candidates=(
        GenesCandidate(
            n_genes=20, flavor="deviance", share=0.5, loss=5.0, difference=0.1, error=0.2
        ),
        GenesCandidate(
            n_genes=30, flavor="seurat_v3", share=0.7, loss=4.9, difference=0.0, error=0.0
        ),
    ),
    left_out=(40,),
)


def test_a_choice_is_read_as_it_was_written():
    assert GenesChoice.from_plain(CHOICE.as_plain(), "x") == CHOICE


@pytest.mark.parametrize("change", [{"chosen": 30}, {"flavor": "seurat_v3"}])
def test_what_is_chosen_was_compared(change):
    with pytest.raises(InputError, match=r"x chooses .* no candidate\. .*`scpress genes` again"):
        GenesChoice.from_plain(CHOICE.as_plain() | change, "x")
