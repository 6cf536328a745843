"""The page: whole and partial runs, hostile names, no network; and the numbers beside it."""

import json
import re
from html.parser import HTMLParser

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.cli import main
from scpress.config.options import ReportOptions
from scpress.report import figures
from scpress.report.cells import collect_map, group_means
from scpress.report.inputs import ReportInputs, plain
from scpress.report.page import build_report, embed_json
from scpress.report.sections import models_section, qc_section
from scpress.report.summary import collect_metrics, sample_numbers, write_headline
from scpress.steps.compress import NOTES

HOSTILE = "</script><script>alert('x')</script>"
OPTIONS = ReportOptions(title=f"A & B {HOSTILE}")
COMPRESSION_SCORES = {
    "deviance_explained": 0.4,
    "gene_correlation": 0.3,
    "cell_correlation": 0.8,
    "neighbor_recall": 0.5,
    "ari_label": None,
}


def compression(model):
    def row(code, n_latent, total):
        return COMPRESSION_SCORES | {
            "code": code,
            "precision": "float32",
            "n_latent": n_latent,
            "total_bytes": total,
            "bytes_per_cell": total / 120,
        }

    precision = row("model", 4, 9000) | {
        "latent_bytes": 2000,
        "latent_bytes_per_cell": 2000 / 120,
        "nll": 55.0,
        "nll_held_out": None,
        "neighbor_recall_float32": 1.0,
        "ari_float32": 1.0,
        "ari_other_seed": 0.9,
    }
    return {
        "model": model,
        "seed": 0,
        "n_cells": 120,
        "n_scored_cells": 100,
        "same_bytes_rank": 3,
        "nominal": {"ratio": 5.0},
        "stored": {
            "counts_bytes_per_cell": 100.0,
            "all_genes_bytes_per_cell": 200.0,
            "latent_bytes_per_cell": 16.7,
            "ratio": 6.0,
        },
        "with_decoder": {
            "decoder_bytes": 6000,
            "gene_bytes": 500,
            "library_bytes": 500,
            "ratio": 0.8,
            "break_even_cells": 4321,
        },
        "precision": [precision],
        "distortion": COMPRESSION_SCORES,
        "rivals": [row(model, 4, 9000), row("PCA", 3, 8000), row("gene mean x size factor", 0, 90)],
        "curve": [row("PCA", 2, 5000), row("PCA", 3, 8000)],
        "notes": dict.fromkeys(NOTES, "A note."),
    }


@pytest.fixture
def full():
    """Everything a run can have, with names that try to break the page."""
    rng = np.random.default_rng(0)
    n_obs, genes = 120, [f"gene{i}" for i in range(20)]
    names = [f"cell{i}" for i in range(n_obs)]
    leiden = pd.Categorical((np.arange(n_obs) % 3).astype(str))
    obs = pd.DataFrame(
        {
            "sample": pd.Categorical(np.where(np.arange(n_obs) % 2, HOSTILE, "s2")),
            "library_size": rng.integers(100, 1000, n_obs),
            "n_genes": rng.integers(50, 200, n_obs),
            "pct_counts_mt": rng.random(n_obs) * 5,
            "leiden": leiden,
            "cell_type": pd.Categorical(np.where(np.arange(n_obs) % 3, "B <i>", "unassigned")),
            "cell_type_confidence": rng.random(n_obs),
            "subtype": pd.Categorical(np.where(np.arange(n_obs) % 3, "B <i>", "unassigned")),
            "nll_m": rng.random(n_obs),
        },
        index=names,
    )
    record = {
        "models": {
            "other": {"seed": 0},
            "m": {
                "seed": 0,
                "device": "cpu",
                "threads": 1,
                "options": {"preset": "scvi", "engine": "scpress", "hidden": np.array([128])},
                "versions": {"scpress": "0.1.0"},
                "verdict": {
                    "status": "ok",
                    "best_loss": 50.0,
                    "gene_mean_nll": 60.0,
                    "best_step": 20,
                    "n_steps": 30,
                    "stopped": "patience",
                },
                "held_out": {"nll": 50.0, "reconstruction_nll": 45.0, "likelihood": "zinb"},
            },
        },
        "cluster": {
            "model": "m",
            "chosen_resolution": 0.6,
            "min_stability": 0.7,
            "n_stability_cells": 120,
            "stability": {
                "resolution": np.array([0.2, 0.6]),
                "n_clusters": np.array([2, 3]),
                "ari_mean": np.array([0.9, 0.8]),
                "ari_low": np.array([0.8, 0.75]),
                "ari_high": np.array([0.95, 0.9]),
            },
        },
        "annotate": {"method": "marker genes"},
        "subtype": {
            "groupby": "cell_type",
            "groups": {
                "group": np.array(["B <i>", "unassigned"]),
                "n_cells": np.array([80, 40]),
                "n_subtypes": np.array([2, 1]),
                "reason": np.array(["2 subtypes", "no type"]),
            },
        },
    }
    # Two genes with one symbol must not confuse the dot plot.
    symbols = ["TWICE", "TWICE", *genes[2:]]
    cells = ad.AnnData(
        sparse.random(n_obs, 20, density=0.4, random_state=1, format="csr", dtype=np.float32),
        obs=obs,
        var=pd.DataFrame({"gene_symbol": symbols, "highly_variable": True}, index=genes),
        obsm={
            "X_umap": rng.normal(size=(n_obs, 2)).astype(np.float32),
            "X_m": rng.normal(size=(n_obs, 4)).astype(np.float32),
        },
        uns={"scpress": record},
    )
    qc = ad.AnnData(
        obs=pd.DataFrame(
            {
                "library_size": rng.integers(1, 1000, 70),
                "pct_counts_mt": np.append(rng.random(69) * 30, np.nan),
                "pass_qc": np.arange(70) >= 10,
                "qc_reason": pd.Categorical(
                    ["min_counts"] * 6 + ["min_counts;max_pct_mt"] * 4 + [""] * 60
                ),
            },
            index=[f"q{i}" for i in range(70)],
        ),
        uns={"scpress": {"sample": "s2", "limits": {"min_counts": 20.0, "max_pct_mt": 20.0}}},
    )
    history = pd.DataFrame(
        {"step": [10, 20, 30], "train_loss": [9.0, 8, 7], "validation_loss": [9.5, 8.5, np.nan]}
    )
    return ReportInputs(
        cells,
        {"s2": qc, HOSTILE: qc[:60]},
        {("m", "0"): history, ("m", "1"): history, ("other", "0"): history[:1]},
        [
            {"model": "m", "message": "scored", "seeds": {"0": {"ari": 0.5}, "1": {"ari": 0.7}}},
            {"model": "other", "seeds": {"0": {"ari": 0.4, "best_resolution": 1, "nmi": None}}},
        ],
        [compression("m"), compression("other")],
        pd.DataFrame(
            {
                "cluster": ["0", "0", "1", "2"],
                "gene": ["gene0", "gene5", "gene1", "not there"],
                "gene_symbol": ["TWICE", "gene5", "TWICE", "not there"],
            }
        ),
        pd.DataFrame({"subtype": ["B <i>.1"], "gene": ["gene3"], "gene_symbol": [HOSTILE]}),
    )


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
    wanted = ["summary", "cells", "types", "markers", "subtypes", "qc", "run", "training"]
    wanted += ["models", "compression", "open"]
    assert [i for i in page.ids if i in wanted] == wanted
    linked = [link[1:] for link in page.loads if link.startswith("#")]
    assert sorted(linked) == sorted(wanted)
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


def test_metrics_say_what_the_headline_says(full):
    metrics = collect_metrics(full)
    json.dumps(metrics, allow_nan=False)
    assert metrics["n_cells"] == 120
    assert metrics["cell_types"] == {"B <i>": 80}
    assert metrics["n_unassigned"] == 40
    assert metrics["n_subtypes"] == 2
    assert metrics["samples"]["s2"]["reasons"] == {"max_pct_mt": 4, "min_counts": 10}
    words = " ".join(write_headline(metrics))
    for part in ("120 cells", "3 clusters", "1 cell type", "33%", "2 subtypes", "4,321 cells"):
        assert part in words


def test_a_bare_run_has_a_page(full):
    bare = ReportInputs(ad.AnnData(full.cells.X, obs=full.cells.obs[[]], var=full.cells.var[[]]))
    text, metrics = build_report(bare, ReportOptions())
    assert "No layout was computed" in text
    assert Page(text).ids.count("qc") == 0
    assert metrics["n_clusters"] is None
    json.dumps(metrics, allow_nan=False)


def test_one_cluster_and_no_subtypes_are_answers(full):
    full.cells.obs["leiden"] = pd.Categorical(["0"] * 120)
    full.cells.uns["scpress"]["cluster"]["chosen_resolution"] = float("nan")
    full.cells.uns["scpress"]["subtype"]["groups"]["n_subtypes"] = np.array([1, 1])
    full.markers = full.markers.iloc[:0]
    text, metrics = build_report(full, OPTIONS)
    assert "All cells are one cluster" in text
    assert "No supported subtypes" in text
    assert metrics["resolution"] is None


def test_map_says_when_it_is_a_subsample(full):
    drawn = collect_map(full, max_cells=100, genes=["gene0"])
    assert (drawn["n_shown"], drawn["n_cells"], len(drawn["x"])) == (100, 120, 100)
    names = [colour["name"] for colour in drawn["colours"]]
    assert names[:2] == ["cell_type", "leiden"]
    assert names[-1] == "TWICE"
    text, _ = build_report(full, ReportOptions(max_cells=100))
    assert "100 cells drawn at random from 120" in text


def test_colours_of_the_map_are_those_of_the_cells(full):
    drawn = collect_map(full, max_cells=1000, genes=["gene4"])
    leiden = next(colour for colour in drawn["colours"] if colour["name"] == "leiden")
    assert [leiden["names"][code] for code in leiden["codes"]] == list(full.cells.obs["leiden"])
    gene = drawn["colours"][-1]
    np.testing.assert_allclose(gene["values"], full.cells.X[:, 4].toarray().ravel(), atol=0.051)


def test_group_means_match_pandas(full):
    groups = full.cells.obs["leiden"].astype(str).to_numpy()
    mean, fraction = group_means(full, groups, ["0", "1", "2"], np.arange(20))
    dense = pd.DataFrame(full.cells.X.toarray())
    np.testing.assert_allclose(mean, dense.groupby(groups).mean(), rtol=1e-5)
    np.testing.assert_allclose(fraction, (dense > 0).groupby(groups).mean())


def test_histogram_holds_all_cells_and_its_limits():
    values = np.array([1.0, 10, 10, 100, np.nan])
    drawn = figures.histogram(
        {"s": values}, title="t", colours={}, limits=[20.0, 1e9], log_axis=True
    )
    assert sum(drawn["data"][0]["y"]) == pytest.approx(100)
    assert [shape["x0"] for shape in drawn["layout"]["shapes"]] == pytest.approx([20])
    assert figures.histogram({"s": np.array([np.nan])}, title="t", colours={}) is None
    constant = figures.histogram({"s": np.ones(5)}, title="t", colours={})
    assert sum(constant["data"][0]["y"]) == pytest.approx(100)


def test_many_samples_are_drawn_as_one(full):
    qc = full.samples_qc["s2"]
    full.samples_qc = {f"s{i}": qc for i in range(30)}
    section = qc_section(full)
    assert [len(figure["data"]) for figure in section["figures"]] == [1, 1]
    assert len(section["table"]["rows"]) == 30


def test_models_show_the_range_over_seeds_and_mark_the_best(full):
    section = models_section(full)
    header, rows = section["table"]["header"], section["table"]["rows"]
    ari = header.index("ari")
    assert rows[0][ari] == {"text": "0.600", "range": "0.500 to 0.700", "best": True}
    assert not rows[1][ari]["best"]
    assert "best resolution" not in header


def test_sample_numbers_without_reasons():
    assert sample_numbers(pd.DataFrame(index=["a", "b"]))["n_kept"] == 2


def test_json_in_a_script_cannot_end_it():
    text = str(embed_json({"a": "</script><!-- & \u2028"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_plain_takes_numpy_apart():
    value = {"a": np.array([np.int64(1)]), "b": np.float32(0.5), "c": (np.bool_(True),)}
    assert json.dumps(plain(value)) == '{"a": [1], "b": 0.5, "c": [true]}'


def test_verb_writes_both_files_the_same_twice(tmp_path, full):
    # A sample with a slash in its name cannot be a key of an h5ad file; the name in the test can.
    full.cells.write_h5ad(tmp_path / "scpress.h5ad")
    full.samples_qc["s2"].write_h5ad(tmp_path / "qc.h5ad")
    folder = tmp_path / "models" / "m" / "all" / "3"
    folder.mkdir(parents=True)
    full.histories["m", "0"].to_csv(folder / "history.tsv", sep="\t", index=False)
    (tmp_path / "c.json").write_text(json.dumps(full.compressions[0]))
    (tmp_path / "e.json").write_text(json.dumps(full.evaluations[0]))
    full.markers.to_csv(tmp_path / "markers.tsv", sep="\t", index=False)
    (tmp_path / "none.tsv").write_text("")
    pages = []
    for number in (1, 2):
        flags = {
            "input": "scpress.h5ad",
            "samples-qc": "qc.h5ad",
            "histories": "models/m/all/3/history.tsv",
            "evaluations": "e.json",
            "compressions": "c.json",
            "markers": "markers.tsv",
            "subtype-markers": "none.tsv",
            "output": f"{number}.html",
            "metrics": f"{number}.json",
        }
        words = [w for key, name in flags.items() for w in (f"--{key}", str(tmp_path / name))]
        assert main(["report", *words]) == 0
        pages.append((tmp_path / f"{number}.html").read_text())
    assert pages[0] == pages[1]
    assert "seed 3" in pages[0]
    assert json.loads((tmp_path / "1.json").read_text())["samples"]["s2"]["n_kept"] == 60


def test_verb_names_a_missing_file(tmp_path, capsys):
    missing = str(tmp_path / "no.h5ad")
    output = str(tmp_path / "report.html")
    words = ["--input", missing, "--output", output, "--metrics", str(tmp_path / "m.json")]
    assert main(["report", *words]) == 2
    assert "no.h5ad" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
