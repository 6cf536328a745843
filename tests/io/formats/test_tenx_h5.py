"""HDF5 files of Cell Ranger, CellBender and matrices of probes."""

import h5py
import numpy as np
import pytest
from raw_files import BARCODES, IDS, SYMBOLS, write_10x_v2, write_10x_v3
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw


def changed(path, counts, change):
    write_10x_v3(path, counts)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def read(path, max_bytes=2**20):
    raw = open_raw(path, IngestOptions())
    return raw, sparse.vstack(list(raw.chunks(max_bytes))).toarray()


def drop(*names):
    def change(file):
        for name in names:
            del file[f"matrix/features/{name}"]

    return change


def test_without_types_of_features_all_are_genes(tmp_path, counts):
    raw, found = read(changed(tmp_path / "a.h5", counts, drop("feature_type")))
    # The two antibodies stand among the genes then, and nothing is said to be set aside.
    assert found.shape == (len(BARCODES), len(IDS) + 2)
    assert not [message for message in raw.messages if "set aside" in message]


def test_without_ids_the_names_are_symbols(tmp_path, counts):
    raw, found = read(changed(tmp_path / "a.h5", counts, drop("id")))
    np.testing.assert_array_equal(found, counts)
    assert list(raw.var["gene_symbol"]) == SYMBOLS
    assert set(raw.var["gene_id"]) == {""} if "gene_id" in raw.var else True


def test_without_any_names_the_file_is_refused(tmp_path, counts):
    path = changed(tmp_path / "a.h5", counts, drop("id", "name"))
    with pytest.raises(InputError, match="names no features: neither their ids nor their symbols"):
        open_raw(path, IngestOptions())


def test_the_group_of_cellbenders_first_version_is_known(tmp_path, counts):
    path = changed(
        tmp_path / "a.h5", counts, lambda file: file.move("matrix", "background_removed")
    )
    raw, found = read(path)
    np.testing.assert_array_equal(found, counts)
    assert list(raw.var["gene_id"]) == IDS
    assert "background_removed" not in set(raw.var["genome"])


@pytest.mark.parametrize("max_bytes", [1, 2**20])
def test_probes_are_summed_by_their_genes_without_the_filtered_ones(tmp_path, max_bytes):
    # Five probes of two genes; the second probe is filtered.
    X = np.array([[1, 50, 2, 0, 4], [0, 9, 3, 7, 0]])
    matrix = sparse.csr_matrix(X)
    text = h5py.string_dtype()
    with h5py.File(tmp_path / "raw_probe_bc_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(X.shape[::-1])
        group.create_dataset("barcodes", data=["AAAC", "CCCA"], dtype=text)
        columns = {
            "id": [f"probe{i}" for i in range(5)],
            "name": [f"probe{i}" for i in range(5)],
            "gene_id": ["ENSG00000000001"] * 2 + ["ENSG00000000002", *["ENSG00000000001"] * 2],
            "gene_name": ["A", "A", "B", "A", "A"],
            "feature_type": ["Gene Expression"] * 5,
            "genome": ["GRCh38"] * 5,
        }
        for name, values in columns.items():
            group.create_dataset(f"features/{name}", data=values, dtype=text)
        group["features/filtered_probes"] = np.array([True, False, True, True, True])
    raw, found = read(tmp_path / "raw_probe_bc_matrix.h5", max_bytes)
    np.testing.assert_array_equal(found, [[5, 2], [7, 3]])
    assert list(raw.var["gene_symbol"]) == ["A", "B"]
    said = "4 probes are summed by their 2 genes; 1 that are filtered or deprecated set aside"
    assert said in raw.messages


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda file: file["matrix/indptr"].__setitem__(2, 0), "row pointers"),
        (lambda file: file["matrix/shape"].__setitem__(1, 3), "row pointers; 4 are needed"),
        (lambda file: file["matrix/shape"].__setitem__(0, 3), "do not fit its shape"),
    ],
)
def test_tables_that_do_not_fit_are_damage(tmp_path, counts, change, says):
    with pytest.raises(InputError, match=says):
        open_raw(changed(tmp_path / "a.h5", counts, change), IngestOptions())


def test_what_cellbender_writes_beside_the_matrix_is_not_read(tmp_path, counts):
    def add(file):
        latents = file.create_group("droplet_latents")
        latents["cell_probability"] = np.ones(len(BARCODES))
        latents["gene_expression_encoding"] = np.zeros((len(BARCODES), 3))
        latents["barcode_indices_for_latents"] = np.arange(len(BARCODES))
        file["global_latents/ambient_expression"] = np.zeros(len(IDS))
        file["metadata/barcodes_analyzed_inds"] = np.arange(len(BARCODES))

    raw, found = read(changed(tmp_path / "out_filtered.h5", counts, add))
    np.testing.assert_array_equal(found, counts)
    assert raw.obsm == {}


def test_peaks_of_a_multiome_are_set_aside(tmp_path, counts):
    def add(file):
        features = file["matrix/features"]
        features["feature_type"][3:5] = b"Peaks"
        features["id"][3:5] = features["name"][3:5] = [b"chr1:100-600", b"chr2:5-505"]
        features["interval"] = np.array(["chr1:1-2"] * (len(IDS) + 2), "S")
        features["_all_tag_keys"] = np.array(["genome", "interval"], "S")

    raw, found = read(changed(tmp_path / "a.h5", counts, add))
    np.testing.assert_array_equal(found, counts)
    assert raw.messages == [f"2 of type Peaks set aside; {len(IDS)} of type Gene Expression kept"]


def test_sets_and_tags_of_cell_ranger_9_are_not_features(tmp_path, counts):
    def add(file):
        file.attrs["software_version"] = "cellranger-9.0.0"
        file.attrs["filetype"] = "matrix"
        file["matrix/features/target_sets/Probe Set"] = np.arange(5)
        for name in ("pattern", "read", "sequence"):
            file[f"matrix/features/{name}"] = np.array([""] * (len(IDS) + 2), "S1")
        file["matrix/features/feature_type"][3:5] = [b"Multiplexing Capture", b"Antigen Capture"]

    raw, found = read(changed(tmp_path / "sample_filtered_feature_bc_matrix.h5", counts, add))
    np.testing.assert_array_equal(found, counts)
    assert list(raw.var["gene_id"]) == IDS


def test_a_matrix_of_probes_without_the_filter_leaves_out_deprecated_genes(tmp_path, counts):
    def add(file):
        n_features = len(IDS) + 2
        genes = [IDS[0], "DEPRECATED_" + IDS[1], *(IDS[0] for _ in range(n_features - 2))]
        file["matrix/features/gene_id"] = np.array(genes, "S")
        file["matrix/features/gene_name"] = np.array(["A"] * n_features, "S")
        file["matrix/features/probe_region"] = np.array(["spliced"] * n_features, "S")

    raw, found = read(changed(tmp_path / "a.h5", counts, add))
    assert list(raw.var["gene_symbol"]) == ["A"]
    # The nines are the antibodies' of the file, probes like all others here.
    np.testing.assert_array_equal(found[:, 0], counts.sum(axis=1) - counts[:, 1] + 18)


def test_the_cells_of_each_genome_of_version_2_are_counted(tmp_path, counts):
    path = tmp_path / "a.h5"
    write_10x_v2(path, counts, genomes=("GRCh38", "mm10"))
    with h5py.File(path, "a") as file:
        # The barcodes of the two overlap, as those of Cell Ranger's filtered matrices do.
        file["mm10/barcodes"][...] = np.array([*BARCODES[:2], *(f"x{i}" for i in range(21))], "S8")
    with pytest.raises(InputError) as caught:
        open_raw(path, IngestOptions())
    # 21 of either alone, of which the fifth has no molecules; two with as many of both.
    assert (
        "more than 90 % of a cell's molecules are of GRCh38 in 20, of mm10 in 20 and of none in 4 "
        "of 44 cells; none is named. Set `genome`"
    ) in str(caught.value)
