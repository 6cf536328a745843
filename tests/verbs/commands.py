"""Verbs as a user runs them: their commands, and what one that is refused may say and leave."""

import logging
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from scpress import cli

SCPRESS = Path(sys.executable).with_name("scpress")


def run(words):
    """Exit code of a command."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as end:
        return end.code
    finally:
        # They write to the stderr of this command, which pytest closes.
        logging.getLogger("scpress").handlers.clear()


def must(words, output):
    """Run a command that succeeds."""
    assert run([*words, "--output", output]) == 0, words


def program(words, folder, *, file_bytes=-1):
    """The installed program in a folder, which may write files of so many bytes; -1 for any."""
    limit = "import os, resource, sys; n = int(sys.argv[1]); "
    limit += (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); os.execv(sys.argv[2], sys.argv[2:])"
    )
    return subprocess.run(
        [sys.executable, "-c", limit, str(file_bytes), *map(str, words)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def limited(words, most_bytes):
    """Exit code of a command that cannot write files of more bytes: the error is the system's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        return run(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def require_one_line(verb, text, *says):
    """The last line is the only error; before it there may be messages of the verb."""
    *before, error = text.splitlines()
    assert error.startswith(f"scpress {verb}: error: "), text
    assert not [line for line in before if not line.startswith(f"scpress {verb}: ")], text
    assert not [line for line in before if "error" in line], text
    assert error.endswith((".", "?")), error
    for word in says:
        assert re.search(word, error), f"{word!r} is not in {error!r}"


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Case:
    """One bad input: its command, made from the run and an empty folder, and what is said."""

    name: str
    words: Callable[[Path, Path], list]
    says: tuple[str, ...]


DATA = ("--counts", "@counts.h5ad", "--normalized", "@normalized.h5ad")
MODEL = ("--model-file", "@model.safetensors", "--model", "pca")


def of_run(verb, *words):
    """A verb of the files of the run: @FILE stands for one of them."""

    def command(run_folder, folder):
        return [verb, *(run_folder / w[1:] if w.startswith("@") else w for w in words)]

    return command


def mixed(name, verb, *words):
    """A verb of the files of the run, but one has every other cell, as if of another run."""

    def command(run_folder, folder):
        ad.read_h5ad(run_folder / name)[::2].copy().write_h5ad(folder / name)
        words_of_run = of_run(verb, *words)(run_folder, folder)
        return [folder / name if w == run_folder / name else w for w in words_of_run]

    return command


def truncated(name, verb, *words):
    """A verb of the files of the run, but one has lost its second half."""

    def command(run_folder, folder):
        (folder / name).write_bytes(cut((run_folder / name).read_bytes(), 0.5))
        words_of_run = of_run(verb, *words)(run_folder, folder)
        return [folder / name if w == run_folder / name else w for w in words_of_run]

    return command


def cut(data, fraction):
    return data[: int(len(data) * fraction)]


COUNTS = np.arange(24).reshape(6, 4) % 5


def sheet(X, *, cells=None, genes=None):
    """An AnnData of this matrix."""
    X = np.asarray(X)
    names = cells or [f"b{i}" for i in range(X.shape[0])]
    symbols = genes or [f"G{j}" for j in range(X.shape[1])]
    return ad.AnnData(X, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=symbols))
