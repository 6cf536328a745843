"""Cell Ranger's files: which features are genes, and how entries become cells."""

import numpy as np
import pytest
from raw_files import IDS, N_VARS, write_mtx
from scipy import io as scipy_io
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def test_antibodies_are_set_aside_with_a_message(cases):
    raw = open_raw(cases["10x_v3"][0], IngestOptions())
    assert list(raw.var["gene_id"]) == IDS
    assert raw.messages == [
        f"2 of type Antibody Capture set aside; {N_VARS} of type Gene Expression kept"
    ]


def test_genome_must_be_named_when_there_are_several(cases):
    path = cases["10x_v2_genome"][0]
    with pytest.raises(InputError, match="holds the genomes GRCh38, mm10"):
        open_raw(path, IngestOptions())
    with pytest.raises(InputError, match="no genes of genome 'mm10'; found GRCh38"):
        open_raw(cases["10x_v3"][0], IngestOptions(genome="mm10"))


def test_unsorted_mtx_is_sorted(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[3:][::-1]) + "\n")
    raw = open_raw(tmp_path / "m", IngestOptions())
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(64))).toarray(), counts)


def test_scipy_reads_our_mtx_fixture_alike(cases, counts):
    matrix = scipy_io.mmread(cases["mtx_v2"][0] / "matrix.mtx")
    np.testing.assert_array_equal(matrix.toarray().T, counts)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.replace(" 23 ", " 24 ", 1), "Do the three files belong together"),
        (lambda t: "\n".join(t.splitlines()[:-1]), r"promises \d+ entries and holds"),
        (lambda t: t.replace("\n1 1 40000\n", "\n99 1 40000\n"), "outside its"),
        (lambda t: t.replace("coordinate", "array"), "not a sparse matrix of counts"),
        (lambda t: t.replace("40000", "many"), "Unable to parse string"),
    ],
)
def test_damaged_mtx(tmp_path, counts, change, match):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "m", IngestOptions())
