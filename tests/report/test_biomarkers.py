"""What the page says and draws of genes that differ between donors."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from scpress.report.biomarkers import biomarkers_section, describe_biomarkers

BETWEEN = "between donors of condition control and case <b>"


def test_what_was_found_is_said_of_each_type_and_nothing_found_is_an_answer(donors):
    record = donors["biomarkers"]
    name = record.types[0].cell_type
    assert describe_biomarkers(record) == f"Genes that differ {BETWEEN} (FDR 0.05): 2 in {name}."
    none = [dataclasses.replace(one, n_found=0) for one in record.types]
    assert describe_biomarkers(dataclasses.replace(record, types=tuple(none))) == (
        f"No gene was found that differs {BETWEEN} in any of 2 types (FDR 0.05)."
    )
    rare = dataclasses.replace(record, types=record.types[2:])
    assert describe_biomarkers(rare) == f"No gene could be tested {BETWEEN}: too few donors."
    empty = dataclasses.replace(record, types=())
    assert describe_biomarkers(empty).endswith(": there is no type.")


def section_of(donors, **changes):
    words = donors | changes
    return biomarkers_section(words["biomarkers"], words["biomarker_genes"])


def test_tables_and_effects_are_of_genes_that_were_found(donors):
    section = section_of(donors)
    genes = donors["biomarker_genes"]
    assert [row[4:] for row in section["types"]["rows"]] == [
        ["2", "tested"],
        ["0", "tested"],
        ["-", "too few donors"],
    ]
    assert section["n_found"] == section["n_listed"] == section["n_effects"] == 2
    assert [row[1] for row in section["genes"]["rows"]] == ["Sym0 <i>", "Sym1 <i>"]
    unnamed = genes.assign(gene_symbol=genes["gene_symbol"].where(genes.index > 0, ""))
    rows = section_of(donors, biomarker_genes=unnamed)["genes"]["rows"]
    assert [row[1] for row in rows] == [genes["gene"][0], "Sym1 <i>"]
    assert section["genes"]["rows"][0][3]["range"] == "± 0.59"
    (trace,) = section["effects"]["data"]
    highest = genes.head(2)["log2_fold_change"].sort_values(ascending=False)
    assert trace["x"] == pytest.approx(highest.tolist(), abs=1e-4)
    assert trace["error_x"]["array"] == pytest.approx([1.959964 * 0.3] * 2, abs=1e-3)


def test_each_type_has_both_plots_and_what_is_left_out_is_counted(donors):
    first, second = section_of(donors)["figures"]
    assert (first["said"], second["said"]) == ("2 of 30 genes found", "0 of 30 genes found")
    others, found = first["volcano"]["data"]
    assert (len(others["x"]), found["y"]) == (28, [9.0, 5.0])
    # All that is above the line was found.
    assert first["volcano"]["layout"]["shapes"][0]["y0"] == 5.0
    assert "shapes" not in second["volcano"]["layout"]
    others, found = first["difference"]["data"]
    genes = donors["biomarker_genes"].head(2)
    assert found["x"] == pytest.approx(genes["mean_count"].tolist(), abs=1e-3)
    assert found["y"] == pytest.approx(genes["shrunken_log2_fold_change"].tolist(), abs=1e-3)
    low, high = first["difference"]["layout"]["yaxis"]["range"]
    assert low == -high
    assert first["n_left"] == 0
    table = donors["biomarker_genes"]
    many = pd.concat([table.head(2), *[table.iloc[2:30]] * 100], ignore_index=True)
    many = many.assign(p_value=many["p_value"].where(many.index != 0, 0.0))
    first, _ = section_of(donors, biomarker_genes=many)["figures"]
    assert first["n_left"] == 800
    assert len(first["volcano"]["data"][0]["x"]) == 2000
    # A p-value of 0 has a place.
    assert np.isfinite(first["volcano"]["data"][1]["y"]).all()


def test_without_any_gene_there_are_words_alone(donors):
    genes, record = donors["biomarker_genes"].iloc[:0], donors["biomarkers"]
    record = dataclasses.replace(record, types=record.types[2:])
    section = section_of(donors, biomarkers=record, biomarker_genes=genes)
    assert section["genes"] is section["effects"] is None
    assert section["figures"] == []
    assert section_of(donors, biomarkers=None) is None
