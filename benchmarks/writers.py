"""Whether files that each release of anndata writes are ingested to the counts they hold.

    .venv/bin/python benchmarks/writers.py [--reader .venv-newest/bin/python] [--keep FOLDER]

Every release writes the same small AnnData as h5ad and zarr from an environment of its own, with
the Python it was made for (`python3.8`, ... on the PATH, or of pyenv). Each reader, this Python and
those that are named, ingests all of them, once per matrix. A cell of the table is `right`, or what
was said; anything but `right` fails.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# anndata -> Python it was made for, and what it needs beside it from its own time.
RELEASES = {
    "0.7.8": ("3.8", ["numpy<1.24", "pandas<1.5", "zarr<2.13", "numcodecs<0.12", "h5py<3.8"]),
    "0.8.0": ("3.9", ["numpy<1.24", "pandas<2", "zarr<2.15", "numcodecs<0.12"]),
    "0.10.9": ("3.11", ["numpy<2", "pandas<2.3", "zarr<3", "numcodecs<0.16"]),
    "0.11.4": ("3.11", ["zarr<3", "numcodecs<0.16", "pandas<3"]),
    "0.12.3": ("3.12", ["zarr>=3", "pandas<3"]),
    "0.13.4": ("3.13", ["zarr>=3", "pandas>=3"]),
}
MATRICES = (None, "csc", "dense", "raw")

WRITE = """
import sys, warnings
warnings.simplefilter("ignore")
import anndata as ad, numpy as np, pandas as pd
from scipy import sparse
counts = np.random.RandomState(0).poisson(0.8, (40, 12)).astype(np.float32)
obs = pd.DataFrame(
    {
        "text": ["cell %d" % i for i in range(40)],
        "donor": ["a", "b"] * 20,
        "n": np.arange(40),
        "is_odd": np.arange(40) % 2 == 1,
        "ratio": np.linspace(0, 1, 40),
    },
    index=["BC%02d-1" % i for i in range(40)],
)
obs["kind"] = pd.Categorical(obs["donor"])
if not ad.__version__.startswith("0.7"):
    obs["nullable"] = pd.array([1, None] * 20, dtype="Int64")
    obs["maybe"] = pd.array([True, None] * 20, dtype="boolean")
var = pd.DataFrame(
    {"gene_ids": ["ENSG%011d" % i for i in range(12)]}, index=["G%d" % i for i in range(12)]
)
table = pd.DataFrame({"t": np.arange(40.0)}, index=obs.index)
adata = ad.AnnData(
    sparse.csr_matrix(counts), obs=obs, var=var,
    obsm={"X_pca": np.ones((40, 3)), "table": table},
    layers={"csc": sparse.csc_matrix(counts), "dense": counts},
    uns={"note": "text", "list": np.array(["a", "b"])},
)
adata.raw = adata.copy()
adata.write_h5ad(sys.argv[1] + ".h5ad")
adata.write_zarr(sys.argv[1] + ".zarr")
np.save(sys.argv[1] + ".npy", counts)
"""

READ = """
import json, subprocess, sys, tempfile, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import anndata as ad, numpy as np
found = {}
for name, layer in json.loads(sys.argv[1]):
    path = Path(name)
    counts = np.load(path.with_suffix(".npy"))
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/out.h5ad"
        words = ["ingest", name, "--sample", "s", "--output", out]
        done = subprocess.run(
            [sys.executable, "-m", "scpress", *words, *(["--layer", layer] if layer else [])],
            capture_output=True, text=True,
        )
        if done.returncode:
            answer = done.stderr.strip().splitlines()[-1]
        else:
            made = ad.read_h5ad(out)
            answer = "right"
            if not np.array_equal(made.X.toarray(), counts):
                answer = "other counts"
            elif list(made.obs_names) != ["s_BC%02d-1" % i for i in range(40)]:
                answer = "other cells"
            elif list(made.var["gene_symbol"].astype(str)) != ["G%d" % i for i in range(12)]:
                answer = "other symbols"
            elif list(made.obs["text"].astype(str)) != ["cell %d" % i for i in range(40)]:
                answer = "other text"
            elif list(made.obs["donor"].astype(str)) != ["a", "b"] * 20:
                answer = "other donors"
            elif list(made.obs["n"]) != list(range(40)) or not made.obs["is_odd"].iloc[1]:
                answer = "other numbers"
            elif "X_pca" not in made.obsm or list(made.obsm["table"]["t"]) != list(range(40)):
                answer = "other obsm"
    found[name + " " + (layer or "X")] = answer
print(json.dumps(found))
"""


def find_python(version: str) -> str | None:
    """A Python of this version that can make environments, or None."""
    candidates = [shutil.which(f"python{version}")]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += map(str, sorted(root.glob(f"{version}.*/bin/python")))
    for one in candidates:
        if (
            one
            and not subprocess.run([one, "-c", "import ensurepip, venv"], check=False).returncode
        ):
            return one
    return None


def write_files(folder: Path) -> dict[str, list[Path]]:
    """Release -> the files it wrote; a release without its Python is left out and told."""
    written = {}
    for release, (version, beside) in RELEASES.items():
        name = folder / release.replace(".", "_")
        paths = [name.with_suffix(".h5ad"), name.with_suffix(".zarr")]
        if name.with_suffix(".npy").exists():
            written[release] = paths
            continue
        python = find_python(version)
        if python is None:
            print(f"anndata {release} is left out: there is no Python {version}", file=sys.stderr)
            continue
        print(f"anndata {release} writes", file=sys.stderr)
        environment = folder / f"env-{release}"
        subprocess.run([python, "-m", "venv", environment], check=True)
        own = environment / "bin" / "python"
        quiet = ["--quiet", "--disable-pip-version-check", "--prefer-binary"]
        packages = [f"anndata=={release}", "scipy", *beside]
        subprocess.run([own, "-m", "pip", "install", *quiet, *packages], check=True)
        subprocess.run([own, "-c", WRITE, name], check=True)
        shutil.rmtree(environment)
        written[release] = paths
    return written


def main() -> int:
    """Write, read, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", nargs="*", default=[], help="other Pythons with scpress")
    parser.add_argument("--keep", type=Path, help="folder of the files, those there are used")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        written = write_files(folder)
        asked = [
            (str(path), layer) for paths in written.values() for path in paths for layer in MATRICES
        ]
        answers, heads = [], []
        for reader in [sys.executable, *arguments.reader]:
            told = "import sys, anndata; print('%d.%d' % sys.version_info[:2], anndata.__version__)"
            heads.append(subprocess.check_output([reader, "-c", told], text=True).strip())
            words = [reader, "-c", READ, json.dumps(asked)]
            answers.append(json.loads(subprocess.check_output(words, text=True)))
    columns = [f"Python {head.replace(' ', ', anndata ')}" for head in heads]
    print("| written by | file | " + " | ".join(columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    is_right = True
    for release, paths in written.items():
        for path in paths:
            cells = []
            for answer in answers:
                said = {layer or "X": answer[f"{path} {layer or 'X'}"] for layer in MATRICES}
                bad = [f"{layer}: {one}" for layer, one in said.items() if one != "right"]
                is_right &= not bad
                cells.append("; ".join(bad) or f"right ({len(MATRICES)} matrices)")
            print(f"| anndata {release} | {path.suffix[1:]} | " + " | ".join(cells) + " |")
    return int(not is_right or not written)


if __name__ == "__main__":
    sys.exit(main())
