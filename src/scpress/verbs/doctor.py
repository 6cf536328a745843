"""`scpress doctor`: what a long run would meet on this machine and this cluster."""

import argparse
import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from scpress import slurm
from scpress.errors import InputError

_PACKAGES = ("scpress", "snakemake", "snakemake-executor-plugin-slurm", "torch", "anndata")
# Three times the 40 seconds between the plugin's questions: where Slurm forgets its jobs sooner,
# the plugin asks sacct instead of squeue.
_LEAST_JOB_AGE_SECONDS = 120
# A stored value is written with its sample, merged, and twice (raw and normalized) at the end.
_BYTES_WRITTEN_PER_NONZERO = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which run is meant; the defaults are those of `snakemake` in this folder."""
    parser.add_argument("--configfile", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--snakefile", type=Path, default=Path("workflow/Snakefile"))
    parser.add_argument(
        "--profile",
        type=Path,
        help="profile of the run [profiles/slurm where there is a Slurm, else profiles/default]",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print what was found, line by line, and the problems at the end.

    Raises
    ------
    InputError
        There is a problem.
    """
    doctor = Doctor(arguments)
    for check in (
        doctor.check_versions,
        doctor.check_device,
        doctor.check_samples,
        doctor.check_disk,
        doctor.check_slurm,
        doctor.check_plan,
    ):
        check()
    for problem in doctor.problems:
        print(f"problem: {problem}")
    if doctor.problems:
        number = len(doctor.problems)
        raise InputError(f"{number} problem{'s' if number > 1 else ''} found; see above.")
    print("No problem was found.")


@dataclass(frozen=True)
class Partition:
    """What a partition allows: minutes of a job, MB of its largest node; None is no limit."""

    minutes: int | None
    memory_mb: int


class Doctor:
    """The facts of one run, and the problems found so far."""

    def __init__(self, arguments: argparse.Namespace):
        self.problems: list[str] = []
        self.snakefile, self.configfile = arguments.snakefile, arguments.configfile
        self.config = _read_config(self.configfile)
        self.profile = arguments.profile or Path(
            "profiles/slurm" if shutil.which("sbatch") else "profiles/default"
        )
        self.settings = _read_yaml(_profile_file(self.profile))
        self.prediction = _load_prediction(self.snakefile)
        self.sizes: dict[str, Any] = {}

    def resource(self, rule: str, name: str) -> str | None:
        """A resource of the profile: what it sets for the rule, else for every rule."""
        everywhere = _as_mapping(self.settings.get("default-resources") or {})
        of_rule = (self.settings.get("set-resources") or {}).get(rule) or {}
        value = _as_mapping(of_rule).get(name, everywhere.get(name))
        return None if value is None else str(value).strip("'\"")

    # one check each --------------------------------------------------------------------------

    def check_versions(self) -> None:
        """Versions of what a run needs."""
        found = {name: _version(name) for name in _PACKAGES}
        python = ".".join(map(str, sys.version_info[:3]))
        known = ", ".join(f"{name} {number}" for name, number in found.items() if number)
        print(f"versions: Python {python}, {known}")
        wanted = ["snakemake"]
        wanted += ["snakemake-executor-plugin-slurm"] if self._is_slurm else []
        for name in wanted:
            if found[name] is None:
                self.problems.append(f"'{name}' is not installed here; install it to start a run.")

    def check_device(self) -> None:
        """The GPU of this machine, and what the configuration asks for."""
        query = (
            "nvidia-smi",
            "--query-gpu=name,driver_version,memory.total",
            "--format=csv,noheader",
        )
        gpus = slurm.ask(*query) if shutil.which("nvidia-smi") else None
        print(f"GPU here: {' | '.join(gpus.strip().splitlines()) if gpus else 'none'}")
        device, request = self.config["device"], self.resource("train", "gres")
        if not self._is_slurm:
            print(f"device: {device}")
            if device == "cuda" and not gpus:
                self.problems.append(
                    "device is 'cuda' and no GPU is here; use device: auto or cpu."
                )
            return
        print(f"device: {device}; a training is submitted with {request or 'no GPU of its own'}")
        if device == "cuda" and not request:
            self.problems.append(
                "device is 'cuda', but training is submitted without a GPU; set its `gres` under "
                f"set-resources in '{self.profile}', or use device: auto."
            )

    def check_samples(self) -> None:
        """The header of every sample's file."""
        sheet = Path(self.config["samples"])
        for sample, path in _read_sheet(sheet):
            try:
                if path.is_file() and path.stat().st_size == 0:
                    raise ValueError("it is empty")
                self.sizes[sample] = self.prediction.read_header(path) or self.prediction.measure(
                    path
                )
            except FileNotFoundError:
                self.problems.append(
                    f"sample '{sample}': no such file: '{path}'; correct '{sheet}'."
                )
            except Exception as error:  # h5py raises many kinds on a damaged file
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                self.problems.append(
                    f"sample '{sample}': the header of '{path}' cannot be read ({reason}); "
                    "is the file complete?"
                )
        if self.sizes:
            total = self.prediction.total(list(self.sizes.values()))
            largest = max(self.sizes, key=lambda sample: self.sizes[sample].nonzeros)
            print(
                f"samples: {len(self.sizes)} readable, {total.cells:,} cells, {total.nonzeros:,} "
                f"stored values; the largest is '{largest}', {self.sizes[largest].cells:,} cells"
            )

    def check_disk(self) -> None:
        """Space for the results and for temporary files."""
        folder = Path(self.config["results"]).absolute()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        need = sum(size.nonzeros for size in self.sizes.values()) * _BYTES_WRITTEN_PER_NONZERO
        print(f"disk: {_gb(free)} free for '{self.config['results']}', about {_gb(need)} needed")
        if not os.access(folder, os.W_OK):
            self.problems.append(f"'{folder}' cannot be written; set `results` to another folder.")
        if free < need:
            self.problems.append(
                f"{_gb(free)} free in '{folder}', about {_gb(need)} needed; free some space or set "
                "`results` to another disk."
            )
        temporary = Path(tempfile.gettempdir())
        print(f"temporary files: {_gb(shutil.disk_usage(temporary).free)} free in '{temporary}'")

    def check_slurm(self) -> None:
        """Whether Slurm answers, how it can be asked, and what is left of an earlier run."""
        if not self._is_slurm:
            print(f"Slurm: not used by '{self.profile}'")
            return
        config = slurm.ask("scontrol", "show", "config")
        if config is None:
            self.problems.append(
                "Slurm does not answer `scontrol show config`; run this where sbatch works."
            )
            return
        facts = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", config, re.M))
        has_accounting = not facts.get("AccountingStorageType", "").endswith("/none")
        print(
            f"Slurm: {facts.get('SLURM_VERSION', 'unknown version')}, "
            f"{'accounting' if has_accounting else 'no accounting'}, "
            f"status by {self.settings.get('slurm-status-command', 'sacct')}"
        )
        age = int(re.match(r"\d*", facts.get("MinJobAge", "")).group() or 0)  # type: ignore[union-attr]
        if age < _LEAST_JOB_AGE_SECONDS and not has_accounting:
            self.problems.append(
                f"Slurm forgets jobs after {age} seconds (MinJobAge) and has no accounting: a run "
                f"would wait for ever. Ask for MinJobAge={_LEAST_JOB_AGE_SECONDS}, or for slurmdbd."
            )
        rows = (slurm.ask("squeue", "--me", "--noheader", "--format=%i|%Z") or "").splitlines()
        left = [row.split("|")[0] for row in rows if row.endswith(f"|{Path.cwd()}")]
        if left:
            print(f"in the queue from this folder: {', '.join(left)}; a new run cancels them")

    def check_plan(self) -> None:
        """What would be submitted: jobs, memory and time of every rule."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile)]
        command += ["--configfile", str(self.configfile), "--workflow-profile", "none"]
        done = subprocess.run(
            [*command, "--dry-run", "--cores", "1"], capture_output=True, text=True
        )
        text = done.stdout + done.stderr
        if done.returncode:
            lines = [line for line in text.splitlines() if "error" in line.lower()]
            self.problems.append((lines or text.splitlines() or ["no output"])[-1].strip())
            return
        counts = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", text, re.M)}
        rows = list(self._plan(counts))
        if not rows:
            print("plan: nothing to be done")
            return
        print("plan: jobs, at most MB and minutes of each at the first attempt, and where")
        partitions = _partitions() if self._is_slurm else {}
        for name, jobs, memory, minutes, rule in rows:
            where = self.resource(rule, "slurm_partition") or ""
            gres = self.resource(rule, "gres") or ""
            print(f"  {name:<12}{jobs:>5}{memory:>9} MB{minutes:>7} min  {where} {gres}".rstrip())
            self._require_room(name, memory, minutes, where, partitions)

    def _plan(self, counts: dict[str, int]) -> Iterator[tuple[str, int, int, int, str]]:
        if not self.sizes:
            return
        sizes = list(self.sizes.values())
        total, largest = self.prediction.total(sizes), self.prediction.largest(sizes)
        grouped = {rule: name for name, rules in self.prediction.GROUPS.items() for rule in rules}
        for rule in self.prediction.COSTS:
            if not counts.get(rule):
                continue
            name = grouped.get(rule, rule)
            rules = self.prediction.GROUPS.get(name, (rule,))
            if rule != rules[0]:
                continue
            size = largest if name in self.prediction.GROUPS else total
            memory = max(self.prediction.memory_mb(one, size) for one in rules)
            minutes = sum(self.prediction.runtime_minutes(one, size) for one in rules)
            yield (
                name,
                counts[rule],
                min(memory, self.config["max_mem_mb"]),
                min(minutes, self.config["max_runtime"]),
                rule,
            )

    def _require_room(
        self, name: str, memory: int, minutes: int, where: str, partitions: dict[str, Partition]
    ) -> None:
        if not partitions:
            return
        if where and where not in partitions:
            self.problems.append(
                f"partition '{where}' of '{name}' is unknown to Slurm, which has "
                f"{', '.join(partitions)}; correct '{self.profile}'."
            )
            return
        room = partitions[where or next(iter(partitions))]
        if room.minutes is not None and minutes > room.minutes:
            self.problems.append(
                f"'{name}' asks for {minutes} minutes and its partition allows {room.minutes}: it "
                f"would wait for ever. Set max_runtime to {room.minutes}."
            )
        if memory > room.memory_mb:
            self.problems.append(
                f"'{name}' asks for {memory} MB and the largest node of its partition has "
                f"{room.memory_mb}. Set max_mem_mb to that, or use another partition."
            )

    @property
    def _is_slurm(self) -> bool:
        return self.settings.get("executor") == "slurm"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise InputError(f"no such file: '{path}'. Run this in the folder `snakemake` runs in.")
    try:
        found = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}.") from error
    return found or {}


def _read_config(path: Path) -> dict[str, Any]:
    """Read the workflow's own keys of the configuration, with their defaults."""
    from scpress.config.schema import config_schema

    keys = config_schema()["properties"]
    return {name: key["default"] for name, key in keys.items()} | _read_yaml(path)


def _profile_file(profile: Path) -> Path:
    versioned = profile / "config.v8+.yaml"
    return versioned if versioned.is_file() else profile / "config.yaml"


def _as_mapping(resources: Any) -> dict[str, Any]:
    """Resources of a profile, which may be a mapping or a list of `name=value`."""
    if isinstance(resources, dict):
        return resources
    return dict(str(word).split("=", 1) for word in resources)


def _load_prediction(snakefile: Path) -> ModuleType:
    path = snakefile.parent / "prediction.py"
    if not path.is_file():
        raise InputError(f"no such file: '{path}'. Name the workflow's Snakefile with --snakefile.")
    spec = importlib.util.spec_from_file_location("prediction", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read_sheet(path: Path) -> list[tuple[str, Path]]:
    if not path.is_file():
        raise InputError(f"no sample sheet '{path}'; `samples` in the configuration names it.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    rows = csv.DictReader(lines, delimiter="\t")
    # What else is wrong with the sheet, the dry run of Snakemake says.
    return [
        (row["sample"], Path(row["path"])) for row in rows if row.get("sample") and row.get("path")
    ]


def _partitions() -> dict[str, Partition]:
    """Partitions of the cluster, the default one first."""
    found: dict[str, Partition] = {}
    text = slurm.ask("sinfo", "--noheader", "--format=%P|%l|%m") or ""
    for row in sorted(text.splitlines(), key=lambda row: "*" not in row.split("|")[0]):
        name, limit, memory = row.split("|")
        name, megabytes = name.rstrip("*"), int(re.sub(r"\D", "", memory) or 0)
        if name in found:
            megabytes = max(megabytes, found[name].memory_mb)
        found[name] = Partition(_minutes(limit), megabytes)
    return found


def _minutes(limit: str) -> int | None:
    """Minutes of Slurm's [days-]hours:minutes:seconds; None for `infinite`."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if match is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes
