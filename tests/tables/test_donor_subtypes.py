import json

import pytest

from scpress.errors import InputError
from scpress.tables.donor_subtypes import NO_SUBTYPE, DonorSubtypes

PLAIN = {
    "donor_key": "donor",
    "n_donors": 2,
    "verdict": "no supported donor subtypes.",
    "view": "",
    "donor": ["d1", "d2"],
    "donor_subtype": [NO_SUBTYPE, NO_SUBTYPE],
    "confidence": None,
    "views": [],
    "associations": [],
    "survival": {},
}


def test_without_subtypes_there_are_no_confidences_and_json_keeps_it():
    record = DonorSubtypes.from_plain(json.loads(json.dumps(PLAIN)), "it")
    assert record.confidence is None
    assert record.survival is None
    assert record.as_plain() == PLAIN


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("confidence", [0.5], "columns of unlike lengths"),
        ("confidence", [0.5, 1.1], r"'confidence' in it is 1.1"),
        ("views", [{}], "'views' in it lacks 'name'"),
    ],
)
def test_what_cannot_be_is_one_line(field, value, line):
    with pytest.raises(InputError, match=line):
        DonorSubtypes.from_plain(PLAIN | {field: value}, "it")
