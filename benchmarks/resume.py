"""Whether a training that is killed again and again ends with the file of an undisturbed one.

    python benchmarks/resume.py [--kills 20]

A process trains the demo's counts; it is ended at a random moment, by SIGKILL and SIGTERM in turn,
and the same command is started again, until it has been ended as often as asked for. Then it is
left alone, and its model and history are compared, byte for byte, with those of a run of its own.
"""

import argparse
import random
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
            process = subprocess.Popen(command(folder, "killed"), stderr=subprocess.PIPE, text=True)
            begun = ""
            for line in process.stderr or ():
                begun = line.strip()
                if "going on" in line or i == 0:
                    break
            time.sleep(rng.uniform(0.2, 2.5))
            process.send_signal(number)
            _, said = process.communicate()
            last = said.strip().splitlines()[-1:] or ["-"]
            print(f"{i + 1:>3} {number.name}: exit {process.returncode}; {begun}; {last[0]}")
        for one in ("killed", "undisturbed"):
            subprocess.run(command(folder, one), check=True)
        for part in ("model.safetensors", "history.tsv"):
            same = (folder / "killed" / part).read_bytes() == (
                folder / "undisturbed" / part
            ).read_bytes()
            print(f"{part}: {'the same bytes' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
