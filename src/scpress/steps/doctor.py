"""What a long run would meet on this machine and this cluster: facts, and problems found."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
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


@dataclass
class Doctor:
    """The facts of one run, and the problems found so far.

    Parameters
    ----------
    config
        The checked configuration, with its defaults.
    samples
        {sample: its row of the sheet}, those without a problem.
    input_problems
        What workflow/inputs.py found wrong with either: with any of it, nothing would start.
    prediction
        The module workflow/prediction.py.
    settings
        What the profile says.
    """

    snakefile: Path
    configfile: Path
    config: dict[str, Any]
    samples: dict[str, dict[str, str]]
    input_problems: list[str]
    prediction: Any
    profile: Path
    settings: dict[str, Any]
    # Cells and stored values by sample, of those whose header can be read.
    sizes: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.problems = list(self.input_problems)

    def examine(self) -> Iterator[str]:
        """Every fact in a line; `problems` is complete when they are at an end."""
        yield from self.check_versions()
        yield from self.check_device()
        yield from self.check_samples()
        yield from self.check_disk()
        yield from self.check_slurm()
        yield from self.check_plan()

    def resource(self, rule: str, name: str) -> str | None:
        """A resource of the profile: what it sets for the rule, else for every rule."""
        everywhere = _as_mapping(self.settings.get("default-resources") or {})
        of_rule = (self.settings.get("set-resources") or {}).get(rule) or {}
        value = _as_mapping(of_rule).get(name, everywhere.get(name))
        return None if value is None else str(value).strip("'\"")

    # one check each -------------------------------------------------------------------------------

    def check_versions(self) -> Iterator[str]:
        """Versions of what a run needs."""
        found = {name: _version(name) for name in _PACKAGES}
        python = ".".join(map(str, sys.version_info[:3]))
        known = ", ".join(f"{name} {number}" for name, number in found.items() if number)
        yield f"versions: Python {python}, {known}"
        wanted = ["snakemake"]
        wanted += ["snakemake-executor-plugin-slurm"] if self._is_slurm else []
        for name in wanted:
            if found[name] is None:
                self.problems.append(f"'{name}' is not installed here; install it to start a run.")

    def check_device(self) -> Iterator[str]:
        """The GPU of this machine, and what the configuration asks for."""
        query = (
            "nvidia-smi",
            "--query-gpu=name,driver_version,memory.total",
            "--format=csv,noheader",
        )
        gpus = slurm.ask(*query) if shutil.which("nvidia-smi") else None
        yield f"GPU here: {' | '.join(gpus.strip().splitlines()) if gpus else 'none'}"
        device, request = self.config["device"], self.resource("train", "gres")
        if not self._is_slurm:
            yield f"device: {device}"
            if device == "cuda" and not gpus:
                self.problems.append(
                    "device is 'cuda' and no GPU is here; use device: auto or cpu."
                )
            return
        yield f"device: {device}; a training is submitted with {request or 'no GPU of its own'}"
        if device == "cuda" and not request:
            self.problems.append(
                "device is 'cuda', but training is submitted without a GPU; set its `gres` under "
                f"set-resources in '{self.profile}', or use device: auto."
            )

    def check_samples(self) -> Iterator[str]:
        """The header of every sample's file."""
        for sample, row in self.samples.items():
            path = Path(row["path"])
            try:
                if path.is_file() and path.stat().st_size == 0:
                    raise ValueError("it is empty")
                self.sizes[sample] = self.prediction.read_header(path) or self.prediction.measure(
                    path
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
            yield (
                f"samples: {len(self.sizes)} readable, {total.cells:,} cells, {total.nonzeros:,} "
                f"stored values; the largest is '{largest}', {self.sizes[largest].cells:,} cells"
            )

    def check_disk(self) -> Iterator[str]:
        """Space for the results and for temporary files."""
        folder = Path(self.config["results"]).absolute()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        need = sum(size.nonzeros for size in self.sizes.values()) * _BYTES_WRITTEN_PER_NONZERO
        yield f"disk: {_gb(free)} free for '{self.config['results']}', about {_gb(need)} needed"
        if not os.access(folder, os.W_OK):
            self.problems.append(f"'{folder}' cannot be written; set `results` to another folder.")
        if free < need:
            self.problems.append(
                f"{_gb(free)} free in '{folder}', about {_gb(need)} needed; free some space or set "
                "`results` to another disk."
            )
        temporary = Path(tempfile.gettempdir())
        yield f"temporary files: {_gb(shutil.disk_usage(temporary).free)} free in '{temporary}'"

    def check_slurm(self) -> Iterator[str]:
        """Whether Slurm answers, how it can be asked, and what is left of an earlier run."""
        if not self._is_slurm:
            yield f"Slurm: not used by '{self.profile}'"
            return
        config = slurm.ask("scontrol", "show", "config")
        if config is None:
            self.problems.append(
                "Slurm does not answer `scontrol show config`; run this where sbatch works."
            )
            return
        facts = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", config, re.M))
        has_accounting = not facts.get("AccountingStorageType", "").endswith("/none")
        yield (
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
            yield f"in the queue from this folder: {', '.join(left)}; a new run cancels them"

    def check_plan(self) -> Iterator[str]:
        """What would be submitted: jobs, memory and time of every rule."""
        if self.input_problems:
            return  # Snakemake would end with the first of them
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
            yield "plan: nothing to be done"
            return
        yield "plan: jobs, at most MB and minutes of each at the first attempt, and where"
        partitions = slurm.partitions() if self._is_slurm else {}
        for name, jobs, memory, minutes, rule in rows:
            where = self.resource(rule, "slurm_partition") or ""
            gres = self.resource(rule, "gres") or ""
            yield f"  {name:<12}{jobs:>5}{memory:>9} MB{minutes:>7} min  {where} {gres}".rstrip()
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
        self,
        name: str,
        memory: int,
        minutes: int,
        where: str,
        partitions: dict[str, slurm.Partition],
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


def _as_mapping(resources: Any) -> dict[str, Any]:
    """Resources of a profile, which may be a mapping or a list of `name=value`."""
    if isinstance(resources, dict):
        return resources
    return dict(str(word).split("=", 1) for word in resources)


def load_module(path: Path) -> ModuleType:
    """One of the workflow's own modules, as the rules load it.

    Raises
    ------
    InputError
        It is not there, or what it imports is not.
    """
    if not path.is_file():
        raise InputError(f"no such file: '{path}'. Name the workflow's Snakefile with --snakefile.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"'{error.name}', which comes with snakemake, is not installed here; install snakemake "
            "to start a run."
        ) from error
    return module
