"""Whether a training that is killed again and again ends with the file of an undisturbed one.

    python benchmarks/resume.py [--kills 20]

A process trains the demo's counts; it is ended at a random moment, by SIGKILL and SIGTERM in turn,
and the same command is started again, until it has been ended as often as asked for. Then it is
left alone, and its model and history are compared, byte for byte, with those of a run of its own.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scale import name_machine, write_counts


def command(folder: Path, name: str) -> list[str]:
    """Command line of a training of about a minute that saves about every second."""
    words = [
        "train",
        "--counts",
        folder / "counts.h5ad",
        "--normalized",
        folder / "normalized.h5ad",
    ]
    words += ["--max-steps", "12000", "--patience", "12000", "--hidden", "32", "--batch-key", "run"]
    words += ["--checkpoint-minutes", "0.01", "--checkpoints", folder / f"checkpoints_{name}"]
    words += ["--device", "cpu", "--output", folder / name / "model.safetensors"]
    words += ["--history", folder / name / "history.tsv"]
    return [sys.executable, "-m", "scpress", *map(str, words)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    print(name_machine())
    with tempfile.TemporaryDirectory(prefix="scpress-resume-") as name:
        folder = Path(name)
        write_counts(folder / "counts.h5ad", 3000)
        normalize = ["normalize", "--counts", folder / "counts.h5ad", "--batch-key", "run"]
        normalize += ["--n-top-genes", "500", "--output", folder / "normalized.h5ad"]
        subprocess.run([sys.executable, "-m", "scpress", *map(str, normalize)], check=True)
        for i in range(arguments.kills):
            number = (signal.SIGKILL, signal.SIGTERM)[i % 2]
            had = _saved(folder)
            process = subprocess.Popen(command(folder, "killed"), stderr=subprocess.PIPE, text=True)
            # Until it has saved something of its own.
            while process.poll() is None and _saved(folder) == had:
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 1.5))
            process.send_signal(number)
            _, said = process.communicate()
            if process.returncode == 0:
                sys.exit("the training ended before it was killed: lower --kills")
            print(f"{i + 1:>3} {number.name}: exit {process.returncode}; {_told(said)}", flush=True)
        for one in ("killed", "undisturbed"):
            subprocess.run(command(folder, one), check=True)
        different = [
            part
            for part in ("model.safetensors", "history.tsv")
            if (folder / "killed" / part).read_bytes()
            != (folder / "undisturbed" / part).read_bytes()
        ]
    print(f"different: {', '.join(different)}" if different else "the same bytes")
    sys.exit(bool(different))


def _saved(folder: Path) -> dict[Path, int]:
    paths = folder.glob("checkpoints_killed/*/current.safetensors")
    return {path: path.stat().st_mtime_ns for path in paths}


def _told(said: str) -> str:
    steps = re.findall(r"going on from step \d+|SIGTERM at step \d+", said)
    return ", ".join(steps)


if __name__ == "__main__":
    main()
