"""Folders of a sparse matrix and its tables: which genes and cells they name."""

import numpy as np
import pytest
from raw_files import BARCODES, IDS, N_OBS, N_VARS, SYMBOLS, write_mtx
from scipy import io as scipy_io
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def read(path, max_bytes=2**20, **options):
    raw = open_raw(path, IngestOptions(**options))
    return sparse.vstack(list(raw.chunks(max_bytes))).toarray()


def test_as_many_cells_as_genes_are_features_first(tmp_path, counts):
    """As Cell Ranger writes it, where the sizes cannot tell."""
    square = counts[:N_VARS]
    write_mtx(tmp_path / "m", square, version=2)
    (tmp_path / "m" / "barcodes.tsv").write_text("\n".join(BARCODES[:N_VARS]) + "\n")
    np.testing.assert_array_equal(read(tmp_path / "m"), square)


def test_features_of_a_folder_that_are_not_genes_are_set_aside(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    lines = [f"{i}\t{s}\tGene Expression" for i, s in zip(IDS, SYMBOLS, strict=True)]
    lines[5] = lines[5].replace("Gene Expression", "Antibody Capture")
    (tmp_path / "m" / "genes.tsv").write_text("\n".join(lines) + "\n")
    raw = open_raw(tmp_path / "m", IngestOptions())
    assert "1 of type Antibody Capture set aside; 10 of type Gene Expression" in raw.messages[0]
    assert "feature_type" not in raw.var
    np.testing.assert_array_equal(read(tmp_path / "m"), np.delete(counts, 5, axis=1))


def test_of_several_samples_in_a_folder_the_matrix_says_which(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=3, prefix="GSM1_")
    write_mtx(tmp_path / "n", 2 * counts, version=3, prefix="GSM2_")
    for path in (tmp_path / "n").iterdir():
        path.rename(tmp_path / "m" / path.name)
    for number in (1, 2):
        found = read(tmp_path / "m" / f"GSM{number}_matrix.mtx.gz")
        np.testing.assert_array_equal(found, number * counts)
    with pytest.raises(InputError, match=r"must hold one of .*; found GSM1_matrix.mtx.gz, GSM2_"):
        open_raw(tmp_path / "m", IngestOptions())
    (tmp_path / "m" / "GSM1_barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"must hold one of GSM1_barcodes.tsv, GSM1_barcodes"):
        open_raw(tmp_path / "m" / "GSM1_matrix.mtx.gz", IngestOptions())


def test_names_with_quotes_and_missing_values_stay_text(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    names = ["NA", 'a"b', *SYMBOLS[2:]]
    text = "".join(f"{i}\t{s}\n" for i, s in zip(IDS, names, strict=True))
    (tmp_path / "m" / "genes.tsv").write_text(text)
    assert list(open_raw(tmp_path / "m", IngestOptions()).var["gene_symbol"]) == names


def tables(folder, **lines):
    """Tables of a folder anew, one line each."""
    for key, values in lines.items():
        (folder / f"{key}.tsv").write_text("".join(f"{line}\n" for line in values))


@pytest.mark.parametrize(
    "lines",
    [
        [f"{i}\t{s}\t1\tx" for i, s in zip(IDS, SYMBOLS, strict=True)],
        [f"{s}\t{i}" for i, s in zip(IDS, SYMBOLS, strict=True)],
        ["gene_id\tgene_name", *(f"{i}\t{s}" for i, s in zip(IDS, SYMBOLS, strict=True))],
        [f"{i} {s}" for i, s in zip(IDS, SYMBOLS, strict=True)],
        [f"{i},{s}" for i, s in zip(IDS, SYMBOLS, strict=True)],
        [f"{i}\t{s}\tgene expression" for i, s in zip(IDS, SYMBOLS, strict=True)],
    ],
)
def test_tables_of_genes_of_every_kind_name_the_same_genes(tmp_path, counts, lines):
    write_mtx(tmp_path / "m", counts, version=2)
    tables(tmp_path / "m", genes=lines)
    raw = open_raw(tmp_path / "m", IngestOptions())
    assert list(raw.var["gene_id"]) == IDS
    assert list(raw.var["gene_symbol"]) == SYMBOLS
    np.testing.assert_array_equal(read(tmp_path / "m"), counts)


def test_a_lone_column_of_symbols_has_no_ids_and_a_header_of_barcodes_is_no_cell(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    tables(tmp_path / "m", genes=["A", "A", *SYMBOLS[2:]], barcodes=["barcode", *BARCODES])
    raw = open_raw(tmp_path / "m", IngestOptions())
    assert set(raw.var["gene_id"]) == {""}
    assert list(raw.var["gene_symbol"]) == ["A", "A", *SYMBOLS[2:]]
    assert list(raw.obs.index) == BARCODES


def test_a_table_of_genes_that_breaks_off_is_damaged(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "genes.tsv"
    path.write_text(path.read_text().rpartition("\t")[0] + "\n")
    with pytest.raises(InputError, match="line 11 has fewer fields than the 2 of the first"):
        open_raw(tmp_path / "m", IngestOptions())


def test_a_gene_may_have_no_symbol(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    pairs = zip(IDS, ["", *SYMBOLS[1:]], strict=True)
    tables(tmp_path / "m", genes=[f"{i}\t{s}" for i, s in pairs])
    raw = open_raw(tmp_path / "m", IngestOptions())
    assert list(raw.var["gene_symbol"]) == ["", *SYMBOLS[1:]]


def write_cells_first(path, counts):
    with path.open("wb") as file:
        scipy_io.mmwrite(file, sparse.coo_matrix(counts), field="integer")


def test_folders_of_parse_and_kb_are_read_though_they_have_as_many_cells_as_genes(tmp_path, counts):
    counts = counts[:N_VARS]
    parse, kb = tmp_path / "parse", tmp_path / "kb"
    for folder in (parse, kb):
        folder.mkdir()
    write_cells_first(parse / "count_matrix.mtx", counts)
    pairs = zip(IDS, SYMBOLS, strict=True)
    lines = ["gene_id,gene_name,genome", *(f"{i},{s},hg38" for i, s in pairs)]
    (parse / "all_genes.csv").write_text("\n".join(lines) + "\n")
    lines = ["bc_wells,sample", *(f"{cell},s" for cell in BARCODES[:N_VARS])]
    (parse / "cell_metadata.csv").write_text("\n".join(lines) + "\n")
    write_cells_first(kb / "cells_x_genes.mtx", counts)
    for what, names in (
        ("barcodes", BARCODES[:N_VARS]),
        ("genes", IDS),
        ("genes.names", SYMBOLS),
    ):
        (kb / f"cells_x_genes.{what}.txt").write_text("\n".join(names) + "\n")
    for folder in (parse, kb):
        raw = open_raw(folder, IngestOptions())
        assert list(raw.obs.index) == BARCODES[:N_VARS]
        assert list(raw.var["gene_symbol"]) == SYMBOLS
        np.testing.assert_array_equal(read(folder), counts)


@pytest.mark.parametrize("max_bytes", [1, 500, 2**20])
def test_parts_of_the_molecules_are_added_whatever_cells_each_lists(tmp_path, counts, max_bytes):
    """Spliced and unspliced molecules, of cells in the same order, and of others in another."""
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
        order = np.arange(N_OBS) if name == "same" else np.r_[5:N_OBS][::-1]
        for part, rows, factor in (("spliced", np.arange(N_OBS), 1), ("unspliced", order, 3)):
            write_cells_first(tmp_path / name / f"{part}.mtx", factor * counts[rows])
            barcodes = "\n".join(BARCODES[row] for row in rows) + "\n"
            (tmp_path / name / f"{part}.barcodes.txt").write_text(barcodes)
            (tmp_path / name / f"{part}.genes.txt").write_text("\n".join(IDS) + "\n")
    np.testing.assert_array_equal(read(tmp_path / "same", max_bytes), 4 * counts)
    expected = counts + 3 * np.where(np.arange(N_OBS)[:, None] < 5, 0, counts)
    np.testing.assert_array_equal(read(tmp_path / "other", max_bytes), expected)
    np.testing.assert_array_equal(read(tmp_path / "other", max_bytes, layer="spliced"), counts)
    with pytest.raises(InputError, match="no layer 'x'; it holds spliced, unspliced"):
        open_raw(tmp_path / "same", IngestOptions(layer="spliced+x"))


@pytest.mark.parametrize("names", [IDS, [*IDS, *(f"{i}-U" for i in IDS), *(f"{i}-A" for i in IDS)]])
def test_spliced_unspliced_and_ambiguous_columns_of_alevin_fry_are_summed(tmp_path, counts, names):
    folder = tmp_path / "quant" / "alevin"
    folder.mkdir(parents=True)
    write_cells_first(folder / "quants_mat.mtx", np.hstack([counts, 2 * counts, 4 * counts]))
    (folder / "quants_mat_rows.txt").write_text("\n".join(BARCODES) + "\n")
    (folder / "quants_mat_cols.txt").write_text("\n".join(names) + "\n")
    raw = open_raw(tmp_path / "quant", IngestOptions())
    assert list(raw.var["gene_id"]) == IDS
    np.testing.assert_array_equal(read(tmp_path / "quant"), 7 * counts)
    chosen = read(tmp_path / "quant", layer="spliced+ambiguous")
    np.testing.assert_array_equal(chosen, 5 * counts)


def test_a_genome_is_chosen_by_what_stands_before_the_names_or_refused(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    with pytest.raises(InputError, match="`genome` 'mm10' has no effect"):
        open_raw(tmp_path / "m", IngestOptions(genome="mm10"))
    word = ["GRCh38_"] * 4 + ["mm10_"] * (N_VARS - 4)
    rows = zip(word, IDS, SYMBOLS, strict=True)
    tables(tmp_path / "m", genes=[f"{w}{i}\t{w}{s}" for w, i, s in rows])
    with pytest.raises(InputError, match=r"2 genomes, mm10 \(7 genes\), GRCh38 \(4 genes\)"):
        open_raw(tmp_path / "m", IngestOptions())
    raw = open_raw(tmp_path / "m", IngestOptions(genome="GRCh38"))
    assert (list(raw.var.index), list(raw.var["gene_symbol"])) == (IDS[:4], SYMBOLS[:4])
    np.testing.assert_array_equal(read(tmp_path / "m", genome="GRCh38"), counts[:, :4])
