"""The compression tables of the page against the table that `compress` gave."""

import dataclasses

import pytest

from scpress.report.bytes import bytes_text, compression_section


def test_rows_are_the_numbers_of_the_table(full):
    one = full.compressions[0]
    section = compression_section(full)
    assert section["first"] is one
    row = dict(zip(section["bytes"]["header"], section["bytes"]["rows"][0], strict=True))
    full_bytes = one.with_decoder
    assert row["model"] == "m, seed 0"
    assert row["nominal, against dense float32"] == f"{100 / 4:.0f}x"
    assert row["counts, bytes per cell"] == f"{one.stored.counts_bytes_per_cell:,.0f}"
    assert row["stored ratio"] == f"{one.stored.ratio:.1f}x"
    parts = full_bytes.decoder_bytes + full_bytes.gene_bytes + full_bytes.library_bytes
    assert row["decoder and vectors"] == bytes_text(parts)
    assert row["ratio with decoder"] == f"{full_bytes.ratio:.2f}x"
    assert row["pays from"] == f"{full_bytes.break_even_cells:,} cells"
    precision = section["precision"]["rows"]
    assert [row[0] for row in precision] == ["float32", "float16", "int8"]
    change = one.precision[2].nll - one.precision[0].nll
    assert f"({change:+.3f})" in precision[2][2]
    rivals = section["rivals"]["rows"]
    assert [row[0] for row in rivals] == [code.code for code in one.rivals]
    assert rivals[-1][-2:] == ["-", "-"]
    assert section["is_sampled"]


def test_the_primary_model_comes_first_and_never_is_said(full):
    one, other = full.compressions
    part = dataclasses.replace(one.with_decoder, break_even_cells=None)
    full.compressions = [other, dataclasses.replace(one, with_decoder=part)]
    section = compression_section(full)
    assert section["first"].model == "m"
    assert section["bytes"]["rows"][0][-1] == "never"
    full.cells.uns["scpress"]["cluster"]["model"] = "other"
    assert compression_section(full)["first"].model == "other"
    full.compressions = []
    assert compression_section(full) is None


def test_the_curves_hold_every_precision_the_rivals_and_the_gene_mean(full):
    section = compression_section(full)
    names = [name for name, _ in section["legend"]]
    assert names == ["m", "other", "PCA", "gene mean x size factor"]


@pytest.mark.parametrize(
    ("n", "text"),
    [(999, "999 B"), (1000, "1.0 kB"), (12_345, "12.3 kB"), (2.5e6, "2.5 MB"), (3e9, "3.0 GB")],
)
def test_bytes_in_decimal_units(n, text):
    assert bytes_text(n) == text
