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
    *_in(
        "errors",
        (
            "an interrupted training ends with the bare number",
            "128 + signal_number",
            "signal_number",
        ),
    ),
    *_in(
        "settings",
        ("numba keeps its own number of threads", '    "NUMBA_NUM_THREADS",\n', ""),
    ),
    *_in(
        "slots",
        (
            "cells in another order are the same",
            "counts.obs_names.equals(other.obs_names)",
            "set(counts.obs_names) == set(other.obs_names)",
        ),
    ),
    *_in(
        "slurm",
        (
            "a reason that begins with the time limit is one",
            '"Reason=TimeLimit" not in reason.split()',
            '"Reason=TimeLimit" not in reason',
        ),
        ("any job of Slurm is requeued", ' or "SCPRESS_REQUEUE" not in os.environ', ""),
    ),
    *_in(
        "cli",
        ("a negative seed is taken", '"seed", 0) < 0', '"seed", 0) < -1'),
        ("parts of flags are taken", "allow_abbrev=False", "allow_abbrev=True"),
    ),
    # config ---------------------------------------------------------------------------------------
    *_in(
        "config/fields",
        ("the minimum itself is refused", "value < low", "value <= low"),
        ("the maximum itself is refused", "value > high", "value >= high"),
        (
            "only the first of several values is checked",
            "for one in value if isinstance(value, tuple)",
            "for one in value[:1] if isinstance(value, tuple)",
        ),
    ),
    *_in(
        "config/flags",
        ("null is a word", 'None if text == "null" else one(text)', "one(text)"),
        ("no choice of those that may be null", 'schema["enum"].append(None)', "pass"),
    ),
    *_in(
        "config/schema",
        ("overrides of a model have defaults", 'if key != "default"}', 'if key != "defaults"}'),
    ),
    # counts ---------------------------------------------------------------------------------------
    *_in(
        "counts/digests",
        ("a digest without the shape", "{array.dtype} {array.shape}", "{array.dtype}"),
        ("a digest without the type", "{array.dtype} {array.shape}", "{array.shape}"),
    ),
    *_in(
        "counts/genes",
        ("versions stay at ids", "return head if dot", "return gene_id if dot"),
        (
            "mitochondrial ids with a version are not found",
            "without_version(gene_id) in MITO",
            "gene_id in MITO",
        ),
        ("half of the names make an index of ids", "mean() > 0.5", "mean() >= 0.5"),
    ),
    *_in(
        "counts/matrix",
        ("a block that just fits is cut", 'side="right")) - 1', 'side="left")) - 1'),
        (
            "pointers of later blocks are one short",
            "block.shape[0]] += at",
            "block.shape[0]] += max(at - 1, 0)",
        ),
        ("pointers are too short for many columns", "max(n_nonzeros, n_vars) <=", "n_nonzeros <="),
        ("squares overflow", "values = block.astype(np.float64)", "values = block.copy()"),
    ),
    *_in(
        "counts/raw",
        ("four bytes hold any count", "values.dtype.itemsize > 2", "values.dtype.itemsize > 4"),
        ("raw has the genes of X", 'return key, "raw/var" if', 'return key, "var" if'),
    ),
    *_in(
        "counts/simulation",
        (
            "later blocks have the library sizes of the first",
            "library_size[block, None]",
            "library_size[: block.stop - block.start, None]",
        ),
        (
            "later blocks have the states of the first",
            "rho[state[block]]",
            "rho[state[: block.stop - block.start]]",
        ),
    ),
    *_in(
        "counts/sizes",
        (
            "later rows of log-values have the first size factors",
            "inverse[first:last]",
            "inverse[: last - first]",
        ),
        (
            "library sizes overflow",
            "block.sum(axis=1, dtype=np.int64)",
            "block.sum(axis=1, dtype=np.int32)",
        ),
    ),
    *_in(
        "counts/spill",
        (
            "what just fits is spilled",
            "8 * self._n_nonzeros > self",
            "8 * self._n_nonzeros >= self",
        ),
        ("blocks are written again", "        self._blocks = []\n\n    def", "\n    def"),
    ),
    *_in(
        "counts/thinning",
        (
            "later values have the theta of the first",
            "counts.indices[part]]",
            "counts.indices[: part.stop - part.start]]",
        ),
        (
            "half of the molecules whatever the fraction",
            "rng.beta(fraction * per_value",
            "rng.beta(per_value / 2",
        ),
        ("thinning without the extra variance", "p = rng.beta(", "p = fraction + 0 * rng.beta("),
        ("theta as of cells of one size", "(size_factor**2).sum()", "size_factor.sum()"),
    ),
    *_in(
        "counts/variable_genes",
        (
            "residuals are clipped by the first batch",
            "np.sqrt(moments.n_obs[batch])",
            "np.sqrt(moments.n_obs[0])",
        ),
        ("the mean rank", "np.nanmedian(ranks", "np.nanmean(ranks"),
        (
            "ties of votes are not broken",
            "(by_rank, -votes) if votes_first",
            "(-votes, -votes) if votes_first",
        ),
        (
            "cells of no batch count as the last",
            "cells = np.flatnonzero(batches >= 0)",
            "cells = np.arange(len(batches))",
        ),
        (
            "later tiles of residuals have the first cells",
            "mu = np.outer(sizes[tile]",
            "mu = np.outer(sizes[cells[: len(tile)]]",
        ),
    ),
    # io -------------------------------------------------------------------------------------------
    *_in(
        "io/files",
        (
            "a file takes its place before it is whole",
            "            yield temporary\n",
            "            yield path\n            temporary.touch()\n",
        ),
        ("a result is for its owner alone", "0o666 & ~umask", "0o600"),
    ),
    *_in(
        "io/h5ad",
        (
            "columns are widened as the first of them",
            "narrow[start : start + 64 * _HDF5_CHUNK]",
            "narrow[: 64 * _HDF5_CHUNK]",
        ),
        (
            "columns stay narrow",
            "_widen_indices(group, options)\n            _append",
            "pass\n            _append",
        ),
        ("more rows than promised", "if rows != shape[0]", "if rows < shape[0]"),
        (
            "pointers of later blocks begin anew on disk",
            "indptr.append(indptr[-1][-1] + block",
            "indptr.append(block",
        ),
    ),
    *_in(
        "io/hdf5",
        ("the last error of the disk", "self._error = self._error or error", "self._error = error"),
        ("writing goes on after an error", "while left and self._error is None", "while left"),
        (
            "what HDF5 met goes before the disk",
            "            disk.check()\n            raise",
            "            raise",
        ),
    ),
    *_in(
        "io/panel",
        ("NA is no name of a cell type", "keep_default_na=False", "keep_default_na=True"),
    ),
    *_in(
        "io/formats/__init__",
        (
            "damage in a later block is a traceback",
            "            with _explain_damage(path, kind):\n                block",
            "            with contextlib.nullcontext():\n                block",
            "tests/io/formats/test_formats.py",
        ),
        (
            "the name goes before the option",
            "options.format or recognize_format(path)",
            "recognize_format(path) or options.format",
            "tests/io/formats/test_formats.py",
        ),
    ),
    *_in(
        "io/formats/annotated",
        (
            "the tables need not fit the matrix",
            "if shape != (len(obs), len(var))",
            "if shape[1] != len(var)",
        ),
        ("genes of X for raw", "read_elem(store[var_key])", 'read_elem(store["var"])'),
    ),
    *_in(
        "io/formats/loom",
        ("chunks are cut", "columns // wide * wide", "columns"),
        ("blocks are wider than the budget", "min(columns, wide)", "wide"),
    ),
    *_in(
        "io/formats/tenx",
        ("the genome is not asked for", "kept &= of_genome", "kept |= of_genome"),
        ("other features are genes", "kinds == _EXPRESSION", 'kinds != ""'),
        ("a cell ends with its part", "stop = int(part[0].max())", "stop = int(part[0].max()) + 1"),
        ("entries in parts need not be sorted", "cells[0] >= last and ", ""),
        ("more entries than promised", "if found != n_entries", "if found < n_entries"),
        ("an entry beyond the last cell", "cells.max() >= n_obs", "cells.max() > n_obs"),
    ),
    *_in(
        "io/formats/text",
        (
            "rows are cells in any case",
            "if is_cells_first:\n            yield",
            "if True:\n            yield",
        ),
        (
            "R's header loses a name",
            "len(header) == len(first) - 1",
            "len(header) == len(first) - 2",
        ),
    ),
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
