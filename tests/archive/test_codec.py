"""Cells to chunks and back, by the compiled loops and by numpy alone."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from scpress.archive.codec import CountsCodec
from scpress.archive.numpy_reader import CountsReader


def coded(X, *, threads=1, latent=None, blocks=700):
    """A codec of a matrix, its chunks, and the cells and nonzeros of each."""
    codec = CountsCodec.fit(lambda: in_blocks(X, blocks), X.shape, latent=latent, threads=threads)
    chunks, at = [], 0
    for block in in_blocks(X, blocks - blocks % codec.cells_per_chunk or codec.cells_per_chunk):
        chunks += codec.encode(block, at)
        at += block.shape[0]
    step = codec.cells_per_chunk
    bounds = [*range(0, X.shape[0], step), X.shape[0]] if X.shape[0] else [0]
    return codec, chunks, np.diff(bounds).tolist(), np.diff(X.indptr[bounds]).tolist()


def in_blocks(X, n):
    return (X[at : at + n] for at in range(0, X.shape[0], n))


def require_same(X, indptr, indices, data):
    np.testing.assert_array_equal(indptr, X.indptr)
    np.testing.assert_array_equal(indices, X.indices)
    np.testing.assert_array_equal(data, X.data)


def require_round_trip(X, **words):
    codec, chunks, n_cells, n_nonzeros = coded(X, **words)
    back = CountsCodec(codec.to_bytes(), X.shape[1]).decode(chunks, n_cells, n_nonzeros)
    require_same(X, back.indptr, back.indices, back.data)
    require_same(X, *CountsReader(codec.to_bytes(), X.shape[1]).decode(chunks, n_cells))
    return codec, chunks


COUNTS = st.one_of(
    st.integers(1, 3), st.integers(1, 500), st.sampled_from([2_000_000_000, 2**31 - 1, 2**20])
)


@st.composite
def matrices(draw):
    n_obs, n_vars = draw(st.integers(0, 60)), draw(st.integers(0, 40))
    places = st.tuples(st.integers(0, max(n_obs - 1, 0)), st.integers(0, max(n_vars - 1, 0)))
    entries = draw(st.dictionaries(places, COUNTS, max_size=200 if n_obs and n_vars else 0))
    X = np.zeros((n_obs, n_vars), np.int64)
    for place, value in entries.items():
        X[place] = value
    return sparse.csr_matrix(X)


@pytest.mark.slow
@given(matrices())
@example(sparse.csr_matrix(np.zeros((0, 5), np.int64)))
@example(sparse.csr_matrix(np.zeros((5, 0), np.int64)))
@example(sparse.csr_matrix(np.zeros((50, 3), np.int64)))
@example(sparse.csr_matrix(np.full((30, 1), 2**31 - 1)))
@settings(max_examples=30, deadline=None)
def test_any_counts_come_back(X):
    require_round_trip(X)


@pytest.fixture(scope="module")
def states():
    """Cells of two states that share no gene but the last hundred, and how it is told."""
    rng = np.random.default_rng(0)
    state = rng.integers(0, 2, 900)
    mu = np.zeros((2, 300))
    mu[0, :100] = mu[1, 100:200] = rng.gamma(2, 1, 100)
    mu[:, 200:] = rng.gamma(1, 0.02, 100)
    return sparse.csr_matrix(rng.poisson(mu[state])), state


@pytest.mark.slow
def test_a_latent_is_used_where_it_pays(states):
    X, _ = states
    codec, chunks = require_round_trip(X)
    story = codec.describe()
    assert story["chosen"].startswith("latent of")
    assert story["rungs"][story["chosen"]] == min(story["rungs"].values())
    # The state halves the entropy of the genes of both; the rest is what it is.
    size = len(codec.to_bytes()) + sum(map(len, chunks))
    assert size < 0.8 * story["rungs"]["negative binomial"]
    assert size == pytest.approx(story["rungs"][story["chosen"]], rel=0.05)


def test_a_latent_that_was_given_is_used_where_it_pays():
    # Too few molecules in a cell to see its state by them.
    rng = np.random.default_rng(1)
    state = rng.integers(0, 2, 3000)
    mu = np.array([[0.05] * 100 + [0.005] * 100, [0.005] * 100 + [0.05] * 100])
    X = sparse.csr_matrix(rng.poisson(mu[state]))
    codec, chunks = require_round_trip(X, latent=np.where(state == 1, 2.0, -1.0)[:, None])
    assert codec.describe()["chosen"] == "latent of the model"
    other, others = require_round_trip(X)
    assert not len(other.parameters.w)
    # Each cell has its own latent, to its end.
    for part in (slice(0, 20), slice(100, None)):
        assert sum(map(len, chunks[part])) < 0.97 * sum(map(len, others[part]))
    codec, _ = require_round_trip(X, latent=rng.standard_normal((3000, 3)))
    rungs = codec.describe()["rungs"]
    assert rungs["latent of the model"] > rungs["negative binomial"]
    assert codec.describe()["chosen"] != "latent of the model"


def test_counts_without_structure_have_no_latent_and_poisson_ones_no_theta():
    rng = np.random.default_rng(2)
    X = sparse.csr_matrix(rng.poisson(rng.gamma(1, 1, 200), (400, 200)))
    codec, _ = require_round_trip(X)
    rungs = codec.describe()["rungs"]
    assert not len(codec.parameters.w)
    assert codec.describe()["chosen"] in ("poisson", "negative binomial")
    assert all(rungs[name] >= rungs["negative binomial"] for name in rungs)
    Y = sparse.csr_matrix(rng.negative_binomial(0.5, 0.2, (400, 200)))
    rungs = require_round_trip(Y)[0].describe()["rungs"]
    assert rungs["negative binomial"] < 0.9 * rungs["poisson"]


def test_it_is_near_the_entropy_of_what_was_drawn():
    rng = np.random.default_rng(3)
    mu = rng.gamma(0.5, 0.5, 1000)
    X = sparse.csr_matrix(rng.poisson(mu, (2000, 1000)))
    from scipy.stats import poisson

    ideal = -poisson.logpmf(X.toarray(), mu).sum() / np.log(2) / 8
    codec, chunks = require_round_trip(X)
    assert ideal < sum(map(len, chunks)) < 1.01 * ideal
    assert len(codec.to_bytes()) < 1300


@pytest.mark.slow
def test_threads_and_blocks_change_no_byte(pbmc):
    X = sparse.csr_matrix(pbmc.X).astype(np.int32)
    codec, chunks, *_ = coded(X)
    other, same, n_cells, n_nonzeros = coded(X, threads=2, blocks=240)
    assert other.to_bytes() == codec.to_bytes()
    assert same == chunks
    one = other.decode(chunks, n_cells, n_nonzeros)
    require_same(X, one.indptr, one.indices, one.data)


def test_real_counts_come_back_by_both_readers_and_any_chunk_alone(pbmc):
    X = sparse.csr_matrix(pbmc.X).astype(np.int32)
    codec, chunks = require_round_trip(X)
    n = codec.cells_per_chunk
    part = X[3 * n : 4 * n]
    back = codec.decode([chunks[3]], [n], [part.nnz])
    require_same(part, back.indptr, back.indices, back.data)


@pytest.mark.parametrize("reader", ["compiled", "numpy"])
def test_a_changed_chunk_is_an_error_or_other_counts_but_no_crash(states, reader):
    # A checksum stands in front of this in a file: what is asked here is that nothing breaks.
    X, _ = states
    codec, chunks, n_cells, n_nonzeros = coded(X)
    rng = np.random.default_rng(4)
    theirs = CountsReader(codec.to_bytes(), 300)
    n_errors = 0
    for _ in range(20):
        i = int(rng.integers(len(chunks)))
        broken = bytearray(chunks[i])
        broken[int(rng.integers(len(broken)))] ^= int(rng.integers(1, 256))
        try:
            if reader == "compiled":
                codec.decode([bytes(broken)], [n_cells[i]], [n_nonzeros[i]])
            else:
                theirs.decode([bytes(broken)], [n_cells[i]])
        except ValueError:
            n_errors += 1
    assert n_errors == 20


@pytest.mark.parametrize(
    ("change", "says"),
    [
        # One of its coders starts at its end.
        (lambda c: c[:-4], r"early|left over|does not end|entries|none"),
        (lambda c: c + bytes(4), r"early|left over|does not end|entries|none"),
        (lambda c: c[:-12] + bytes(4) + c[-12:], r"early|left over|does not end|entries|none"),
        (lambda c: c[:-12] + c[-8:], r"early|does not end|entries|none"),
        (lambda c: b"", "too early"),
    ],
)
def test_a_chunk_of_another_length_is_an_error(states, change, says):
    X, _ = states
    codec, chunks, n_cells, n_nonzeros = coded(X)
    with pytest.raises(ValueError, match=says):
        codec.decode([change(chunks[0])], [n_cells[0]], [n_nonzeros[0]])
    with pytest.raises(ValueError, match=says):
        CountsReader(codec.to_bytes(), 300).decode([change(chunks[0])], [n_cells[0]])


def test_a_word_that_no_coder_reads_is_an_error_of_another_length(states):
    X, _ = states
    codec, chunks, n_cells, n_nonzeros = coded(X)
    said = set()
    for at in range(0, len(chunks[0]) + 1, 4):
        longer = chunks[0][:at] + bytes(4) + chunks[0][at:]
        with pytest.raises(
            ValueError, match=r"early|left over|does not end|entries|none"
        ) as caught:
            codec.decode([longer], [n_cells[0]], [n_nonzeros[0]])
        said.add(str(caught.value))
    # It is said of the one place where the two meet.
    assert "bytes are left over" in said


def test_another_number_of_nonzeros_is_an_error(states):
    X, _ = states
    codec, chunks, n_cells, n_nonzeros = coded(X)
    for n in (n_nonzeros[0] - 1, n_nonzeros[0] + 1):
        with pytest.raises(ValueError, match="another number of entries"):
            codec.decode([chunks[0]], [n_cells[0]], [n])


def test_cells_and_genes_of_another_matrix_are_an_error():
    X = sparse.csr_matrix(np.array([[1, 0, 2], [4, 0, 0]]))
    codec = coded(X)[0]
    for other in ([[0, 0, 7]], [[1, 0, 0]], [[0, 3, 0]]):
        with pytest.raises(ValueError, match="not fitted to"):
            codec.encode(sparse.csr_matrix(np.array(other)))
    assert codec.decode(codec.encode(X[:1]), [1], [2]).toarray().tolist() == [[1, 0, 2]]


def test_changed_parameters_are_an_error_or_others(states):
    X, _ = states
    data = coded(X)[0].to_bytes()
    rng = np.random.default_rng(5)
    for changed in (data[:1], data[:5], data + b"\0"):
        with pytest.raises(ValueError, match=r"early|left over|empty|range"):
            CountsCodec(changed, 300)
    for _ in range(50):
        broken = bytearray(data)
        broken[int(rng.integers(len(broken)))] ^= int(rng.integers(1, 256))
        try:
            CountsReader(bytes(broken), 300)
        except ValueError:
            continue
