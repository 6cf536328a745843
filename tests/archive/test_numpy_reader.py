"""The reader that needs nothing but numpy: it stands alone, and holds what it reads to bounds."""

import ast
import shutil
import subprocess
import sys

import numpy as np
import pytest
from archive.test_codec import coded
from scipy import sparse

from scpress.archive import numpy_reader
from scpress.archive.fit import pack_parameters
from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import ABSENT, E_MAX, CountsReader, Parameters, order_of

# A cell's rare genes have its level.
ONE = frequencies(np.ones(1))
NO_MORE = np.zeros(1, int), ONE


def parameters(**changes):
    """Parameters of five genes, as bytes."""
    table = np.arange(160, 170), frequencies(np.ones(10))
    words = {
        "b": np.array([-90, ABSENT, -20, -64, -20]),
        "t": np.array([8, 0, 10, 9, 10]),
        "w": np.zeros((0, 5), int),
        "direct_b": -30,
        "tables": [table, NO_MORE],
    }
    return pack_parameters(**(words | changes))


def test_a_copy_of_the_file_reads_counts_where_scpress_is_not(tmp_path):
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(0.3, (70, 40)))
    codec, chunks, n_cells, _ = coded(X)
    shutil.copy(numpy_reader.__file__, tmp_path / "alone.py")
    (tmp_path / "model").write_bytes(codec.to_bytes())
    for i, chunk in enumerate(chunks):
        (tmp_path / f"{i}").write_bytes(chunk)
    script = (
        "import sys, numpy as np\n"
        "sys.modules.update(dict.fromkeys(['scpress', 'scipy', 'numba', 'pandas']))\n"
        "from alone import CountsReader\n"
        f"chunks = [open(str(i), 'rb').read() for i in range({len(chunks)})]\n"
        f"parts = CountsReader(open('model', 'rb').read(), 40).decode(chunks, {n_cells})\n"
        "np.savez('out', *parts)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "out.npz")
    for name, wanted in zip(found, (X.indptr, X.indices, X.data), strict=True):
        np.testing.assert_array_equal(found[name], wanted)


def test_it_imports_numpy_and_the_standard_library_alone():
    with open(numpy_reader.__file__) as file:
        tree = ast.parse(file.read())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"numpy"}


def test_parameters_come_back():
    p = Parameters(parameters(), 5)
    assert p.b.tolist() == [-90, ABSENT, -20, -64, -20]
    assert p.t.tolist() == [8, 0, 10, 9, 10]
    # The most abundant first, equals in their order; the absent one is nowhere.
    assert (p.direct.tolist(), p.rare.tolist()) == ([2, 4], [3, 0])
    assert p.tables[0][0].tolist() == list(range(160, 170))
    # The highest mean is above the tables.
    assert p.mean_range() == (-90 + 160, 143)


def test_a_gene_with_a_weight_is_direct_and_widens_the_means():
    w = np.array([[3, 0, 0, 0, 0], [0, 0, -2, 0, 0]])
    level = np.arange(90, 100), frequencies(np.ones(10))
    z = [(np.arange(-4, 3), frequencies(np.ones(7))), (np.arange(2), frequencies(np.ones(2)))]
    p = Parameters(parameters(w=w, tables=[level, NO_MORE, *z]), 5)
    np.testing.assert_array_equal(p.w, w)
    assert (p.direct.tolist(), p.rare.tolist()) == ([2, 4, 0], [3])
    # The rare genes of a cell of level 99 have 100.
    assert p.mean_range() == (-90 + 90 - 3 * 4, -20 + 100 + 2)


def test_levels_of_rare_genes_are_multiples_of_four_without_a_gap():
    level, more = (np.array([165, 175]), frequencies(np.ones(2))), (np.array([-1, 2]), ONE)
    p = Parameters(parameters(tables=[level, (more[0], level[1])]), 5)
    assert p.rare_levels().tolist() == list(range(160, 188, 4))
    # 165 lies nearest to 164, 166 as near to 168 as to 164.
    assert numpy_reader.rare_level_of(np.array([165, 166]), np.array([-1, 0])).tolist() == [
        160,
        168,
    ]
    # They widen the means as a level does: here down to that of the rarest gene.
    assert p.mean_range()[0] == -90 + 160


def test_means_above_the_tables_take_those_of_their_last_octave():
    table = np.array([400]), frequencies(np.ones(1))
    p = Parameters(parameters(tables=[table, NO_MORE]), 5)
    assert p.mean_range() == (128, 143)
    assert numpy_reader.table_mean(np.array([143, 144, 160, 495])).tolist() == [143, 128, 128, 143]
    assert numpy_reader.lost_bits(np.array([143, 144, 159, 160])).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"b": np.array([E_MAX + 1, ABSENT, 0, 0, 0])}, "a gene's parameters are out of range"),
        ({"b": np.array([ABSENT - 1, ABSENT, 0, 0, 0])}, "a gene's parameters are out of range"),
        ({"t": np.array([20, 0, 10, 9, 10])}, "a gene's parameters are out of range"),
        ({"w": np.full((1, 5), 1 << 16)}, "a weight, a latent or a level is out of range"),
        ({"tables": [(np.array([1025]), ONE), NO_MORE]}, "a level is out of range"),
        ({"tables": [NO_MORE, (np.array([65]), ONE)]}, "a level is out of range"),
        ({"tables": [(np.empty(0, int), np.zeros(1, int)), NO_MORE]}, "a table is empty"),
    ],
)
def test_parameters_out_of_range_are_refused(changes, says):
    tables = [(np.arange(9), frequencies(np.ones(9)))] * (2 + ("w" in changes))
    data = parameters(**({"tables": tables} | changes))
    with pytest.raises(ValueError, match=says):
        Parameters(data, 5)


def test_the_parameters_of_another_number_of_genes_are_refused():
    for n in (4, 6):
        with pytest.raises(ValueError, match=r"early|end|left over|empty|values|scale"):
            Parameters(parameters(), n)


def test_the_order_is_by_share_and_then_by_place():
    assert order_of(np.array([-5, ABSENT, -1, -5, -1])).tolist() == [2, 4, 0, 3]


def test_a_chunk_must_end_with_its_words_and_in_the_first_state():
    X = sparse.csr_matrix([[0, 3, 1, 0, 2]])
    codec, (chunk,), n_cells, _ = coded(X)
    reader = CountsReader(codec.to_bytes(), 5)
    with pytest.raises(ValueError, match="does not end as it should"):
        reader.decode([chunk[:-8] + bytes(4) + chunk[-8:]], n_cells)
    for bit in range(8):
        with pytest.raises(ValueError, match=r"does not end as it should|too early"):
            reader.decode([bytes([chunk[0] ^ 1 << bit]) + chunk[1:]], n_cells)


def test_chunks_that_end_early_are_an_error_in_the_middle_of_a_cell():
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(0.3, (48, 400)))
    codec, chunks, n_cells, _ = coded(X)
    with pytest.raises(ValueError, match=r"early|does not end"):
        CountsReader(codec.to_bytes(), 400).decode([chunks[0], chunks[1][:40]], n_cells)
