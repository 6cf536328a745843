"""Which code is best at which size: the front, its ranges, and why a model is not on it."""

import dataclasses

import pytest

from scpress.report import lossy
from scpress.report.figures import lossy_front
from scpress.tables.compression import PCA, LossyCode


def code(name, shared, cell, score, *, n_cells=100, n_latent=2, **changes):
    return LossyCode(
        code=name,
        n_latent=n_latent,
        precision="int8",
        weights_precision="int8",
        shared_bytes=shared,
        cell_bytes=cell,
        bytes_per_cell=shared / n_cells + cell,
        unseen_deviance_explained=score,
        **changes,
    )


# At 100 cells: 2, 4, 7, 12 bytes per cell.
SMALL, PCA2, PCA5 = code("mean", 100, 1, 0.0), code(PCA, 200, 2, 0.1), code(PCA, 200, 5, 0.2)
MODEL = code("m", 1000, 2, 0.3)


def test_the_front_has_no_code_that_a_smaller_one_equals():
    worse, equal = code(PCA, 100, 7, 0.15), code("m", 900, 0.5, 0.2)
    assert lossy.find_front([equal, MODEL, worse, PCA5, SMALL, PCA2]) == [SMALL, PCA2, PCA5, MODEL]
    # Of two of one size the better.
    better = dataclasses.replace(SMALL, unseen_deviance_explained=0.05)
    assert lossy.find_front([SMALL, better]) == [better]


def test_ranges_join_codes_of_one_name_and_end_at_the_counts():
    front = [SMALL, PCA2, PCA5, MODEL]
    ranges = lossy.front_ranges(front, 48)
    assert ranges == [(2, 4, [SMALL]), (4, 12, [PCA2, PCA5]), (12, 48, [MODEL])]
    # A code that takes more than the counts is on no range.
    assert lossy.front_ranges(front, 10)[-1] == (4, 10, [PCA2, PCA5])
    shares = [lossy.front_share(name, front, 2 * 2**6) for name in ("mean", PCA, "m")]
    assert shares[0] == pytest.approx(1 / 6)
    assert sum(shares) == pytest.approx(1)
    assert lossy.front_share("m", [], 10) == 0


def test_a_model_leads_from_where_its_decoder_is_shared_by_enough():
    model = code("m", 1000, 3, 0.15)
    n = lossy.cells_to_lead([model], [PCA2, PCA5])
    # Against the smallest rival that keeps as much: 1000 + 3 n < 200 + 5 n.
    assert n == 401
    assert 1000 + 3 * n < 200 + 5 * n
    assert 1000 + 3 * (n - 1) >= 200 + 5 * (n - 1)
    assert lossy.cells_to_lead([code("m", 1000, 6, 0.15)], [PCA2, PCA5]) is None
    # No rival keeps as much.
    assert lossy.cells_to_lead([MODEL], [PCA2, PCA5]) == 0
    # The best of a model's codes counts.
    assert lossy.cells_to_lead([model, code("m", 300, 4, 0.15)], [PCA5]) == 101


def test_each_range_has_a_sentence():
    sentences = lossy.describe_ranges([SMALL, PCA2, PCA5, MODEL], 48)
    assert sentences == [
        "From 2.0 to 4.0 bytes per cell: mean (2 dimensions at int8), which explains 0.0%.",
        "From 4.0 to 12.0 bytes per cell: PCA (2 dimensions at int8), which explains 10.0% to "
        "20.0%.",
        "From 12.0 to 48.0 bytes per cell (the counts themselves): m (2 dimensions at int8), which "
        "explains 30.0%.",
    ]
    nothing = [code("mean", 100, 1, -1e-9), code("mean", 150, 1, 1e-9)]
    assert lossy.describe_ranges(nothing, 48)[0].endswith("which explains 0.0%.")
    mixed = code("m", 1, 3, 0.2, n_latent=1)
    mixed = dataclasses.replace(mixed, precision="int4")
    gene_mean = code("mean", 100, 1, 0, n_latent=0)
    sentences = lossy.describe_ranges([gene_mean, mixed, MODEL], 1000)
    assert "mean (weights at int8)" in sentences[0]
    ends = "m (1 dimension at int4, weights at int8 to 2 dimensions at int8), which explains 20.0%"
    assert ends in sentences[1]


def describe(codes, most=48):
    return lossy.describe_model("m", codes, lossy.find_front(codes), most, 100)


def test_where_a_model_is_best_and_where_it_is_not_is_said():
    text = describe([SMALL, PCA2, PCA5, MODEL])
    assert text == (
        "m is the best code over 44% of the range of bytes (on a log scale), not below 12.0: its "
        "smallest code has 12.0 bytes per cell, of which 10.0 are the decoder over 100 cells."
    )
    first = code("m", 10, 1, 0.1)
    assert describe([first, code(PCA, 200, 5, 0.05)]) == (
        "m is the best code over 100% of the range of bytes (on a log scale)."
    )


def test_why_a_model_is_nowhere_best_is_said_with_the_cells_that_it_wants():
    text = describe([SMALL, PCA2, PCA5, code("m", 1000, 3, 0.15)])
    assert text == (
        "m is nowhere the best code: its smallest code has 13.0 bytes per cell, of which 10.0 are "
        "the decoder over 100 cells, and the 15.0% that it explains at best PCA explains in 7.0. "
        "Shared by 401 cells its decoder would make it the smaller."
    )
    text = describe([PCA5, code("m", 1000, 6, 0.15)])
    assert text.endswith("More cells to share the decoder would not change this.")
    # Better than all, at more bytes than the counts.
    assert describe([PCA5, MODEL], most=10).endswith("in more bytes than the counts have.")


def test_the_section_has_all_models_and_each_rival_once(full):
    section = lossy.lossy_section(full.compressions)
    one = full.compressions[0].held_out
    codes = lossy.gather_codes(full.compressions)
    assert codes == list(one.codes)
    assert [name for name, _ in section["legend"]] == list(dict.fromkeys(c.code for c in codes))
    assert section["left_out"] == []
    assert (section["n_cells"], section["n_molecules"]) == (one.n_cells, one.n_molecules)
    assert len(section["models"]) == 1
    again = dataclasses.replace(full.compressions[0], model="again")
    assert lossy.gather_codes([*full.compressions, again]) == codes


def test_codes_scored_on_other_molecules_are_left_out_by_name(full):
    one, _ = full.compressions
    codes = tuple(dataclasses.replace(code, code="far") for code in one.held_out.codes)
    other = dataclasses.replace(one.held_out, digest="other", codes=codes)
    far = dataclasses.replace(one, model="far", held_out=other)
    section = lossy.lossy_section([one, far])
    assert section["left_out"] == ["far"]
    assert "far" not in [name for name, _ in section["legend"]]
    none = dataclasses.replace(one, held_out=None)
    assert lossy.lossy_section([none]) is None
    assert lossy.lossy_section([none, far])["left_out"] == []


def test_the_figure_draws_every_code_and_the_front_as_a_line():
    codes = [SMALL, PCA2, PCA5, MODEL, code("m", 5000, 2, 0.25)]
    front = lossy.find_front(codes)
    line, *points = lossy_front(codes, front)["data"]
    assert line["x"] == [2, 4, 7, 12]
    assert line["y"] == [0, 0.1, 0.2, 0.3]
    by_name = {trace["name"]: trace for trace in points}
    assert by_name["m"]["x"] == [12, 52]
    assert by_name["m"]["marker"]["size"][0] > by_name["m"]["marker"]["size"][1]
    # What is far below the gene mean does not squeeze the rest.
    bad = lossy_front([*codes, code("m", 1, 1, -50.0)], front)
    low, high = bad["layout"]["yaxis"]["range"]
    assert -0.1 < low < 0 < 0.3 < high < 0.4
