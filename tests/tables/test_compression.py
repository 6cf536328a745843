"""The compression table: what is said of a code is said by one name on both sides."""

import dataclasses
import json

import pytest

from scpress.errors import InputError
from scpress.tables.compression import Code, Compression, Precision, Scores, WithDecoder


def test_a_codes_row_has_its_scores_and_costs_side_by_side():
    names = {item.name for item in dataclasses.fields(Scores)}
    assert names < {item.name for item in dataclasses.fields(Code)}
    assert {item.name for item in dataclasses.fields(Code)} < {
        item.name for item in dataclasses.fields(Precision)
    }


def test_fixed_bytes_are_all_but_the_latent():
    part = WithDecoder(
        latent_bytes=1,
        decoder_bytes=10,
        gene_bytes=100,
        library_bytes=1000,
        total_bytes=1111,
        bytes_per_cell=1.0,
        ratio=1.0,
        break_even_cells=None,
    )
    assert part.fixed_bytes == 1110
    assert part.fixed_bytes + part.latent_bytes == part.total_bytes
    # No number of cells at which it pays: the word for that is null.
    assert json.loads(json.dumps(part.as_plain()))["break_even_cells"] is None
    assert WithDecoder.from_plain(part.as_plain(), "x") == part


def test_every_field_of_the_table_is_read_again(full_compression):
    text = json.dumps(full_compression.as_plain())
    assert Compression.from_plain(json.loads(text), "x") == full_compression


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("precision",), [], "x has no code in 'precision'"),
        (("precision",), {}, "'precision' in x is {}, which"),
        (("seed",), "0", "'seed' in x is '0', which"),
        (("n_cells",), -1, "'n_cells' in x is -1, which"),
        (("n_cells",), 9.5, r"'n_cells' in x is 9\.5, which"),
        (("stored", "ratio"), 0.0, r"'ratio' in 'stored' in x is 0\.0, which"),
        (("stored", "ratio"), float("nan"), "'ratio' in 'stored' in x is nan, which"),
        (("distortion", "ari_label"), 1.5, "'ari_label' in 'distortion' in x is"),
        (("tensors", "decoder", "eta.weight"), "28", r"'tensors.decoder.eta.weight' in x is '28'"),
        (("with_decoder",), None, "'with_decoder' in x is not a table of named values; found None"),
        (("held_out", "n_molecules"), -1, "'n_molecules' in 'held_out' in x is -1, which"),
        (("held_out", "codes", 0, "cell_bytes"), 0.0, "'cell_bytes' in 'codes' in 'held_out' in x"),
        (("curve", 1, "bytes_per_cell"), None, "'bytes_per_cell' in 'curve' in x is None"),
    ],
)
def test_what_cannot_be_is_named(full_compression, path, value, says):
    values = json.loads(json.dumps(full_compression.as_plain()))
    inside = values
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    with pytest.raises(InputError, match=says):
        Compression.from_plain(values, "x")


def test_no_field_may_be_missing(full_compression):
    for name in full_compression.as_plain():
        values = json.loads(json.dumps(full_compression.as_plain()))
        del values[name]
        with pytest.raises(InputError, match=rf"x lacks '{name}'; .*scpress compress` again"):
            Compression.from_plain(values, "x")


def test_a_model_without_held_out_cells_has_no_codes_on_unseen_molecules(full_compression):
    without = dataclasses.replace(full_compression, held_out=None)
    values = json.loads(json.dumps(without.as_plain()))
    assert values["held_out"] == {}
    assert Compression.from_plain(values, "x") == without
