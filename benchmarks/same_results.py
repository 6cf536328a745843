"""Whether two runs gave the same files, byte by byte; logs and timings are passed over.

    cp -r results before; (change the code); rm -r results; make demo
    .venv/bin/python benchmarks/same_results.py before results [--except markers.tsv ...]

Prints every file that differs or is missing on a side, and fails if there is one.
"""

import argparse
import filecmp
import sys
from pathlib import Path

PASSED_OVER = ("logs", "benchmarks")


def files_of(folder: Path, excepted: list[str]) -> set[Path]:
    """Files to compare, relative to the folder."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {p for p in found if p.parts[0] not in PASSED_OVER and p.name not in excepted}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--except", nargs="*", default=[], dest="excepted", metavar="NAME")
    arguments = parser.parse_args()
    before, after = (
        files_of(folder, arguments.excepted) for folder in (arguments.before, arguments.after)
    )
    if not before:
        sys.exit(f"'{arguments.before}' holds no results.")
    for path in sorted(before ^ after):
        print(f"only {'before' if path in before else 'after'}: {path}")
    different = [
        path
        for path in sorted(before & after)
        if not filecmp.cmp(arguments.before / path, arguments.after / path, shallow=False)
    ]
    for path in different:
        print(f"differs: {path}")
    same = len(before & after) - len(different)
    print(f"{same} of {len(before | after)} files are the same bytes")
    return int(same < len(before | after))


if __name__ == "__main__":
    sys.exit(main())
