import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from receptors.conftest import chain_frame

from scpress.receptors.contigs import RESIDUES
from scpress.receptors.sequences import END, decode, encode, unique_chains


@given(st.lists(st.text(RESIDUES, min_size=1, max_size=30), min_size=1, max_size=10))
def test_what_is_encoded_is_decoded(texts):
    sequences = encode(chain_frame(*(("c", "TRB", one, "TRBV1", "TRBJ1", 1) for one in texts)))
    assert decode(sequences.residues) == texts
    assert sequences.lengths.tolist() == [len(one) for one in texts]
    assert sequences.residues.shape == (len(texts), max(map(len, texts)))


def test_a_text_ends_where_the_first_sign_is_no_residue():
    assert decode(np.array([[1, 2, END, 3], [0, 1, 1, 1]])) == ["AC", ""]


def test_genes_are_numbered_by_name_and_0_is_not_known():
    rows = [("c", "TRB", "CAF", v, "", 1) for v in ("TRBV9", "", "TRBV2", "TRBV9")]
    sequences = encode(chain_frame(*rows))
    assert [sequences.v_names[one] for one in sequences.v] == ["TRBV9", "", "TRBV2", "TRBV9"]
    assert sequences.v_names == ("", "TRBV2", "TRBV9")
    assert sequences.j.tolist() == [0, 0, 0, 0]


def test_each_chain_is_there_once_whatever_the_order():
    rows = [
        ("c1", "TRB", "CAF", "TRBV1", "TRBJ1", 5),
        ("c2", "TRB", "CAF", "TRBV1", "TRBJ1", 1),
        ("c1", "TRA", "CAF", "TRBV1", "TRBJ1", 5),
    ]
    found = unique_chains(chain_frame(*rows))
    assert found["n_cells"].tolist() == [1, 2]
    assert found.equals(unique_chains(chain_frame(*rows[::-1])))
