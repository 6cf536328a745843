"""The compression table: what is said of a code is said by one name on both sides."""

import dataclasses
import json

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
