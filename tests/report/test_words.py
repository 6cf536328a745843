"""Numbers in words: the right number of the noun, and nearly none is not none."""

import pandas as pd
import pytest

from scpress.report.words import count, genes_of, join, sentence, share


@pytest.mark.parametrize(
    ("part", "whole", "says", "in_tenths"),
    [
        (0, 100, "0%", "0.0%"),
        (16, 3500, "<1%", "0.5%"),
        (1, 3500, "<1%", "<0.1%"),
        (1, 200, "<1%", "0.5%"),
        (1, 2000, "<1%", "<0.1%"),
        (6, 1000, "1%", "0.6%"),
        (1, 8, "12%", "12.5%"),
        (3499, 3500, ">99%", ">99.9%"),
        (199, 200, ">99%", "99.5%"),
        (7, 7, "100%", "100.0%"),
        (0, 0, "0%", "0.0%"),
    ],
)
def test_none_and_all_are_said_of_none_and_all_alone(part, whole, says, in_tenths):
    assert share(part, whole) == says
    assert share(part, whole, 1) == in_tenths


def test_nouns_and_lists_follow_their_number():
    assert [count(n, "cell") for n in (0, 1, 12_345)] == ["0 cells", "1 cell", "12,345 cells"]
    assert [join(list(names)) for names in ("", "a", "ab", "abc")] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_genes_without_a_symbol_are_shown_by_their_names():
    table = pd.DataFrame({"gene": ["g1", "g2", "g3"], "gene_symbol": ["CD4", "", None]})
    assert genes_of(table).tolist() == ["CD4", "g2", "g3"]
    assert genes_of(table.iloc[:0]).tolist() == []


def test_a_sentence_begins_with_a_capital_and_is_else_as_it_was():
    assert [sentence(text) for text in ("no IL2.", "3 cells.", "")] == ["No IL2.", "3 cells.", ""]
