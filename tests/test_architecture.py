"""The walls of docs/architecture.md, read from the imports."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

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
    import tomllib

    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {one for one in project if not one.startswith(("snakemake", "torch="))}
    torch = next(one for one in project if one.startswith("torch="))
    for kind, name in (("cpu", "scpress"), ("gpu", "scpress-gpu")):
        environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
        assert set(environment[-1]["pip"]) == wanted
        assert f"pytorch-{kind} ={torch.removeprefix('torch==')}" in environment
