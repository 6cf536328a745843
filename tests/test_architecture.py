"""The walls of docs/architecture.md, read from the imports."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import setuptools
import yaml
from builders import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scpress import slots
from scpress.cli import PLAIN_VERBS
from scpress.config.options import VERBS

PACKAGE = ROOT / "src/scpress"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
}
FOLDERS = sorted({module.split(".")[0] if "." in module else "." for module in MODULES})
_ROWS = re.finditer(
    r"^\| `([\w.]+)` \|[^|]*\|([^|]*)\|([^|]*)\|$",
    (ROOT / "docs/architecture.md").read_text().split("## A step")[0],
    re.M,
)
# The one table that says which folder may import which, and which libraries.
ALLOWED = {row[1]: [set(re.findall(r"`([\w.]+)`", row[n])) for n in (2, 3)] for row in _ROWS}
# What a folder may import, in one file of it.
ONLY_IN = {
    ("archive", "anndata"): {"archive.rest", "archive.source", "archive.unpack"},
    ("archive", "h5py"): {"archive.source"},
    ("archive", "zarr"): {"archive.rest", "archive.source", "archive.unpack"},
    ("training", "scvi"): {"training.scvi_tools"},
    ("training", "lightning"): {"training.scvi_tools"},
    ("counts", "anndata"): {"counts.demo"},
    ("counts", "scanpy"): {"counts.demo"},
}


def folder_of(module):
    return module.split(".")[0] if "." in module else "."


def imports(path):
    """Names a file imports, also inside functions; `from a import b` gives a and a.b."""
    tree = ast.parse(path.read_text())
    # What is imported for annotations alone is never loaded.
    typing_only = {
        id(one)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for one in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def own_imports(path):
    names = {name.removeprefix("scpress.") for name in imports(path) if name.startswith("scpress.")}
    return names & set(MODULES)


def test_the_table_names_every_folder():
    assert set(ALLOWED) == set(FOLDERS)
    for own, _ in ALLOWED.values():
        assert own <= set(FOLDERS)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"cli"}))
def test_a_module_imports_what_its_folder_may(module):
    folder = folder_of(module)
    own, libraries = ALLOWED[folder]
    assert "cli" not in own_imports(MODULES[module])
    assert {folder_of(name) for name in own_imports(MODULES[module])} <= own | {folder}
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    foreign = roots - set(sys.stdlib_module_names) - {"scpress"}
    assert foreign <= libraries
    for name in foreign:
        assert module in ONLY_IN.get((folder, name), {module}), name


def test_the_command_line_knows_the_configuration_alone():
    assert {folder_of(name) for name in own_imports(MODULES["cli"])} <= {".", "config"}
    roots = {name.split(".")[0] for name in imports(MODULES["cli"])}
    assert roots <= set(sys.stdlib_module_names) | {"scpress"}


@pytest.mark.parametrize(
    "module",
    ["cells.markers", "cells.subtypes", "donors.biomarkers", "steps.annotate", "steps.subtype"],
)
def test_no_test_of_significance_can_see_what_a_model_has_smoothed(module):
    """Denoised values make correlations of noise; what is tested is counted molecules."""
    seen, found = set(), {module, f"verbs.{module.split('.')[1]}"} & set(MODULES)
    while found - seen:
        seen |= (added := found - seen)
        found |= {name for one in added for name in own_imports(MODULES[one])}
    assert not {name for name in found if name.startswith(("model", "training", "compression"))}
    assert "steps.denoise" not in found
    for name in found - {"slots"}:
        assert "DENOISED" not in MODULES[name].read_text(), name
    if module.startswith("steps"):
        rules = (ROOT / "workflow/rules/cells.smk").read_text()
        (body,) = re.findall(rf"^rule {module[6:]}:\n(.*?)(?=^rule |\Z)", rules, re.M | re.S)
        given = set(re.findall(r"(\w+)\.h5ad", body.split("    output:")[0]))
        # Of latents, subtypes that were found are only looked for again.
        seeds = {"latent"} if module == "steps.subtype" else set()
        assert given <= {"counts", "normalized", "clusters", "annotation"} | seeds


def test_the_table_allows_nothing_that_is_not_used():
    used = {folder: [set(), set()] for folder in FOLDERS}
    for module in set(MODULES) - {"cli"}:
        folder, path = folder_of(module), MODULES[module]
        used[folder][0] |= {folder_of(name) for name in own_imports(path)} - {folder}
        roots = {name.split(".")[0] for name in imports(path)}
        used[folder][1] |= roots - set(sys.stdlib_module_names) - {"scpress"}
    for folder, (own, libraries) in ALLOWED.items():
        assert own == used[folder][0], folder
        assert libraries == used[folder][1], folder


def test_there_are_no_circles():
    graph = {module: own_imports(path) for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test_file(module):
    folder, _, name = module.rpartition(".")
    path = ROOT / "tests" / folder.replace(".", "/") / f"test_{name}.py"
    assert path.is_file(), f"write {path.relative_to(ROOT)}"
    assert re.search(r"^def test_", path.read_text(), re.M)


def test_the_house_has_room():
    root = [path for path in PACKAGE.iterdir() if path.is_file()]
    assert len(root) <= 8, sorted(path.name for path in root)
    for name, path in MODULES.items():
        # One module is one file by design: it is copied to where scpress is not.
        most = 650 if name == "archive.numpy_reader" else 450
        assert len(path.read_text().splitlines()) < most, path


def test_every_verb_has_a_module():
    verbs = {name.removeprefix("verbs.") for name in MODULES if name.startswith("verbs.")}
    assert verbs == set(VERBS) | set(PLAIN_VERBS)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/rules").glob("*.smk")), ids=lambda p: p.name
)
def test_a_rule_calls_the_verb_of_its_name_and_has_no_logic(path):
    text = path.read_text()
    if path.name == "common.smk":
        assert "import scpress" not in text
        assert "\nrule " not in text
        return
    rules = re.split(r"^rule (\w+):\n", text, flags=re.M)[1:]
    assert rules
    for name, body in zip(rules[::2], rules[1::2], strict=True):
        assert re.match(r'\s+"""\w.*\.', body), name
        for directive in ("input", "output", "log", "benchmark", "conda", "threads", "resources"):
            assert f"\n    {directive}:" in body, f"{name} has no {directive}"
        assert re.search(r"step_version=\d+,", body), name
        assert re.search(rf'shell:\s+"""\s+scpress {name} ', body), name
        assert body.count("scpress ") == 1
        assert not re.search(r"\bgpu|gres\b", body), f"{name} asks for a GPU"


def test_the_formats_page_lists_every_slot():
    text = (ROOT / "docs/formats.md").read_text()
    for slot in slots.SLOTS:
        row = f"| `{slot.axis}` | `{slot.name}` | {slot.shape} | {slot.dtype} | {slot.text} |"
        assert row in text, f"add to docs/formats.md: {row}"


def test_both_conda_environments_follow_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {one for one in project if not one.startswith(("snakemake", "torch="))}
    torch = next(one for one in project if one.startswith("torch="))
    for kind, name in (("cpu", "scpress"), ("gpu", "scpress-gpu")):
        environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
        assert set(environment[-1]["pip"]) == wanted
        assert f"pytorch-{kind} ={torch.removeprefix('torch==')}" in environment


def test_the_container_is_built_from_what_the_tests_ran_with():
    text = (ROOT / "envs/Containerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for name in line.split()}
    assert copied == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src"}
    assert all((ROOT / name).exists() for name in copied)
    assert "--constraint constraints.txt ." in text
    # `python:3.12-slim` is the Python of the conda environments.
    version = re.search(r"^FROM python:([\d.]+)-slim$", text, re.M)[1]
    assert f"python ={version}" in (ROOT / "envs/scpress.yaml").read_text()


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_requirement_has_one_version_for_each_python(python):
    """One list of requirements, and pins with a marker where the stacks differ."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {}
    for pin in (Requirement(line) for line in lines if not line.startswith("#")):
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            assert canonicalize_name(pin.name) not in pins, pin
            pins[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), wanted
    # The two stacks that are tested.
    stack = {name: pins[name].rsplit(".", 1)[0] for name in ("scanpy", "anndata", "zarr")}
    old, new = {"scanpy": "1.11", "anndata": "0.12", "zarr": "3.1"}, ("1.12", "0.13", "3.4")
    assert stack == (old if python == "3.11" else dict(zip(old, new, strict=True)))


def test_the_script_after_conda_installs_this_package(tmp_path):
    """What Snakemake runs in a new environment, in a new virtual environment instead of conda's."""
    venv.create(tmp_path / "env", with_pip=True)
    # Nothing is fetched: setuptools is lent, as conda has it.
    lent = tmp_path / "lent"
    lent.mkdir()
    packages = Path(setuptools.__file__).parent.parent
    for path in (*packages.glob("setuptools*"), *packages.glob("_distutils_hack")):
        (lent / path.name).symlink_to(path)
    source = tmp_path / "source"
    shutil.copytree(ROOT / "src", source / "src")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    environment = os.environ | {
        "PATH": f"{tmp_path}/env/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(lent),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
        "SCPRESS_SOURCE": str(source),
    }
    for name in ("scpress", "scpress-gpu"):
        script = ROOT / f"envs/{name}.post-deploy.sh"
        done = subprocess.run(
            ["bash", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    found = list((tmp_path / "env").rglob("site-packages/scpress/cli.py"))
    assert found
    assert (tmp_path / "env/bin/scpress").exists()
    assert sys.prefix not in str(found[0])
