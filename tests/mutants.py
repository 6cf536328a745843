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


def _workflow(file: str, tests: str, *edits: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of one file of the workflow, and what must fail."""
    return [Mutant(f"workflow/{file}", *edit, tests) for edit in edits]


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
    *_workflow(
        "rules/common.smk",
        "tests/workflow/test_common.py",
        (
            "flags drop null",
            'if value is None and known[key]["default"] is None:',
            "if value is None:",
        ),
        (
            "a model's own options are ignored",
            "{**config[section], **dict(overrides)}",
            "{**config[section]}",
        ),
        (
            "the section's options come before a sample's",
            "{**config[section], **dict(overrides)}",
            "{**dict(overrides), **config[section]}",
        ),
        ("threads are not passed on", 'str(config["threads"])', '"1"'),
        (
            "pca is trained with every seed",
            'config["seeds"][:1] if preset == "pca"',
            'config["seeds"] if preset == "pca"',
        ),
        (
            "a preset of the train section is not seen by the seeds",
            '{**config["train"], **MODELS[model]}["preset"]',
            'MODELS[model].get("preset")',
        ),
        (
            "what follows a model reads its last seed",
            "else seeds(model)[:1])",
            "else seeds(model)[-1:])",
        ),
        ("an attempt does not double", "* 2 ** (attempt - 1)", "* attempt"),
        ("a request has no limit", "min(config[limit], wanted)", "wanted"),
        (
            "samples are merged in the memory of the largest",
            "prediction.total([prediction.measure(path) for path in input.counts])",
            "prediction.largest([prediction.measure(path) for path in input.counts])",
        ),
        (
            "a submitted job asks about the files of others",
            "workflow.remote_exec or os.path.exists(path)",
            "os.path.exists(path)",
        ),
        (
            "jobs of another folder are cancelled",
            "if folder == os.getcwd() and comment",
            "if comment",
        ),
    ),
    *_workflow(
        "rules/counts.smk",
        "tests/workflow/test_workflow.py sample_are_as_large",
        (
            "quality control is as large as what ingest will write",
            'memory("qc", sample_size)',
            'memory("qc")',
        ),
    ),
    *_workflow(
        "rules/cells.smk",
        "tests/workflow/test_workflow.py primary_one",
        (
            "the cells are clustered with another model's latent",
            'model_files("latent.h5ad", [PRIMARY])',
            'model_files("latent.h5ad")[:1]',
        ),
        (
            "the clusters are said to be of the last seed",
            "model=PRIMARY,\n        seed=seeds(PRIMARY)[0]",
            "model=PRIMARY,\n        seed=seeds(PRIMARY)[-1]",
        ),
    ),
    *_workflow(
        "rules/model.smk",
        "tests/workflow/test_workflow.py page_shows_every_one",
        (
            "a model is evaluated by its first seed alone",
            "[wildcards.model], every_seed=True",
            "[wildcards.model]",
        ),
    ),
    *_workflow(
        "rules/report.smk",
        "tests/workflow/test_workflow.py page_shows_every_one",
        (
            "the page shows the training of first seeds alone",
            'model_files("history.tsv", every_seed=True)',
            'model_files("history.tsv")',
        ),
    ),
    *_workflow(
        "inputs.py",
        "",
        (
            "defaults are not filled into sections",
            'if "properties" in one:',
            'if "properties" in one and key not in data:',
        ),
        ("defaults are shared by all", 'copy.deepcopy(one["default"])', 'one["default"]'),
        ("two samples of one name", 'row["sample"] in names', 'row["sample"] in ()'),
        ("a mark before the text is part of the first column", "utf-8-sig", "utf-8"),
        ("a comment is a row", ' and not line.startswith("#")', ""),
        (
            "an open quotation mark swallows samples",
            "any(_has_line_break(cell) for cell in cells)",
            "False",
        ),
        (
            "a column that is twice is read once",
            "if name and header.count(name) > 1]",
            "if name and header.count(name) > 9]",
        ),
        (
            "a primary model that was dropped is accepted",
            "if primary not in models:",
            'if primary not in config["models"]:',
        ),
        (
            "a second file replaces whole sections",
            "lay_over(joined.get(key, {}), value)",
            "lay_over({}, value)",
        ),
        ("a missing panel is no problem", '("annotate", "panel"))', ")"),
        (
            "only the first bad row is named",
            "problems.append(problem)",
            "problems = problems or [problem]",
        ),
    ),
    *_workflow(
        "prediction.py",
        "",
        (
            "gene counts are read as cells of 10x files",
            'len(group["barcodes"])',
            'len(group["data"])',
        ),
        (
            "the first matrix of a file is its size",
            "return Size(len(index), max(",
            "return Size(len(index), min(",
        ),
        (
            "an old answer for a new file",
            "modified = path.stat().st_mtime_ns",
            "modified = path.stat().st_mode",
        ),
        ("the largest of some files is the smallest", "Size(*map(max, zip(", "Size(*map(min, zip("),
        ("time in units of ten thousand cells", "size.cells / 1000)", "size.cells / 10_000)"),
    ),
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
        "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
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
