"""What the page says of programs: their genes, how sure they are, and what moves the panel."""

import base64
import json
import re

import numpy as np
import pytest

from scpress.config.options import ReportOptions
from scpress.errors import InputError
from scpress.report import programs as module
from scpress.report.page import build_report
from scpress.report.programs import programs_section

MANY = 1000


@pytest.fixture
def section(full):
    return programs_section(full, max_cells=MANY)


def test_a_table_has_the_genes_of_each_program(section, full):
    names = list(full.programs.uns["scpress"]["programs"]["program"])
    rows = section["dimensions"] + section["pairs"]
    assert len(rows) == len(names)
    assert [row["label"] for row in section["dimensions"]] == ["z0", "z1", "z2", "z3"]
    genes = full.program_genes
    for name, row in zip(names, rows, strict=True):
        for word in ("rises", "falls"):
            own = genes[(genes["program"] == name) & (genes["change"] == word)]
            assert row[word] == own["gene_symbol"].tolist()
    # A cluster is called as it is everywhere on the page.
    assert any(" · " in row["label"] for row in section["pairs"])
    assert re.match(r"-?\d\.\d\d \(least -?\d\.\d\d\), spanned \d\.\d\d", rows[0]["agreement"])
    assert "spanned" not in section["pairs"][0]["agreement"]


def test_the_panel_has_the_curves_of_listed_genes(section, full):
    for one in section["panel"]["programs"]:
        values = np.array(one["values"])
        assert values.shape == (3, len(one["genes"]))
        assert not values[0].any()
        # Bars go from what rises most to what falls most.
        assert (np.diff(values[-1]) <= 1e-6).all()
    first = section["panel"]["programs"][0]
    rows = full.programs.obs["gene_program"].astype(str) == first["name"]
    symbol = full.programs.var["gene_symbol"].tolist()
    column = symbol.index(first["genes"][0])
    curve = full.programs[rows.to_numpy()].X[:, column]
    np.testing.assert_allclose([row[0] for row in first["values"]], curve, atol=1e-3)
    assert first["places"][1] == "percentile 50"
    assert re.fullmatch(r"percentile 95 \(-?\d+\.\d\d\)", first["places"][2])
    pair = next(one for one in section["panel"]["programs"] if one["kind"] != "Dimensions")
    assert pair["places"] == ["0 % of the way", "50 % of the way", "100 % of the way"]


def test_cells_are_coloured_by_how_far_they_are(section, full):
    z = np.asarray(full.cells.obsm["X_m"])
    leiden = full.cells.obs["leiden"].astype(str).to_numpy()
    panel = section["panel"]["programs"]
    names = list(full.programs.uns["scpress"]["programs"]["program"])
    shown = dict(
        zip(sorted(set(full.program_genes["program"]), key=names.index), panel, strict=True)
    )
    for name, one in shown.items():
        steps = np.frombuffer(base64.b64decode(one["colour"]), dtype=np.uint8)
        values = one["low"] + steps / 255 * (one["high"] - one["low"])
        if name.startswith("z"):
            expected = z[:, int(name[1:])]
        else:
            start, end = (z[leiden == part].mean(axis=0) for part in name.split(" to "))
            expected = (z - start) @ (end - start) / np.square(end - start).sum()
            of_start = values[leiden == name.split(" to ")[0]].mean()
            assert abs(of_start) < 0.1
        expected = np.clip(expected, one["low"], one["high"])
        np.testing.assert_allclose(values, expected, atol=(one["high"] - one["low"]) / 400)


def test_the_page_shows_the_first_genes_of_a_long_list(full, monkeypatch):
    monkeypatch.setattr(module, "_N_SHOWN", 2)
    section = programs_section(full, max_cells=MANY)
    first = full.program_genes[full.program_genes["program"] == "z0"]
    for word in ("rises", "falls"):
        symbols = first[first["change"] == word].sort_values("rank")["gene_symbol"]
        assert section["dimensions"][0][word] == symbols.tolist()[:2]
    assert max(len(one["genes"]) for one in section["panel"]["programs"]) <= 4


def test_what_does_not_fit_is_told(full, monkeypatch):
    monkeypatch.setattr(module, "_MAX_CHARACTERS", 2 * 4 * -(-full.cells.n_obs // 3))
    section = programs_section(full, max_cells=MANY)
    colours = [one["colour"] for one in section["panel"]["programs"]]
    assert section["n_uncoloured"] == colours.count(None) > 0
    assert all(colours[:1])
    assert colours[-1] is None


def test_one_seed_is_said_to_tell_nothing_of_others(full, unlinked):
    record = full.programs.uns["scpress"]["programs"]
    nothing = np.full(len(record["program"]), np.nan)
    few = {"seeds": [0], "agreement": nothing, "least_agreement": nothing, "spanned": nothing}
    full.programs = full.programs.copy()
    full.programs.uns["scpress"] = {"programs": record | few}
    section = programs_section(full, max_cells=MANY)
    assert {row["agreement"] for row in section["dimensions"]} == {"-"}
    page = unlinked(build_report(full, ReportOptions())[0])
    assert "There is one seed, so nothing says whether another would find the same" in page
    assert "agreement with other seeds" not in page


def test_programs_of_other_clusters_are_refused(full):
    leiden = full.cells.obs["leiden"].astype(str)
    full.cells.obs["leiden"] = leiden.where(leiden != "1", "9").astype("category")
    with pytest.raises(InputError, match=r"of clusters '0 to 1', which the cells lack"):
        programs_section(full, max_cells=MANY)


def test_a_table_of_other_genes_is_refused(full):
    full.program_genes = full.program_genes.copy()
    full.program_genes.loc[2, "gene"] = "gene of another run"
    with pytest.raises(InputError, match=r"gene 'gene of another run' of the table of programs"):
        programs_section(full, max_cells=MANY)


def test_without_listed_genes_there_is_no_panel(full):
    full.program_genes = full.program_genes.iloc[:0]
    section = programs_section(full, max_cells=MANY)
    assert section["panel"] is None
    page, _ = build_report(full, ReportOptions())
    assert 'id="program"' not in page
    assert "What the dimensions mean" in page


def test_unasked_there_is_no_section(full):
    full.programs = None
    assert programs_section(full, max_cells=MANY) is None


def test_the_page_says_what_a_dimension_is_not_and_what_was_moved(section, full, unlinked):
    page = unlinked(build_report(full, ReportOptions())[0])
    assert "A latent dimension is not unique" in page
    assert "It is what the model says, and no test." in page
    assert "mean and least of 1 seed;" in page
    text = re.sub(r"\s+", " ", page)
    assert "from its percentile 5 to 95," in text
    assert "listed are changes of 0.25 or more, of genes with 0.5 or more molecules" in text
    data = re.search(r'id="program-data">(.*?)</script>', page, re.S)[1]
    assert json.loads(data) == json.loads(json.dumps(section["panel"]))
