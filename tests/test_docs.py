"""The documents as a site: every page is in it, links lead somewhere, and what is quoted is so."""

import ast
import html
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from builders import ROOT

DOCS = ROOT / "docs"


def test_the_site_has_every_page():
    entries = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    pages = [page for entry in entries for page in entry.values()]
    assert len(pages) == len(set(pages))
    of_folder = {path.name for path in DOCS.glob("*.md")}
    assert set(pages) == of_folder | {
        "README.md",
        "contributing.md",
        "config.md",
        "markers.md",
    }


def test_a_link_that_leads_nowhere_stops_the_site(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    for name in ("docs", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "resources/markers").mkdir(parents=True)
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "resources/markers/README.md"):
        shutil.copy(ROOT / name, tmp_path / name)

    def build():
        words = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    assert build().returncode == 0
    start = (tmp_path / "site/index.html").read_text()
    assert 'href="tutorial/"' in start
    assert (tmp_path / "site/report.png").is_file()
    # Nothing is loaded from another server.
    assert not re.search(r'(?:src|stylesheet" href)="(?:https?:)?//', start)
    page = tmp_path / "docs/running.md"
    page.write_text(page.read_text().replace("(formats.md#layouts)", "(formats.md#no-such-place)"))
    assert build().returncode != 0


def constants(path):
    """Texts of a module, with `…` for what is filled in; neighbours are one text for the parser."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def quoted(path):
    """Error lines of the page."""
    blocks = re.findall(r"((?:^> .*\n)+)", path.read_text(), re.M)
    return [" ".join(line[2:] for line in block.splitlines()) for block in blocks]


def test_every_error_line_is_one_that_the_package_says():
    texts = "\n".join(t for path in (ROOT / "src").rglob("*.py") for t in constants(path))
    lines = quoted(DOCS / "errors.md")
    assert len(lines) >= 12
    for line in lines:
        # A placeholder of the page may hold words that the package fills in, too.
        parts = [re.escape(part.strip()) for part in line.split("…") if len(part.strip()) > 2]
        assert parts, line
        assert re.search(r"[^\n]{0,160}?".join(parts), texts), line


def test_every_section_of_the_page_is_explained_with_good_and_bad():
    template = (ROOT / "src/scpress/report/page.jinja").read_text()
    sections = html.unescape("\n".join(re.findall(r"<h2>(.*?)</h2>", template))).splitlines()
    blocks = re.split(r"^## ", (DOCS / "report.md").read_text(), flags=re.M)[1:]
    told = {block.partition("\n")[0]: block for block in blocks}
    assert list(told) == sections
    for name, block in told.items():
        if name not in ("Open the results", "Words"):
            assert "**Good:**" in block, name
            assert "**Bad:**" in block, name
