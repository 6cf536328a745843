"""`scpress doctor`: what a long run would meet on this machine and this cluster."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from scpress.errors import InputError

# What Snakemake reads below a --configfile, as workflow/Snakefile says.
_SHIPPED_CONFIG = Path("config/config.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which run is meant; the defaults are those of `snakemake` in this folder."""
    parser.add_argument("--configfile", type=Path, default=_SHIPPED_CONFIG)
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
    from scpress.steps.doctor import Doctor, load_module

    config = _read_yaml(arguments.configfile)
    shipped = _read_yaml(_SHIPPED_CONFIG) if _SHIPPED_CONFIG.is_file() else {}
    usual = "profiles/slurm" if shutil.which("sbatch") else "profiles/default"
    profile = arguments.profile or Path(usual)
    workflow = arguments.snakefile.parent
    inputs = load_module(workflow / "inputs.py")
    config = inputs.lay_over(shipped, config)
    schemas = (workflow / f"schemas/{name}.schema.yaml" for name in ("config", "samples"))
    samples, problems = inputs.check(config, *map(inputs.read_schema, schemas))
    doctor = Doctor(
        snakefile=arguments.snakefile,
        configfile=arguments.configfile,
        config=config,
        samples=samples,
        input_problems=problems,
        prediction=load_module(workflow / "prediction.py"),
        profile=profile,
        settings=_read_yaml(_profile_file(profile)),
    )
    for line in doctor.examine():
        print(line)
    for problem in doctor.problems:
        print(f"problem: {problem}")
    if doctor.problems:
        number = len(doctor.problems)
        raise InputError(f"{number} problem{'s' if number > 1 else ''} found; see above.")
    print("No problem was found.")


def _profile_file(profile: Path) -> Path:
    versioned = profile / "config.v8+.yaml"
    return versioned if versioned.is_file() else profile / "config.yaml"


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise InputError(f"no such file: '{path}'. Run this in the folder `snakemake` runs in.")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        json.dumps(found, skipkeys=True, default=str)  # refuses an alias of what it stands in
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(found, dict):
        raise InputError(f"'{path}' has no keys at its top; write `key: value` lines.")
    return found
