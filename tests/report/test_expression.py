"""Counts of genes on the page, decoded again, are the counts of the cells that are drawn."""

import base64

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpress.report import expression
from scpress.report.expression import collect_genes, pack, to_gaps


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).astype(int)


def counts_of(genes, number, n_cells):
    """As the page's script: one cell after the other."""
    counts, place, molecules = (
        np.zeros(n_cells, dtype=int),
        -1,
        iter(unpacked(genes["counts"][number])),
    )
    for gap in unpacked(genes["gaps"][number]):
        place += gap
        if gap < 255:
            counts[place] = next(molecules)
    assert next(molecules, None) is None
    return counts


@given(st.sets(st.integers(0, 2000)))
def test_gaps_lead_back_to_the_places(places):
    places = np.array(sorted(places), dtype=np.int64)
    found, at = [], -1
    for gap in unpacked(pack(to_gaps(places))):
        at += gap
        found += [at] if gap < 255 else []
    assert found == places.tolist()


def test_counts_of_every_gene_are_those_of_the_cells(full):
    full.cells.layers["counts"][3, 0] = 300
    full.cells.var["highly_variable"] = True
    rows = np.arange(0, full.cells.n_obs, 3)
    genes = collect_genes(full, rows)
    label = dict(zip(full.gene_labels(), range(full.cells.n_vars), strict=True))
    assert len(genes["names"]) == full.cells.n_vars
    for number, name in enumerate(genes["names"]):
        column = label[name] if name in label else full.cells.var_names.get_loc(name[7:-1])
        own = full.cells.layers["counts"][rows][:, [column]].toarray().ravel()
        np.testing.assert_array_equal(counts_of(genes, number, len(rows)), np.minimum(own, 255))
    # Two genes of one symbol are two.
    assert sum(name.startswith("TWICE (Sym") for name in genes["names"]) == 2
    # With the size factor they are the values of X.
    value = np.log1p(counts_of(genes, 0, len(rows)) / np.array(genes["size_factor"]))
    name = genes["names"][0]
    column = label[name] if name in label else full.cells.var_names.get_loc(name[7:-1])
    np.testing.assert_allclose(value, full.cells.X[rows][:, [column]].toarray().ravel(), rtol=2e-3)


def test_markers_come_first_and_genes_end_where_the_page_is_full(full, monkeypatch):
    rows = np.arange(full.cells.n_obs)
    everything = collect_genes(full, rows)
    assert everything["n_genes"] == full.cells.n_vars
    first = full.markers.groupby("group", sort=False)["gene_symbol"].first()
    shown = [name.split(" (")[0] for name in everything["names"]]
    assert set(shown[: len(first)]) == set(first)
    sizes = np.cumsum(
        [len(a) + len(b) for a, b in zip(everything["gaps"], everything["counts"], strict=True)]
    )
    monkeypatch.setattr(expression, "_MAX_CHARACTERS", int(sizes[4]))
    assert collect_genes(full, rows)["names"] == everything["names"][:5]
    monkeypatch.setattr(expression, "_MAX_CHARACTERS", int(sizes[4]) - 1)
    assert len(collect_genes(full, rows)["names"]) == 4


@pytest.mark.parametrize("missing", ["counts", "size_factor"])
def test_without_counts_no_gene_is_offered(full, missing):
    if missing == "counts":
        del full.cells.layers["counts"]
    else:
        del full.cells.obs["size_factor"]
    assert collect_genes(full, np.arange(3)) is None


def test_without_markers_the_modelled_genes_are_offered(full):
    full.markers, full.subtype_markers = None, pd.DataFrame()
    genes = collect_genes(full, np.arange(full.cells.n_obs))
    assert len(genes["names"]) == full.cells.var["highly_variable"].sum()
