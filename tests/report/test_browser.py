"""Pages in a browser: no error, nothing overlaps on a desk or a telephone, colours change.

One headless Chromium opens all pages at both widths, in frames of one page that collects what the
pages measure of themselves (measure.js).
"""

import copy
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.options import ReportOptions
from scpress.report.inputs import ReportInputs
from scpress.report.page import build_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
WIDTHS = (1280, 390)
PAGES = (
    "labelled",
    "unlabelled",
    "twenty samples",
    "unknown tissue",
    "one cluster",
    "100,000 cells",
    "donors",
)
_ERRORS = """<script>
const pageErrors = [];
addEventListener("error", (event) => pageErrors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => pageErrors.push(String(event.reason)));
for (const name of ["error", "warn"])
  console[name] = (...words) => pageErrors.push(words.join(" "));
</script>"""
_HOLDER = """<!DOCTYPE html><body><pre id="found"></pre><script>
const found = {}, frames = new Map();
addEventListener("message", (event) => {
  found[frames.get(event.source)] = event.data;
  document.getElementById("found").textContent = JSON.stringify(found);
});
for (const [name, file, width] of %s) {
  const frame = Object.assign(document.createElement("iframe"), { width, height: 900, src: file });
  document.body.append(frame);
  frames.set(frame.contentWindow, `${name} ${width}`);
}
</script></body>"""


def changed(run, **columns):
    """The run with other columns of its cells."""
    inputs = copy.copy(run)
    inputs.cells = run.cells.copy()
    inputs.cells.uns = copy.deepcopy(dict(run.cells.uns))
    for name, values in columns.items():
        inputs.cells.obs[name] = pd.Categorical(values)
    return inputs


def hundred_thousand():
    n, rng = 100_000, np.random.default_rng(0)
    cluster = rng.integers(0, 12, n)
    counts = sparse.random(n, 40, density=0.1, format="csr", random_state=0, dtype=np.float32)
    counts.data = np.ceil(counts.data * 9).astype(np.float32)
    cells = ad.AnnData(counts.copy(), layers={"counts": counts.astype(np.int32)})
    cells.X.data = np.log1p(cells.X.data)
    cells.obs["leiden"] = pd.Categorical(cluster.astype(str), categories=list(map(str, range(12))))
    cells.obs["cell_type"] = pd.Categorical([f"type {one % 11} of eleven" for one in cluster])
    cells.obs["size_factor"], cells.obs["library_size"] = 1.0, 1000.0 + cluster
    cells.var["highly_variable"] = True
    cells.obsm["X_umap"] = (rng.normal(size=(n, 2)) + 6 * np.c_[cluster % 4, cluster // 4]).astype(
        "f4"
    )
    return ReportInputs(cells)


@pytest.fixture(scope="module")
def inputs(run, donors):
    n = run.cells.n_obs
    unknown = changed(run, cell_type=["unassigned"] * n)
    unknown.cells.uns["scpress"]["annotate"]["panel"] = "scpress's own of immune cells"
    single = changed(run, leiden=["0"] * n, sample=["s2"] * n)
    single.cells.uns["scpress"]["cluster"]["chosen_resolution"] = float("nan")
    single.programs = single.anomaly = None
    single.markers = run.markers.iloc[:0]
    single.samples_qc = {"s2": run.samples_qc["s2"]}
    bare = changed(run)
    del bare.cells.obs["label"]
    bare.evaluations, bare.compressions = [], []
    names = [f"patient {i} before treatment" for i in range(20)]
    many = changed(run, sample=[names[i % 20] for i in range(n)])
    many.samples_qc = dict.fromkeys(names, run.samples_qc["s2"])
    with_donors = changed(run)
    for key, value in donors.items():
        setattr(with_donors, key, value)
    found = (run, bare, many, unknown, single, hundred_thousand(), with_donors)
    return dict(zip(PAGES, found, strict=True))


def browse(folder, pages, *flags):
    """What the pages tell, by name and width; fails where one is silent."""
    script = (Path(__file__).parent / "measure.js").read_text()
    frames = []
    for number, (name, text) in enumerate(pages.items()):
        text = text.replace("<head>", f"<head>{_ERRORS}", 1)
        file = folder / f"{number}.html"
        file.write_text(
            text.replace("</body>\n</html>", f"<script>{script}</script></body></html>")
        )
        frames += [[name, file.name, width] for width in WIDTHS]
    holder = folder / "holder.html"
    holder.write_text(_HOLDER % json.dumps(frames))
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    # Points of large maps are drawn by WebGL, here without a graphics card.
    words += ["--enable-unsafe-swiftshader", *flags]
    words += ["--window-size=1400,1000", "--virtual-time-budget=30000", "--dump-dom"]
    words += [f"--user-data-dir={folder / 'profile'}", holder.as_uri()]
    done = subprocess.run([BROWSER, *words], capture_output=True, text=True, timeout=300)
    found = json.loads(
        html.unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout)[1]) or "{}"
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    missing = {f"{name} {width}" for name, _, width in frames} - set(found)
    assert not missing, (missing, console)
    assert not console, console
    return found


@pytest.fixture(scope="module")
def pages(inputs):
    return {name: build_report(one, ReportOptions())[0] for name, one in inputs.items()}


@pytest.fixture(scope="module")
def seen(pages, tmp_path_factory):
    return browse(tmp_path_factory.mktemp("pages"), pages)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_a_browser(seen, name, width):
    found = seen[f"{name} {width}"]
    assert found["errors"] == []
    assert found["width"] <= width
    assert found["scroll_width"] <= found["width"]
    assert found["outside"] == []
    assert found["overlaps"] == []
    assert found["nameless"] == []
    # The first word that is linked tells its meaning while it has the focus.
    assert len(found["tip"]) > 40
    assert not found["tip_stays"]
    # No page of A4 cuts a figure, and what was closed is closed again.
    assert {width for in_grid, width in found["printed"] if not in_grid} == {660}
    assert {width for in_grid, width in found["printed"] if in_grid} <= {322}
    assert found["closed_on_paper"] == found["open_again"] == 0


@pytest.mark.parametrize("name", PAGES)
def test_the_map_changes_colour_on_choice(seen, inputs, name):
    found = seen[f"{name} 1280"]
    assert len(found["colours"]) >= 3
    assert len(set(found["colours"])) == len(found["colours"])
    one = inputs[name]
    rows = one.shown_rows(50_000)
    # Of two genes with one symbol the name stands in brackets.
    name = re.sub(r"^TWICE \((.+)\)$", r"\1", found["gene"])
    column = one.cells.var_names.get_loc(name)
    n = (one.cells.layers["counts"][rows][:, [column]].toarray() > 0).sum()
    assert found["gene_values"] == n
    assert (
        found["gene_says"] == f"{found['gene']}: molecules in {n:,} of {len(rows):,} cells shown."
    )
    assert found["unknown_says"].startswith("NO SUCH GENE is not among the ")
    assert found["cluster_says"] == "Cluster 0 alone is in colour."


def test_moving_a_dimension_moves_its_genes_and_colours_the_map(seen, inputs):
    programs = inputs["labelled"].programs
    names = list(programs.uns["scpress"]["programs"]["program"])
    for width in WIDTHS:
        found = seen[f"labelled {width}"]["program"]
        assert found["names"][0] == names[0] == "z0"
        # From its end, where it is shown first, to its start, where nothing has changed yet.
        assert found["range"] == ["0", "2"]
        assert max(map(abs, found["at_end"])) > 0.25
        assert found["at_start"] == [0] * len(found["at_end"])
        assert found["value_text"].startswith("percentile 5 (")
        assert found["says_at_start"].endswith("the start, from which genes change.")
        assert found["says_at_end"].startswith("z0, percentile 95 (")
        # Another program has other genes.
        assert found["genes"] != found["genes_of_next"]
        # The map shows where its cells are along it, the highest on top.
        second = found["names"][1]
        assert found["map_says"] == f"Cells by their place along {second}."
        z = np.asarray(inputs["labelled"].cells.obsm["X_m"])[:, names.index(second)]
        low, high = np.percentile(z, [1, 99])
        expected = np.sort(np.clip(z, low, high))
        np.testing.assert_allclose(found["map_values"], expected, atol=(high - low) / 255)


def test_a_strange_cell_is_ringed_on_the_map(seen, inputs):
    found = seen["labelled 1280"]["ring"]
    cells = inputs["labelled"].cells
    assert found["says"] == f"The ring is around {cells.obs_names[7]}."
    np.testing.assert_allclose(found["at"], cells.obsm["X_umap"][7], atol=1e-3)
    assert found["n_traces_before"] + 1 == found["n_traces"]
    assert not found["stays"]


def test_long_tables_are_folded(seen):
    assert seen["twenty samples 1280"]["folded"] == [10, 10, 10]
    assert seen["labelled 1280"]["folded"] == [10]


def test_a_page_of_100_000_cells_is_small(pages):
    assert len(pages["100,000 cells"].encode()) < 20e6


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_light_and_dark_can_be_read(seen, pages, tmp_path):
    dark = browse(
        tmp_path, {"labelled": pages["labelled"]}, "--blink-settings=preferredColorScheme=0"
    )
    for found, is_dark in ((seen["labelled 1280"], False), (dark["labelled 1280"], True)):
        assert (luminance(found["paper"]) < 0.05) == is_dark
        assert contrast(found["ink"], found["paper"]) > 7
        assert contrast(found["tick"], found["paper"]) > 7
        assert found["errors"] == []
