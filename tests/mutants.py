"""Would the tests notice? One-line edits of the code, each of which must make its tests fail.

    make mutants                                    all of them
    .venv/bin/python tests/mutants.py NAME ...      those whose name or file contains a word
    .venv/bin/python tests/mutants.py --list        their names by file

Each edit is made in a copy of the tree, and the tests of the module it is in are run there. Exit
code 1 and a line for every mutant that lived, or whose text is not (once) in its file any more.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = (
    "src",
    "tests",
    "workflow",
    "config",
    "docs",
    "profiles",
    "resources",
    "benchmarks",
    "envs",
)
LINKED = (".venv", "data")
# A test that hangs under an edit has noticed it.
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Mutant:
    """One edit: `old`, which stands once in `path`, becomes `new`; `tests` must then fail."""

    path: str
    name: str
    old: str
    new: str
    tests: str = ""  # a test file (and `-k` words); the module's own where not given

    @property
    def test_words(self) -> list[str]:
        """What pytest is told to run."""
        own = Path(self.path.removeprefix("src/scpress/"))
        default = f"tests/{own.parent}/test_{own.stem}.py".replace("/./", "/")
        file, _, words = (self.tests or default).partition(" ")
        return [file, *(["-k", words] if words else [])]


def _in(module: str, *edits: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one module of the package: (name, old, new[, tests])."""
    return [Mutant(f"src/scpress/{module}.py", *edit) for edit in edits]


MUTANTS = [
    # cli, errors, settings, slots, slurm ----------------------------------------------------------
    # config ---------------------------------------------------------------------------------------
    # counts ---------------------------------------------------------------------------------------
    # io -------------------------------------------------------------------------------------------
    # model ----------------------------------------------------------------------------------------
    # training -------------------------------------------------------------------------------------
    # cells ----------------------------------------------------------------------------------------
    # compression ----------------------------------------------------------------------------------
    # steps ----------------------------------------------------------------------------------------
    # report ---------------------------------------------------------------------------------------
    # verbs ----------------------------------------------------------------------------------------
    # workflow -------------------------------------------------------------------------------------
]


def copy_tree(folder: Path) -> None:
    """Copy what the tests need to a folder of its own."""
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)
    for name in COPIED:
        # Compiled files come along: only what an edit touches is compiled again.
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)


def run_tests(words: list[str], folder: Path) -> tuple[int | None, str]:
    """(exit code, output) of pytest in a copy; None where it did not end."""
    environment = os.environ | {
        "PYTHONPATH": str(folder / "src"),
        "PYTHONHASHSEED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, "timed out"
    return done.returncode, done.stdout + done.stderr


def judge(mutant: Mutant, folder: Path) -> str:
    """ "" where the tests noticed the edit, else what is wrong."""
    path = folder / mutant.path
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return f"its text stands {text.count(mutant.old)} times in {mutant.path}, not once"
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        code, output = run_tests(mutant.test_words, folder)
    finally:
        path.write_text(text)
    # 1: a test failed. 2 to 5: pytest itself could not, or there was nothing to run.
    if code in (1, None):
        return ""
    return "lived" if code == 0 else f"pytest ended with {code}: {output.splitlines()[-1:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="parts of names or files; all when none is given")
    parser.add_argument("--list", action="store_true", help="names by file, nothing is run")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the tree at a time [2]")
    arguments = parser.parse_args()
    chosen = [
        m
        for m in MUTANTS
        if not arguments.words or any(w in m.name or w in m.path for w in arguments.words)
    ]
    names = [m.name for m in MUTANTS]
    if len(set(names)) < len(names):
        sys.exit(f"two mutants of one name: {sorted({n for n in names if names.count(n) > 1})}")
    if not chosen:
        sys.exit(f"no mutant has {' or '.join(arguments.words)} in its name or file.")
    if arguments.list:
        for path in dict.fromkeys(m.path for m in chosen):
            print(path)
            for m in chosen:
                if m.path == path:
                    print(f"    {m.name}")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as parent:
        folders: queue.Queue[Path] = queue.Queue()
        for number in range(min(arguments.jobs, len(chosen))):
            folder = Path(parent) / str(number)
            folder.mkdir()
            copy_tree(folder)
            folders.put(folder)

        def work(mutant: Mutant) -> str:
            folder = folders.get()
            begun = time.monotonic()
            try:
                problem = judge(mutant, folder)
            finally:
                folders.put(folder)
            seconds = time.monotonic() - begun
            print(
                f"{problem or 'killed':<8} {seconds:4.0f} s  {mutant.path}: {mutant.name}",
                flush=True,
            )
            return problem

        with ThreadPoolExecutor(arguments.jobs) as pool:
            problems = [problem for problem in pool.map(work, chosen) if problem]
    print(f"{len(chosen) - len(problems)} of {len(chosen)} mutants were killed")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
