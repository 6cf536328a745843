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

from scpress import slots
from scpress.cli import PLAIN_VERBS
from scpress.options import VERBS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/scpress"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
}
# The one table that says which module is on which layer.
LAYERS = {
    name.rstrip("/"): int(row[1])
    for row in re.finditer(
        r"^\| (\d) \| ([^|]+)\|", (ROOT / "docs/architecture.md").read_text(), re.M
    )
    for name in re.findall(r"`(\w+/?)`", row[2])
}


def layer(module):
    return LAYERS[module.split(".")[0]]


def imports(path):
    """Names a file imports, also inside functions; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def own_imports(path):
    names = {name.removeprefix("scpress.") for name in imports(path) if name.startswith("scpress.")}
    return names & set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_on_a_layer(module):
    assert module.split(".")[0] in LAYERS, "name it in the table of docs/architecture.md"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_no_higher_layer(module):
    higher = {name for name in own_imports(MODULES[module]) if layer(name) > layer(module)}
    assert not higher


def test_there_are_no_circles():
    graph = {module: own_imports(path) for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_scvi_tools_is_known_to_its_engine_and_the_exporter_only(module):
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    if "scvi" in roots:
        assert module.split(".")[-1] in ("engines", "scvi_tools", "export")


@pytest.mark.parametrize("module", MODULES)
def test_the_lower_layers_are_light(module):
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    if layer(module) == 0:
        assert not roots & {"torch", "scanpy", "pandas", "scipy"}
    if layer(module) == 1:
        assert not roots & {"anndata", "scanpy", "h5py"}


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


def test_every_requirement_has_its_version_in_the_constraints():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M)
    pinned = {name.lower().replace("_", "-") for name in pinned}
    for requirement in wanted:
        assert re.match(r"[\w-]+", requirement)[0].lower() in pinned, requirement


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
