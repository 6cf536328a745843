"""Damaged files give the right counts or one line, never a wrong number (benchmarks/damage.py)."""

from collections import Counter
from contextlib import closing

from fuzz.damage import CASES, Readers, outcomes, write_cases


def test_whole_files_are_right(tmp_path):
    with closing(Readers()) as readers:
        for case, path in write_cases(tmp_path / "all").items():
            assert readers.judge(path, case) == ("right", ""), case


def test_damaged_files_are_read_right_or_refused(tmp_path):
    found = list(outcomes(tmp_path, 30 * len(CASES), seed=0))
    bad = [one for one in found if one[2] not in ("right", "refused")]
    assert not bad, bad[:5]
    by_outcome = Counter(one[2] for one in found)
    assert by_outcome["right"] > 50
    assert by_outcome["refused"] > 150
