"""The compression tables of the page against the table that `compress` gave."""

import dataclasses

import pytest

from scpress.config.options import ReportOptions
from scpress.report.bytes import archive_section, bytes_text, compression_section
from scpress.report.page import build_report
from scpress.tables.archive import PackedBytes


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
    assert rivals[-1][-1] == "-"
    # PCA judges itself, which stands beside its number and in the name of the column.
    header = section["rivals"]["header"]
    assert header[-1] == "recall of PCA's nearest cells (PCA is its own judge)"
    judged = [row[0] for row in rivals if row[-1] != "-" and "range" in row[-1]]
    assert judged == ["PCA"] * sum(code.code == "PCA" for code in one.rivals)
    assert not [name for name in header if "labels" in name]
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


def test_the_packed_counts_stand_beside_the_file_they_were_packed_from(full):
    assert archive_section(full) is None
    sections = {"HEAD": 10, "MODL": 200, "CELL": 2500, "REST": 400, "INDX": 30, "frames": 60}
    full.archive = PackedBytes(
        n_cells=10,
        n_genes=5,
        n_nonzeros=20,
        input_bytes=9600,
        archive_bytes=3200,
        sections=sections,
        rung="nb",
    )
    section = archive_section(full)
    rows = {name: (size, per_cell) for name, size, per_cell in section["table"]["rows"]}
    assert rows["counts.h5ad (gzip)"] == ("9.6 kB", "960.0")
    assert rows["counts.scp"] == ("3.2 kB", "320.0")
    assert rows["of it counts"] == ("2.7 kB", "273.0")
    assert rows["of it names and all else"] == ("400 B", "40.0")
    assert rows["of it frames"] == ("70 B", "7.0")
    page, metrics = build_report(full, ReportOptions())
    assert "in 3.0 times\nfewer bytes" in page
    assert metrics["archive"]["archive_bytes"] == 3200


@pytest.mark.parametrize(
    ("n", "text"),
    [(999, "999 B"), (1000, "1.0 kB"), (12_345, "12.3 kB"), (2.5e6, "2.5 MB"), (3e9, "3.0 GB")],
)
def test_bytes_in_decimal_units(n, text):
    assert bytes_text(n) == text


def test_nothing_is_less_than_nothing(full):
    one = full.compressions[0]
    rival = dataclasses.replace(one.rivals[-1], deviance_explained=-1e-9)
    full.compressions = [dataclasses.replace(one, rivals=(rival,))]
    assert compression_section(full)["rivals"]["rows"][0][3] == "0.000"


def test_held_out_molecules_come_before_the_training_cells(full):
    text, _ = build_report(full, ReportOptions())
    held_out = text.index("What is kept of molecules that were held out")
    training = text.index("Distortion of the training cells")
    assert text.index('data-name="bytes of every model"') < held_out < training
    for name in ("rivals at the same bytes", "fewer bits per number"):
        assert text.index(f'data-name="training cells: {name}"') > training
