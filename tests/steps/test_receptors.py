import logging

import numpy as np
import pandas as pd
import pytest
from receptors.conftest import contigs_of, make_chains

from scpress import slots
from scpress.config.receptors import ReceptorsOptions
from scpress.errors import InputError
from scpress.receptors.contigs import Contigs
from scpress.receptors.sequences import IDENTITY, encode, unique_chains
from scpress.receptors.training import train
from scpress.steps.receptors import receptors, reconstruction

OPTIONS = ReceptorsOptions(n_latent=6, hidden=12, max_epochs=2)
CELLS = pd.Index(["s_c3", "s_other", "s_c0", "t_c3"])


@pytest.fixture(scope="module")
def files():
    many_chains = make_chains()
    # c3 has no VJ chain.
    kept = many_chains[~((many_chains["barcode"] == "c3") & (many_chains["chain"] == "TRA"))]
    return {"s": [Contigs(kept, len(kept), {"not productive": 2})]}


@pytest.fixture(scope="module")
def found(files):
    return receptors(CELLS, files, OPTIONS)


def test_each_cell_has_the_codes_of_its_own_chains_and_nan_where_it_has_none(found, files):
    result, _ = found
    chains = files["s"][0].chains
    table = unique_chains(chains)
    codes = train(encode(table), OPTIONS).codes
    of = {tuple(row): code for row, code in zip(table[IDENTITY].to_numpy(), codes, strict=True)}
    joined = result.obsm["X_receptor"]
    assert joined.shape == (4, 12)
    for row, cell in ((0, "c3"), (2, "c0")):
        for half, chain in ((slice(0, 6), "TRA"), (slice(6, 12), "TRB")):
            own = chains[(chains["barcode"] == cell) & (chains["chain"] == chain)]
            if len(own):
                np.testing.assert_array_equal(joined[row, half], of[tuple(own[IDENTITY].iloc[0])])
            else:
                assert np.isnan(joined[row, half]).all()
    assert np.isnan(joined[[1, 3]]).all()
    assert np.isfinite(joined[2]).all()
    assert np.isnan(joined[0, :6]).all()


def test_cells_carry_their_chains_and_what_the_record_counts(found, files):
    result, table = found
    slots.require(result, slots.RECEPTOR, *slots.RECEPTOR_CHAIN.values())
    slots.require(result, slots.RECEPTOR_CHAINS, slots.RECEPTOR_NOTE, slots.RECEPTOR_GROUP)
    own = files["s"][0].chains.query("barcode == 'c0' and chain == 'TRB'").iloc[0]
    assert result.obs["receptor_vdj_cdr3"].iloc[2] == own["cdr3"]
    assert result.obs["receptor_vj_cdr3"].isna().tolist() == [True, True, False, True]
    assert result.obs["receptor_n_chains"].tolist() == [1, 0, 2, 0]
    record = result.uns["scpress"]["receptors"]
    assert record["n_with_receptor"] == 2
    assert record["n_with_both_chains"] == 1
    assert record["n_chains_without_cell"] == 119 - 3
    assert record["dropped"] == {"s": {"not productive": 2}}
    assert record["n_sequences"] == len(table)


def test_the_nearest_sequence_is_of_the_same_chain_and_the_nearest_by_code(found, files):
    _, table = found
    codes = train(encode(unique_chains(files["s"][0].chains)), OPTIONS).codes
    for row in (0, 70):
        same = np.flatnonzero(table["chain"] == table["chain"][row])
        far = np.linalg.norm(codes[same] - codes[row], axis=1)
        far[same == row] = np.inf
        assert table["nearest_distance"][row] == pytest.approx(far.min(), rel=1e-4)
        assert table["nearest_cdr3"][row] == table["cdr3"][same[far.argmin()]]


def test_how_many_have_none_is_said(files, caplog):
    with caplog.at_level(logging.INFO, logger="scpress"):
        receptors(CELLS, files, ReceptorsOptions(method="kmers", n_latent=5))
    lines = [one.message for one in caplog.records]
    assert (
        "receptors: 2 of 4 cells have a receptor, 1 of them both chains; 2 have none (NaN)."
        in lines
    )


def test_kmers_need_no_training(files):
    result, table = receptors(CELLS, files, ReceptorsOptions(method="kmers", n_latent=5))
    assert result.obsm["X_receptor"].shape == (4, 10)
    assert "read_back" not in table
    assert "reconstruction" not in result.uns["scpress"]["receptors"]


def test_tables_of_other_cells_are_refused_and_one_of_several_is_said(files, caplog):
    with pytest.raises(InputError, match=r"cells are named like 's_c3'.* tables have 'x_c0'"):
        receptors(CELLS, {"x": files["s"]}, OPTIONS)
    few = contigs_of(("a", "TRB", "CAF", "TRBV1", "TRBJ1", 1))
    with caplog.at_level(logging.WARNING, logger="scpress"):
        receptors(CELLS, {**files, "u": [few]}, ReceptorsOptions(method="kmers", n_latent=5))
    assert "none of the tables' barcodes of 'u' is a cell" in caplog.text


def test_too_few_sequences_are_refused():
    few = contigs_of(("c0", "TRB", "CAF", "TRBV1", "TRBJ1", 1))
    with pytest.raises(InputError, match=r"have 1 different sequences, .* at least 20"):
        receptors(CELLS, {"s": [few]}, OPTIONS)


def test_a_training_that_does_not_converge_is_refused(files):
    with pytest.raises(InputError, match=r"learning_rate 1e.30 did not converge"):
        receptors(CELLS, files, ReceptorsOptions(**{**vars(OPTIONS), "learning_rate": 1e30}))


def test_reconstruction_is_by_length_of_what_was_held_out(files):
    sequences = encode(files["s"][0].chains)
    held_out = np.zeros(len(sequences), dtype=bool)
    held_out[:3] = True
    right = sequences.residues > 0
    right[0, 0] = False
    found = reconstruction(sequences, right, held_out)
    lengths = sequences.lengths[:3]
    assert found["length"] == sorted(set(lengths.tolist()))
    assert sum(found["n_sequences"]) == 3
    at = found["length"].index(lengths[0])
    n = int((lengths == lengths[0]).sum())
    assert found["residues_right"][at] == pytest.approx(1 - 1 / (n * lengths[0]))
    assert found["whole"][at] == pytest.approx(1 - 1 / n)
