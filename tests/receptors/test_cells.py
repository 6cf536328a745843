import pandas as pd
import pytest
from receptors.conftest import chain_frame, contigs_of

from scpress.receptors import cells
from scpress.receptors.cells import choose_chains, group_cells, join_files, note_ambiguities
from scpress.receptors.contigs import Contigs

TRB = ("TRB", "CASSIRSSYEQYF", "TRBV19", "TRBJ2-7")
TRA = ("TRA", "CAVDSNYQLIW", "TRAV12-1", "TRAJ33")


def test_cells_are_named_and_a_chain_of_two_files_is_there_once():
    first = contigs_of(("x", *TRB, 3), ("y", *TRA, 2))
    again = contigs_of(("x", *TRB, 7))
    found = join_files({"s": [first, again], "t": [again]})
    rows = found[["cell", "chain", "molecules"]].to_numpy().tolist()
    assert rows == [["s_x", "TRB", 7], ["s_y", "TRA", 2], ["t_x", "TRB", 7]]
    assert found["arm"].tolist() == ["VDJ", "VJ", "VDJ"]


def test_of_several_chains_the_one_with_the_most_molecules_is_chosen_in_any_order():
    rows = [
        ("x", "TRA", "CAAF", "TRAV2", "TRAJ1", 3),
        ("x", *TRA, 8),
        ("x", "TRB", "CDF", "TRBV2", "TRBJ1", 2),
        ("x", "TRB", "CCF", "TRBV2", "TRBJ1", 2),
    ]
    for given in (rows, rows[::-1]):
        chosen = choose_chains(join_files({"s": [contigs_of(*given)]}))
        assert chosen["VJ"].loc["s_x", "cdr3"] == TRA[1]
        # Of as many molecules, the first by name.
        assert chosen["VDJ"].loc["s_x", "cdr3"] == "CCF"


def test_what_is_not_clear_is_noted():
    frame = chain_frame(
        ("one", *TRA, 3),
        ("one", *TRB, 3),
        ("two", *TRA, 3),
        ("two", "TRA", "CAF", "TRAV1", "TRAJ1", 1),
        ("mixed", *TRB, 3),
        ("mixed", "IGK", "CQF", "IGKV1", "IGKJ1", 1),
        ("genes", *TRB, 3),
    )
    frame.loc[6, ["other_v_genes", "other_j_genes"]] = ["TRBV2", "TRBJ1"]
    chains = join_files({"s": [Contigs(frame, len(frame), {})]})
    assert note_ambiguities(chains).to_dict() == {
        "s_one": "",
        "s_two": "2 VJ chains",
        "s_mixed": "chains of T and B cells",
        "s_genes": "several V genes; several J genes",
    }


def chosen_of(*receptors):
    """Cells with these CDR3s of both chains."""
    return {
        arm: pd.DataFrame(
            [
                (*TRA[:1], a, *TRA[2:]) if arm == "VJ" else (*TRB[:1], b, *TRB[2:])
                for a, b in receptors
            ],
            columns=["chain", "cdr3", "v_gene", "j_gene"],
            index=pd.Index([f"c{n}" for n in range(len(receptors))], name="cell"),
        )
        for arm in ("VJ", "VDJ")
    }


NEAR, FAR = "CASSIRASYEQYF", "CASSWWWWWWWYF"


@pytest.mark.parametrize("rows", [1, 1000])
def test_groups_are_what_links_join_the_largest_first(monkeypatch, rows):
    monkeypatch.setattr(cells, "_ROWS", rows)
    a = TRA[1]
    chosen = chosen_of(
        (a, FAR), (a, TRB[1]), (a, NEAR), (a, NEAR), (a, FAR), (a, "CASSPPPPPPPPPPYF")
    )
    # S and A cost 3, three times.
    assert group_cells(chosen, 9.0).tolist() == [2, 1, 1, 1, 2, 0]
    assert group_cells(chosen, 8.9).tolist() == [1, 0, 2, 2, 1, 0]


def test_a_receptor_without_both_chains_is_in_no_group():
    chosen = chosen_of((TRA[1], NEAR), (TRA[1], NEAR))
    chosen["VJ"] = chosen["VJ"].iloc[:1]
    assert group_cells(chosen, 100.0).to_dict() == {"c0": 0}
    chosen["VJ"] = chosen["VJ"].iloc[:0]
    assert group_cells(chosen, 100.0).empty


def test_receptors_of_other_chains_are_never_alike():
    chosen = chosen_of((TRA[1], NEAR), (TRA[1], NEAR))
    chosen["VJ"].loc["c1", "chain"] = "TRG"
    assert group_cells(chosen, 1000.0).tolist() == [0, 0]
