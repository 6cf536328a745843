"""Cell Ranger's HDF5 files: which features are genes, and which cells are a block."""

import h5py
import numpy as np
import pytest
from raw_files import IDS, N_OBS, N_VARS, SYMBOLS, write_10x_v2, write_10x_v3
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def read(path, max_bytes=2**20, **options):
    raw = open_raw(path, IngestOptions(**options))
    return sparse.vstack(list(raw.chunks(max_bytes))).toarray()


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


@pytest.mark.parametrize("genome", ["GRCh38", "mm10"])
def test_of_two_genomes_in_one_matrix_the_named_one_is_kept(tmp_path, counts, genome):
    path = tmp_path / "a.h5"
    write_10x_v3(path, counts)
    with h5py.File(path, "a") as file:
        file["matrix/features/genome"][...] = np.array(["GRCh38", "mm10"] * 6 + ["GRCh38"], "S")
    # Features 3 and 4 are antibodies, of a genome each.
    own = [i for i in range(13) if i % 2 == (genome == "mm10") and i not in (3, 4)]
    columns = [i if i < 3 else i - 2 for i in own]
    raw = open_raw(path, IngestOptions(genome=genome))
    assert list(raw.var["gene_id"]) == [IDS[i] for i in columns]
    for max_bytes in (1, 500, 2**20):
        found = read(path, max_bytes, genome=genome)
        np.testing.assert_array_equal(found, counts[:, columns])
    np.testing.assert_array_equal(read(path, genome="mm10+GRCh38"), counts)
    with pytest.raises(InputError, match=r"2 genomes, GRCh38 \(6 genes\), mm10 \(5 genes\)"):
        open_raw(path, IngestOptions())


def test_each_genome_of_version_2_has_its_own_matrix(tmp_path, counts):
    path = tmp_path / "a.h5"
    write_10x_v2(path, counts, genomes=("GRCh38", "mm10"))
    with h5py.File(path, "a") as file:
        file["mm10/data"][...] = file["mm10/data"][...] * 2
        file.create_group("empty")
    np.testing.assert_array_equal(read(path, genome="GRCh38"), counts)
    np.testing.assert_array_equal(read(path, genome="mm10"), 2 * counts)
    with pytest.raises(InputError, match="holds the genomes GRCh38, mm10; found genome 'hg19'"):
        open_raw(path, IngestOptions(genome="hg19"))


def test_a_genome_that_is_named_and_absent_is_refused_also_where_there_is_one(tmp_path, counts):
    write_10x_v2(tmp_path / "a.h5", counts)
    with pytest.raises(InputError, match="holds the genomes GRCh38; found genome 'mm10'"):
        open_raw(tmp_path / "a.h5", IngestOptions(genome="mm10"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("something")
    with pytest.raises(InputError, match="not a 10x HDF5 file: it holds something"):
        open_raw(tmp_path / "b.h5", IngestOptions())


def test_a_file_without_genes_names_what_it_measured(tmp_path, counts):
    write_10x_v3(tmp_path / "a.h5", counts)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["matrix/features/feature_type"]
        file["matrix/features/feature_type"] = np.array(["Peaks"] * (N_VARS + 2), dtype="S")
    with pytest.raises(InputError, match="no features of type Gene Expression; found Peaks"):
        open_raw(tmp_path / "a.h5", IngestOptions())


@pytest.mark.parametrize("max_bytes", [0, 16, 15 * 16, 40 * 16, 2**20])
def test_a_block_of_hdf5_has_as_many_cells_as_fit(cases, counts, max_bytes):
    sizes = np.count_nonzero(counts, axis=1)
    expected, start = [], 0
    while start < N_OBS:
        stop = start + 1
        while stop < N_OBS and 16 * sizes[start : stop + 1].sum() <= max_bytes:
            stop += 1
        expected.append(stop - start)
        start = stop
    raw = open_raw(cases["10x_v2"][0], IngestOptions())
    assert [block.shape[0] for block in raw.chunks(max_bytes)] == expected


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("barcodes", lambda x: x[1:], r"tables do not fit its shape, 11 x 23"),
        ("genes", lambda x: x[1:], "tables do not fit its shape"),
        ("indptr", lambda x: x[:-1], "tables do not fit"),
        ("indptr", lambda x: np.append(x[:-1], x[-1] + 1), "row pointers do not fit"),
        ("indptr", lambda x: np.concatenate([x[:1], x[-1:], x[2:]]), "row pointers do not"),
        ("data", lambda x: x[:-1], "row pointers do not fit the stored values"),
    ],
)
def test_damaged_hdf5(tmp_path, counts, name, change, match):
    write_10x_v2(tmp_path / "a.h5", counts)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        values = change(file[f"GRCh38/{name}"][:])
        del file[f"GRCh38/{name}"]
        file[f"GRCh38/{name}"] = values
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "a.h5", IngestOptions())


def edit(path, counts, **columns):
    """A file of version 3 with other columns of its features; None leaves one out."""
    write_10x_v3(path, counts)
    with h5py.File(path, "a") as file:
        for column, values in columns.items():
            if f"matrix/features/{column}" in file:
                del file[f"matrix/features/{column}"]
            if values is not None:
                values = np.array(values, "S") if isinstance(values[0], str) else np.array(values)
                file[f"matrix/features/{column}"] = values


def test_without_types_every_feature_is_a_gene_and_without_ids_it_is_a_symbol(tmp_path, counts):
    edit(tmp_path / "a.h5", counts, feature_type=None, genome=None, id=None)
    raw = open_raw(tmp_path / "a.h5", IngestOptions())
    assert raw.shape == (N_OBS, N_VARS + 2)
    assert set(raw.var["gene_id"]) == {""}
    assert list(raw.var["gene_symbol"]) == [*SYMBOLS[:3], "CD3", "CD3", *SYMBOLS[3:]]
    edit(tmp_path / "b.h5", counts, id=None, name=None)
    with pytest.raises(InputError, match="names no features"):
        open_raw(tmp_path / "b.h5", IngestOptions())


def test_symbols_that_stand_as_ids_are_symbols(tmp_path, counts):
    edit(tmp_path / "a.h5", counts, id=[*SYMBOLS[:3], "CD3", "CD3", *SYMBOLS[3:]])
    raw = open_raw(tmp_path / "a.h5", IngestOptions())
    assert set(raw.var["gene_id"]) == {""}
    assert list(raw.var["gene_symbol"]) == list(raw.var.index) == SYMBOLS


def test_the_group_of_cellbender_is_no_genome(tmp_path, counts):
    write_10x_v2(tmp_path / "a.h5", counts, genomes=("background_removed",))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["background_removed/genes"]
    raw = open_raw(tmp_path / "a.h5", IngestOptions())
    assert list(raw.var.columns) == ["gene_id", "gene_symbol"]
    assert list(raw.var.index) == SYMBOLS
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), counts)


@pytest.mark.parametrize("max_bytes", [1, 2**20])
def test_probes_are_summed_by_their_genes_without_the_filtered_ones(tmp_path, counts, max_bytes):
    genes = [IDS[i // 2] for i in range(N_VARS)]  # in file order; 11 probes and two antibodies
    genes = [*genes[:3], "AB", "AB", *genes[3:]]
    kept = [name != "AB" for name in genes]
    kept[-1] = False
    edit(tmp_path / "a.h5", counts, gene_id=genes, gene_name=genes, filtered_probes=kept)
    raw = open_raw(tmp_path / "a.h5", IngestOptions())
    expected = np.add.reduceat(counts[:, :-1], np.arange(0, N_VARS - 1, 2), axis=1)
    assert list(raw.var["gene_id"]) == IDS[:5]
    np.testing.assert_array_equal(read(tmp_path / "a.h5", max_bytes), expected)
    assert raw.messages[0] == (
        "10 probes are summed by their 5 genes; 3 that are filtered or deprecated set aside"
    )


@pytest.mark.parametrize("between", ["_", "___"])
def test_the_genome_in_front_of_names_is_taken_off(tmp_path, counts, between):
    path = tmp_path / "a.h5"
    species = ["mm10" if i % 2 else "GRCh38" for i in range(N_VARS + 2)]
    names = {"id": [*IDS[:3], "AB", "AB", *IDS[3:]]}
    names["name"] = [*SYMBOLS[:3], "CD3", "CD3", *SYMBOLS[3:]]
    prefixed = {
        key: [f"{genome}{between}{name}" for genome, name in zip(species, values, strict=True)]
        for key, values in names.items()
    }
    edit(path, counts, genome=species, **prefixed)
    with pytest.raises(InputError, match=r"holds genes of 2 genomes, GRCh38 .6 genes., mm10 .5"):
        open_raw(path, IngestOptions())
    raw = open_raw(path, IngestOptions(genome="mm10"))
    own = [i for i in range(N_VARS + 2) if i % 2 and i not in (3, 4)]
    assert list(raw.var["gene_id"]) == list(raw.var.index) == [names["id"][i] for i in own]
    assert list(raw.var["gene_symbol"]) == [names["name"][i] for i in own]
    assert any("without the genome in front" in message for message in raw.messages)
