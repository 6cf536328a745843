"""What is shipped names nothing by labelled cells, and both directions mean the same."""

from scpress.config.options import AnnotateOptions
from scpress.config.transfer import ReferenceOptions, TransferOptions


def test_nothing_is_asked_for_and_both_directions_agree():
    assert TransferOptions().query is None
    assert AnnotateOptions().reference is None
    assert TransferOptions().unlike_rate == ReferenceOptions().unlike_rate
    assert TransferOptions().min_confidence == AnnotateOptions().min_confidence
    assert TransferOptions().max_steps == ReferenceOptions().max_steps
