"""What every verb leaves where it is killed, is asked to end, or finds the disk full.

    .venv/bin/python benchmarks/kills.py [--kills 6] [--verbs train cluster]

A small run is made of the demo's counts. Then each verb is run again in a folder of its own: ended
by SIGKILL or SIGTERM in turn at a random moment, or limited to files of fewer bytes than its
largest one has. What then stands under the names of its outputs must be whole; the same command,
left alone, must end with the files of the undisturbed run, byte for byte, and no temporary file may
be left.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

EXPORTED = "exported"
# Verb -> its words; @NAME is a file of the run, and +NAME an output.
_DATA = "--counts @counts.h5ad --normalized @normalized.h5ad"
_MODEL = "--model-file @model.safetensors --model scvi"
VERBS = {
    "demo": "--output +demo.h5ad",
    "simulate": "--output +simulated.h5ad --n-cells 2000",
    "ingest": "@demo.h5ad --sample s --output +ingested.h5ad",
    "qc": "--counts @ingested.h5ad --output +qc.h5ad --min-genes 1",
    "merge": "--counts @ingested.h5ad --qc @qc.h5ad --output +counts.h5ad",
    "normalize": "--counts @counts.h5ad --n-top-genes 300 --output +normalized.h5ad",
    "train": f"{_DATA} --preset scvi --batch-key null --max-steps 600 --validate-every 100"
    " --model scvi --device cpu --history +history.tsv --output +model.safetensors",
    "embed": f"{_DATA} {_MODEL} --device cpu --output +latent.h5ad",
    "cluster": "--latent @latent.h5ad --model scvi --n-subsamples 2 --output +clusters.h5ad",
    "annotate": f"{_DATA} --clusters @clusters.h5ad --markers +markers.tsv"
    " --output +annotation.h5ad",
    "subtype": f"{_DATA} --clusters @clusters.h5ad --annotation @annotation.h5ad"
    " --markers +subtype_markers.tsv --output +subtypes.h5ad",
    "evaluate": "--counts @counts.h5ad --latent @latent.h5ad --model scvi"
    " --batch-key null --output +evaluation.json",
    "compress": f"{_DATA} {_MODEL} --latent @latent.h5ad --output +compression.json",
    "denoise": f"{_DATA} --model-file @model.safetensors --device cpu --output +denoised.h5ad",
    "export": f"{_DATA} --model-file @model.safetensors --output +exported",
    "assemble": f"{_DATA} --latents @latent.h5ad --clusters @clusters.h5ad"
    " --annotation @annotation.h5ad --subtypes @subtypes.h5ad --output +scpress.h5ad",
    "report": "--input @scpress.h5ad --markers @markers.tsv --output +report.html"
    " --metrics +metrics.json",
}


def command(verb: str, run: Path, folder: Path) -> list[str]:
    """Words of a verb that reads files of the run and writes into the folder."""
    places = {"@": run, "+": folder}
    words = [
        str(places[word[0]] / word[1:]) if word[0] in places else word
        for word in VERBS[verb].split()
    ]
    return [sys.executable, "-m", "scpress", verb, *words]


def contents(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def start(words: list[str], file_bytes: int = -1) -> subprocess.Popen[str]:
    """Start a command that may write files of so many bytes; -1 for any."""
    limit: Callable[[], None] | None = None
    if file_bytes >= 0:

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
        env=environment,
    )


def is_whole(name: str, data: bytes | None, whole: dict[str, bytes]) -> bool:
    """Whether a file is that of the undisturbed run; scvi-tools draws a name for what it saves."""
    if name.startswith(EXPORTED) and data is not None:
        return len(data) == len(whole.get(name, b""))
    return data == whole.get(name)


def judge(folder: Path, whole: dict[str, bytes]) -> list[str]:
    """Names of files that are neither whole nor temporary; checkpoints are there to be resumed."""
    found = contents(folder)
    # Which verb refuses to write over; it has begun anew each time.
    shutil.rmtree(folder / EXPORTED, ignore_errors=True)
    return [
        name
        for name, data in found.items()
        if not name.startswith("checkpoints/")
        and ".tmp" not in name
        and not is_whole(name, data, whole)
    ]


def disturb(verb: str, run: Path, whole: dict[str, bytes], seconds: float, kills: int) -> list[str]:
    """Faults of a verb that is ended so often, and that meets a full disk three times."""
    rng = random.Random(verb)
    faults = []
    with tempfile.TemporaryDirectory(prefix="scpress-kills-") as name:
        folder = Path(name)
        words = command(verb, run, folder)
        for i in range(kills):
            process = start(words)
            time.sleep(rng.uniform(0.3, 1.0) * seconds)
            process.send_signal((signal.SIGKILL, signal.SIGTERM)[i % 2])
            _, said = process.communicate()
            if bad := judge(folder, whole):
                faults.append(f"killed: {bad} half-written")
            # -15 before and after the verb itself, while Python starts and ends.
            if i % 2 and process.returncode not in (0, 143, -signal.SIGTERM):
                faults.append(f"SIGTERM: exit code {process.returncode}: {said[-200:]!r}")
        largest = max(map(len, whole.values()))
        for limit in (0, largest // 2, largest - 1):
            process = start(words, limit)
            _, said = process.communicate()
            if process.returncode != 2 or "Traceback" in said:
                faults.append(f"full disk: exit code {process.returncode}: {said[-200:]!r}")
            if bad := judge(folder, whole):
                faults.append(f"full disk: {bad} half-written")
        process = start(words)
        _, said = process.communicate()
        if process.returncode:
            faults.append(f"left alone: exit code {process.returncode}: {said[-200:]!r}")
        made = contents(folder)
        faults += [f"left behind: {name}" for name in made.keys() - whole.keys()]
        faults += [
            f"other bytes: {name}" for name in whole if not is_whole(name, made.get(name), whole)
        ]
    return faults


def main() -> int:
    """Make the run, disturb the verbs, print a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--verbs", nargs="*", default=list(VERBS), choices=list(VERBS))
    arguments = parser.parse_args()
    n_faults = 0
    with tempfile.TemporaryDirectory(prefix="scpress-run-") as name:
        run = Path(name)
        for verb in VERBS:
            own = run / f".{verb}"
            own.mkdir()
            began = time.monotonic()
            process = start(command(verb, run, own))
            _, said = process.communicate()
            seconds = time.monotonic() - began
            if process.returncode:
                sys.exit(f"{verb}: exit code {process.returncode}: {said}")
            whole = contents(own)
            for path in own.iterdir():
                shutil.move(path, run / path.name)
            if verb not in arguments.verbs:
                continue
            faults = disturb(verb, run, whole, seconds, arguments.kills)
            n_faults += len(faults)
            print(f"{verb:10} {arguments.kills} kills, 3 full disks: {faults or 'as it must be'}")
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
