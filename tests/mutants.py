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
    *_in(
        "cells/graph",
        (
            "a cell of a later block is its own neighbour",
            "distance[rows - start, rows] = np.inf",
            "distance[rows - start, rows - start] = np.inf",
        ),
        (
            "a neighbour of another cell counts as recalled",
            "np.isin(reference + offset, neighbors + offset)",
            "np.isin(reference, neighbors)",
        ),
    ),
    *_in(
        "cells/stability",
        ("the middle 80 % instead of 90 %", "_PERCENTILES = (5, 95)", "_PERCENTILES = (10, 90)"),
        (
            "a boundary of two clusters believed by the mean of its agreement",
            "return summarize_agreement(values).low",
            "return summarize_agreement(values).mean",
        ),
        (
            "a cluster that has grown keeps its old boundaries",
            "changed = {first}",
            "changed = set()",
        ),
        (
            "a cluster named by the cell of the smallest number in it",
            "return table.argmax(axis=1)[number]",
            "return (table > 0).argmax(axis=1)[number]",
        ),
        (
            "agreement without what chance gives",
            "expected = in_first * in_second / n_pairs if n_pairs else 0.0",
            "expected = 0.0",
        ),
    ),
    *_in(
        "cells/valleys",
        ("any significant ripple is a valley", "_MAX_RATIO = 0.85", "_MAX_RATIO = 1.0"),
        (
            "no gap is wide enough by itself",
            "distance > min_gap * spread",
            "distance > 99 * spread",
        ),
        (
            "the axis is fitted to the cells it divides",
            "for fit, use in ((even, ~even), (~even, even)):",
            "for fit, use in ((even, even), (~even, ~even)):",
        ),
    ),
    *_in(
        "cells/subtypes",
        (
            "a split believed by the mean of its agreement",
            "if agreement.low < options.min_stability:",
            "if agreement.mean < options.min_stability:",
        ),
        ("the fewest supported subtypes are kept", "k = max(kept)", "k = min(kept)"),
        (
            "a final subtype of any size is kept",
            "np.bincount(final, minlength=k).min() >= options.min_subtype_cells",
            "np.bincount(final, minlength=k).min() >= 0",
        ),
        ("two held-out cells are tested", "tested.min() < 3", "tested.min() < 2"),
        (
            "markers are tested on the molecules that proposed them",
            "points, proposing, second, size_factor, genes, k, options, rng\n        )",
            "points, proposing, first, size_factor, genes, k, options, rng\n        )",
        ),
    ),
    *_in(
        "cells/markers",
        (
            "ties are not corrected for",
            "unequal = n_obs + 1 - ties / max(1, n_obs * (n_obs - 1))",
            "unequal = n_obs + 1",
        ),
        ("no continuity correction", "np.abs(difference) - 0.5", "np.abs(difference)"),
        (
            "a false discovery rate falls where p rises",
            "np.minimum.accumulate(scaled[::-1])[::-1]",
            "scaled",
        ),
        ("nothing is added to the mean of the others", "(outside + _PSEUDO_COUNT)", "outside"),
        (
            "the wrong direction speaks for a marker",
            "np.where(z > 0, p_value, 1.0)",
            "np.where(z != 0, p_value, 1.0)",
        ),
        (
            "a marker need not beat every other subtype",
            "np.where(z > 0, p_value, 1.0).max(axis=0)",
            "np.where(z > 0, p_value, 1.0).min(axis=0)",
        ),
        (
            "the best fold change of a marker is reported",
            "change.min(axis=0)",
            "change.max(axis=0)",
        ),
    ),
    *_in(
        "cells/panels",
        (
            "a marker is looked for by its symbol first",
            "by_id.get(gene_id, by_symbol.get(symbol, -1) if symbol else -1)",
            "by_symbol.get(symbol, by_id.get(gene_id, -1))",
        ),
        (
            "a type may be its own ancestor",
            'above = parent[above] if above else ""',
            'above = ""',
        ),
    ),
    *_in(
        "cells/cell_types",
        (
            "negative markers do not count",
            "(1 - against / np.maximum(negative.sum(axis=1), 1))",
            "1",
        ),
        (
            "children must beat the constant of the root",
            "_UNKNOWN_ROOT if is_root else _UNKNOWN_CHILD",
            "_UNKNOWN_ROOT",
        ),
        (
            "a child's confidence forgets its parent's",
            "np.minimum(confidence[at], share[given])",
            "share[given]",
        ),
        (
            "evidence is carried between clusters",
            "inside = clusters[edges.row] == clusters[edges.col]",
            "inside = clusters[edges.row] == clusters[edges.row]",
        ),
    ),
    # compression ----------------------------------------------------------------------------------
    # steps ----------------------------------------------------------------------------------------
    *_in(
        "steps/cluster",
        (
            "a resolution believed by the mean of its agreement",
            '(stability["ari_low"] >= min_stability)',
            '(stability["ari_mean"] >= min_stability)',
        ),
        (
            "one cluster is a clustering",
            '(stability["n_clusters"] > 1)',
            '(stability["n_clusters"] > 0)',
        ),
        ("a drawn cell follows its neighbours", "everywhere[rows] = labels", "pass"),
    ),
    *_in(
        "steps/evaluate",
        ("the mean seed instead of the middle one", "np.median(values)", "np.mean(values)"),
        (
            "cells without a label are a label",
            'known = np.flatnonzero(label != "")',
            "known = np.arange(len(label))",
        ),
        (
            "the last resolution is the best",
            'or ari > scores["ari_best"]',
            'or ari < scores["ari_best"] + 2',
        ),
    ),
    *_in(
        "steps/ingest",
        (
            "ids that differ in the version alone become one name",
            "names = bare if len(set(bare)) == len(set(names)) else names",
            "names = bare",
        ),
        ("donors become numbers", "name not in _NAMES and ", ""),
        (
            "rows of later blocks are kept as those of the first",
            "rows = slice(start, start + block.shape[0])",
            "rows = slice(0, block.shape[0])",
        ),
        (
            "ten molecules are too many for an empty droplet",
            "np.median(sizes) <= _UNFILTERED_MEDIAN",
            "np.median(sizes) < _UNFILTERED_MEDIAN",
        ),
    ),
    *_in(
        "steps/qc",
        ("a cell at a lower limit fails", "values < limit if name", "values <= limit if name"),
        (
            "a cell at an upper limit fails",
            "else values > limit, limit",
            "else values >= limit, limit",
        ),
        (
            "few mitochondrial molecules are a reason",
            "(values > high) | ((values < low) if is_log else False)",
            "(values > high) | (values < low)",
        ),
        (
            "a doublet score at the limit fails",
            "np.nan_to_num(score, nan=-np.inf) > options.max_doublet_score",
            "np.nan_to_num(score, nan=-np.inf) >= options.max_doublet_score",
        ),
        (
            "doublets are dropped beside a filter column",
            "if predicted is not None and options.filter_column is None:",
            "if predicted is not None:",
        ),
        (
            "doublets are placed among all cells",
            "np.flatnonzero(basis)[result.index.to_numpy(dtype=np.int64)]",
            "result.index.to_numpy(dtype=np.int64)",
        ),
        (
            "a later block counts the passing cells of the first",
            "kept = block[passing[start:stop]]",
            "kept = block[passing[: stop - start]]",
        ),
        ("the last reason is the only one", 'f"{text};{reason}" if text else reason', "reason"),
    ),
    *_in(
        "steps/merge",
        ("a cell may be in two samples", "if index.has_duplicates:", "if False:"),
        (
            "both symbols of a gene go to its column",
            'pairs = pairs[~pairs["name"].duplicated(keep=False)]',
            "pass",
        ),
        (
            "a gene in as many cells as asked for is left out",
            "enough = n_cells.to_numpy() >= options.min_cells",
            "enough = n_cells.to_numpy() > options.min_cells",
        ),
        (
            "only the last sample's cells are counted",
            "n_cells += values[",
            "n_cells = values[",
        ),
        (
            "repeated symbols join by their numbers",
            "joined[unclear] = None",
            "pass",
        ),
    ),
    *_in(
        "steps/normalize",
        (
            "a batch of as many cells as asked for is left out",
            "small = sizes < options.min_cells_per_batch",
            "small = sizes <= options.min_cells_per_batch",
            "tests/steps/test_normalize.py batch",
        ),
        (
            "one gene of the list is enough",
            "if chosen.sum() < 2:",
            "if chosen.sum() < 1:",
            "tests/steps/test_normalize.py gene_list",
        ),
        (
            "one of the genes of a repeated symbol is meant",
            "chosen[list(found)] = True",
            "chosen[min(found)] = True",
            "tests/steps/test_normalize.py gene_list",
        ),
    ),
    *_in(
        "steps/assemble",
        (
            "later blocks are divided by the first one's size factors",
            "log_normalize(block, size_factor[start:stop])",
            "log_normalize(block, size_factor[: stop - start])",
        ),
        ("room is made on top of what was kept", "while kept in there:", "while False:"),
        (
            "results make room for each other",
            "key in there and key not in ours and",
            "key in there and",
        ),
    ),
    *_in(
        "steps/export",
        (
            "counts of a block are handed over twice",
            "yield block.X",
            "yield block.X * 2",
        ),
    ),
    *_in(
        "steps/train",
        (
            "a fit as bad as the gene means is kept",
            "if not score < baseline:",
            "if score > baseline:",
        ),
        (
            "cells are held out whatever their sample",
            "split_validation(strata, options.validation_fraction)",
            "split_validation(strata * 0, options.validation_fraction)",
        ),
        (
            "rows of later blocks are divided as those of the first",
            "part_of[start:stop] == i",
            "part_of[: stop - start] == i",
        ),
    ),
    *_in(
        "steps/simulate",
        (
            "every type has subtypes",
            "(truth.cell_type == 0) & (options.n_subtypes > 1)",
            "(truth.cell_type >= 0) & (options.n_subtypes > 1)",
        ),
    ),
    # report ---------------------------------------------------------------------------------------
    # verbs ----------------------------------------------------------------------------------------
    *_in(
        "verbs/cluster",
        ("the seed of clusters is not used", "seed=arguments.seed", "seed=0"),
    ),
    *_in(
        "verbs/evaluate",
        (
            "two latents of one seed are taken",
            "if int(seed) in latents:",
            "if False:",
            "tests/verbs/test_evaluate.py test_verb",
        ),
    ),
    *_in(
        "verbs/export",
        (
            "an old directory is replaced",
            "if output.exists():",
            "if output.is_file():",
            "tests/verbs/test_export.py overwritten",
        ),
        (
            "half a directory is left where the disk is full",
            "shutil.rmtree(temporary, ignore_errors=True)",
            "pass",
            "tests/verbs/test_export.py half",
        ),
    ),
    *_in(
        "verbs/ingest",
        (
            "metadata may have no key",
            "if not equals or not key:",
            "if not equals:",
            "tests/verbs/test_ingest.py metadata_words",
        ),
    ),
    *_in(
        "verbs/report",
        (
            "a sample is always named as its folder is",
            '.get("sample", path.parent.name)',
            '.get("", path.parent.name)',
            "tests/verbs/test_report.py sample",
        ),
        (
            "a history's split is taken for its seed",
            "return parts[-4], parts[-2]",
            "return parts[-4], parts[-3]",
            "tests/verbs/test_report.py history",
        ),
    ),
    *_in(
        "verbs/simulate",
        ("the seed of a simulation is not used", "seed=arguments.seed", "seed=0"),
    ),
    *_in(
        "verbs/subtype",
        (
            "the seed of subtypes is not used",
            "seed=arguments.seed",
            "seed=0",
            "tests/verbs/test_subtype.py disk",
        ),
    ),
    *_in(
        "verbs/train",
        (
            "checkpoints are left beside a model that is written",
            "checkpoint.remove()",
            "pass",
            "tests/verbs/test_train.py checkpoints_go",
        ),
        (
            "minutes between checkpoints are read as seconds",
            "minutes=options.checkpoint_minutes",
            "minutes=options.checkpoint_minutes / 60",
            "tests/verbs/test_train.py checkpoints",
        ),
    ),
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
