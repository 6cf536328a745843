"""What becomes of damaged files: raw ones of every format, and our own between steps.

    .venv/bin/python benchmarks/damage.py --n 5200 [--seed 1] [--list]
    .venv/bin/python benchmarks/damage.py --own --n 1000

Files with one damage each (bytes, values, lengths, datasets, chunks, lines) are read in a process
of their own: the counts are right, or the file is refused with one line; anything else is counted
as wrong (a number that is not in the file), traceback, signal or hang, and fails. Raw files are
judged by an independent strict reader. With --own, one file of a small run is damaged and the verb
that reads it is run: right is the output of the whole file, changed another one of damage that
could be a result (another name, one molecule more), and wrong another one of any other damage.
"""

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzz import damage, own

GOOD, BAD = ("right", "refused", "changed"), ("wrong", "traceback", "signal", "hang")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--list", action="store_true", help="every file that is neither right nor refused"
    )
    parser.add_argument("--own", action="store_true", help="files between steps, not raw ones")
    arguments = parser.parse_args()
    counted: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.own:
            cases = list(own.VERBS)
            found = own.outcomes(folder, arguments.n, counts_with_types(), seed=arguments.seed)
        else:
            cases = list(damage.CASES)
            found = damage.outcomes(folder, arguments.n, seed=arguments.seed)
        for case, number, outcome, why in found:
            counted[case, outcome] += 1
            if arguments.list and outcome not in GOOD[:2]:
                print(f"{case} {number} {outcome}: {why}", file=sys.stderr)
    outcomes = (*GOOD, *BAD)
    print(f"| {'verb' if arguments.own else 'format'} | " + " | ".join(outcomes) + " |")
    print("|---|" + "---|" * len(outcomes))
    for case in cases:
        print(f"| {case} | " + " | ".join(str(counted[case, one]) for one in outcomes) + " |")
    total = {one: sum(counted[case, one] for case in cases) for one in outcomes}
    print("| all | " + " | ".join(str(total[one]) for one in outcomes) + " |")
    return int(any(total[one] for one in BAD))


def counts_with_types():
    """A few real cells and genes, with their types as the user's."""
    import numpy as np

    from scpress.counts.demo import pbmc68k_counts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own file is in an old format
        adata = pbmc68k_counts()
    detected = np.asarray((adata.X > 0).sum(axis=0)).ravel()
    few = adata[:90, np.sort(np.argsort(-detected, kind="stable")[:50])].copy()
    few.obs = few.obs[["bulk_labels"]].rename(columns={"bulk_labels": "kind"})
    return few


if __name__ == "__main__":
    sys.exit(main())
