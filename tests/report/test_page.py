"""The page: whole and partial runs, hostile names, no network."""

import html
import json
import re
from html.parser import HTMLParser

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import ROOT

from scpress.config.options import ReportOptions
from scpress.report.inputs import ReportInputs
from scpress.report.page import build_report, embed_json

TUTORIAL = ROOT / "docs/tutorial.md"
OPTIONS = ReportOptions(title="A & B </script><script>alert('x')</script>")


class Page(HTMLParser):
    """What a browser would load, run and anchor."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.scripts, self.ids, self.open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.loads += [values[k] for k in ("src", "href", "data", "srcset") if values.get(k)]
        self.ids += [values["id"]] if "id" in values else []
        if tag == "script":
            self.open = values
            self.scripts.append([values, ""])

    def handle_endtag(self, tag):
        self.open = None if tag == "script" else self.open

    def handle_data(self, data):
        if self.open is not None:
            self.scripts[-1][1] += data


def test_page_loads_nothing_and_is_small(full):
    text, _ = build_report(full, OPTIONS)
    page = Page(text)
    assert page.loads
    assert all(link.startswith(("#", "data:,")) for link in page.loads)
    ours = "".join(body for attrs, body in page.scripts if len(body) < 1e6)
    css = "".join(re.findall(r"<style>(.*?)</style>", text, flags=re.S))
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", ours + css)
    assert len(text.encode()) < 20e6
    assert text.count("plotly.js v") == 1


def test_sections_are_all_there_once_and_linked(full):
    page = Page(build_report(full, OPTIONS)[0])
    wanted = ["summary", "cells", "clusters", "types", "markers", "subtypes", "samples", "qc"]
    wanted += ["run", "training", "models", "compression", "open", "glossary"]
    assert [i for i in page.ids if i in wanted] == wanted
    linked = [link[1:] for link in page.loads if link.startswith("#")]
    of_nav = [link for link in linked if link in wanted]
    assert sorted(of_nav) == sorted(wanted)
    # Every other link leads somewhere, too: words to the glossary, clusters to map and markers.
    assert set(linked) <= set(page.ids)
    assert {"main", "map", "markers-0", "word-latent"} <= set(linked)
    assert len(page.ids) == len(set(page.ids))


def test_donors_are_linked_between_samples_and_quality(full, donors):
    for name, value in donors.items():
        setattr(full, name, value)
    page = Page(build_report(full, OPTIONS)[0])
    assert page.ids.index("samples") < page.ids.index("donors") < page.ids.index("qc")
    assert "#donors" in page.loads
    assert {link[1:] for link in page.loads if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_hostile_names_stay_text(full):
    text, _ = build_report(full, OPTIONS)
    page = Page(text)
    # Two scripts of ours and JSON; a name that escaped would open one more.
    code = [body for attrs, body in page.scripts if attrs.get("type") != "application/json"]
    assert len(code) == 2
    assert "alert('x')" not in "".join(code)
    for attrs, body in page.scripts:
        if attrs.get("type") == "application/json":
            json.loads(body)
    assert "A &amp; B &lt;/script&gt;" in text
    assert "B <i>" not in text


def test_a_bare_run_has_a_page(full):
    bare = ReportInputs(ad.AnnData(full.cells.X, obs=full.cells.obs[[]], var=full.cells.var[[]]))
    text, metrics = build_report(bare, ReportOptions())
    assert "No layout was computed" in text
    assert Page(text).ids.count("qc") == 0
    assert metrics["n_clusters"] is None
    json.dumps(metrics, allow_nan=False)


def test_json_in_a_script_cannot_end_it():
    text = str(embed_json({"a": "</script><!-- & \u2028"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


@pytest.mark.parametrize(
    ("n_seeds", "unconfirmed", "said"),
    [
        (1, [], None),
        (2, [], "2 seeds of the model, and each of them finds every cluster again."),
        (3, ["1", "4"], "3 seeds of the model; some seed does not find 1, 4 again."),
    ],
)
def test_clusters_that_a_seed_does_not_find_are_named(full, unlinked, n_seeds, unconfirmed, said):
    record = full.cells.uns["scpress"]["cluster"]
    record["n_seeds"], record["unconfirmed"] = n_seeds, np.array(unconfirmed, dtype=str)
    text = re.sub(r"\s+", " ", unlinked(build_report(full, OPTIONS)[0]))
    assert ("They are made from" in text) == (said is not None)
    assert said is None or said in text


def test_one_cluster_and_no_subtypes_are_answers(full):
    full.programs = None  # of the clusters that there were
    full.cells.obs["leiden"] = pd.Categorical(["0"] * full.cells.n_obs)
    full.cells.uns["scpress"]["cluster"]["chosen_resolution"] = float("nan")
    groups = full.cells.uns["scpress"]["subtype"]["groups"]
    groups["n_subtypes"] = np.ones(len(groups["group"]), dtype=int)
    full.markers = full.markers.iloc[:0]
    text, metrics = build_report(full, OPTIONS)
    assert "All cells are one cluster" in text
    assert "No supported subtypes" in text
    assert metrics["resolution"] is None


def test_the_page_opens_the_file_where_it_is(full):
    full.path = 'out of "mine"/scpress.h5ad'
    text = html.unescape(build_report(full, OPTIONS)[0])
    assert r'sc.read_h5ad("out of \"mine\"/scpress.h5ad")' in text


def test_the_page_says_when_the_map_is_a_subsample(full):
    text, _ = build_report(full, ReportOptions(max_cells=100))
    assert f"100 cells drawn at random from {full.cells.n_obs}" in text


def test_every_stored_tensor_is_listed_with_its_bytes(full):
    text, _ = build_report(full, OPTIONS)
    for part, tensors in full.compressions[0].tensors.items():
        for name, size in tensors.items():
            assert re.search(
                rf"{part}</td>\s*<td[^>]*>{re.escape(name)}</td>\s*<td[^>]*>{size:,}<", text
            )


@pytest.mark.filterwarnings("ignore")  # scanpy's and umap's own
def test_the_python_of_the_tutorial_makes_its_figures(full, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), flags=re.S)
    (tmp_path / "results").mkdir()
    full.cells.write_h5ad(tmp_path / "results/scpress.h5ad")
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    exec(code, {})
    plt.close("all")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "umap_map.pdf",
        "dotplot_markers.pdf",
    }
