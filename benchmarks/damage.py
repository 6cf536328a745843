"""What becomes of damaged raw files of every format, judged by an independent strict reader.

    .venv/bin/python benchmarks/damage.py --n 5200 [--seed 1] [--list]

Files with one damage each (bytes, values, lengths, datasets, chunks, lines) are read in a process
of their own: the counts are right, or the file is refused with one line; anything else is counted
as wrong (a number that is not in the file), traceback, signal or hang, and fails.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzz.damage import CASES, outcomes

OUTCOMES = ("right", "refused", "wrong", "traceback", "signal", "hang")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="every file that is neither")
    arguments = parser.parse_args()
    counted: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for case, number, outcome, why in outcomes(Path(folder), arguments.n, seed=arguments.seed):
            counted[case, outcome] += 1
            if arguments.list and outcome not in OUTCOMES[:2]:
                print(f"{case} {number} {outcome}: {why}", file=sys.stderr)
    print("| format | " + " | ".join(OUTCOMES) + " |\n|---|" + "---|" * len(OUTCOMES))
    for case in CASES:
        print(f"| {case} | " + " | ".join(str(counted[case, one]) for one in OUTCOMES) + " |")
    total = [sum(counted[case, one] for case in CASES) for one in OUTCOMES]
    print("| all | " + " | ".join(map(str, total)) + " |")
    return int(sum(total[2:]) > 0)


if __name__ == "__main__":
    sys.exit(main())
