"""A damaged file between steps is refused, or changes nothing (benchmarks/damage.py --own)."""

from collections import Counter

import numpy as np
import pytest
from fuzz.own import VERBS, judge, outcomes

# Either takes longer to start than all others together.
QUICK = tuple(verb for verb in VERBS if verb not in ("cluster", "evaluate"))


@pytest.fixture
def few(pbmc):
    """80 cells of 40 genes, and their types."""
    detected = np.asarray((pbmc.X > 0).sum(axis=0)).ravel()
    made = pbmc[:80, np.sort(np.argsort(-detected, kind="stable")[:40])].copy()
    made.obs = made.obs[["bulk_labels"]].rename(columns={"bulk_labels": "kind"})
    return made


def test_damaged_files_between_steps_are_refused_or_change_nothing(tmp_path, few):
    found = list(outcomes(tmp_path, 6 * len(QUICK), few, seed=0, verbs=QUICK))
    bad = [one for one in found if one[2] not in ("right", "refused", "changed")]
    assert not bad, bad[:5]
    by_outcome = Counter(one[2] for one in found)
    assert by_outcome["refused"] > 36
    assert by_outcome["right"] > 6
    assert by_outcome["changed"] < 12


@pytest.mark.parametrize(
    ("answer", "impossible", "outcome"),
    [
        ((0, "", "same"), True, "right"),
        ((0, "", "other"), False, "changed"),
        ((0, "", "other"), True, "wrong"),
        ((2, "scpress qc: a message\nscpress qc: error: what is wrong.", {}), True, "refused"),
        ((2, "Warning\nscpress qc: error: what is wrong.", {}), True, "traceback"),
        ((2, "scpress qc: error: one.\nscpress qc: error: two.", {}), True, "traceback"),
        ((1, "scpress qc: error: what is wrong.", {}), True, "traceback"),
        ((2, "", {}), True, "traceback"),
        (("traceback", "ValueError()"), False, "traceback"),
        (("signal", "exit code -11"), False, "signal"),
    ],
)
def test_what_a_verb_answers_is_judged(answer, impossible, outcome):
    assert judge(answer, "qc", "same", impossible, "x")[0] == outcome
