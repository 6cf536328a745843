"""What is said of an input is what `ingest` is told of one."""

from dataclasses import fields

from scpress.config.archive import InputOptions
from scpress.config.options import IngestOptions


def test_an_input_is_described_as_to_ingest():
    known = {item.name: item for item in fields(IngestOptions)}
    for item in fields(InputOptions):
        assert item.default == known[item.name].default
        for limit in ("choices", "minimum", "maximum"):
            assert item.metadata[limit] == known[item.name].metadata[limit]
