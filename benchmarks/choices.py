"""What the workflow chooses by held-out molecules, beside the best that it could have chosen.

    python benchmarks/choices.py demo.h5ad:cell_type_annotations kang.h5ad:cluster_id:sample_id \
        batches.h5ad::batch [--cells 2000] [--seeds 0 1 2] [--search] [--folder kept]

A file is followed by the obs column of its labels and, where it has several, that of its samples;
either may be empty. The workflow runs on (at most) so many cells of it with everything left to the
data: `likelihood: auto`, `n_latent: auto`, `primary_model: auto`, and with --search the settings,
too. Printed are, for every choice, what was chosen, what has the lowest loss and by how much, in
nats per cell with the standard error; by how much PCA and gene means are worse than the chosen
model; and where there are labels, the ARI of the clusters that are delivered, of those of the
workflow's own PCA, of scanpy's ordinary recipe at resolution 1, and of the resolution that only the
labels can tell. Results are kept in the folder and finished runs are not repeated.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
from clusters import cluster_as_usual

from scpress.cells.graph import average_graphs, build_graph, leiden
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import ClusterOptions
from scpress.io.h5ad import read_h5ad
from scpress.steps.cluster import cluster
from scpress.tables.likelihood import LikelihoodChoice
from scpress.tables.scores import Choice
from scpress.tables.search import Search

ROOT = Path(__file__).parents[1]
MODELS = {
    "scvi": {"preset": "scvi", "likelihood": "auto", "n_latent": "auto"},
    "dca": {"preset": "dca"},
    "pca": {"preset": "pca"},
}


def run_workflow(
    raw: Path, label: str, sample: str, *, seeds: list[int], search: bool, folder: Path
) -> Path:
    """Folder of the results of everything that is chosen."""
    sheet = folder / "samples.tsv"
    sheet.write_text(f"sample\tpath\tlabel_key\ns1\t{raw.resolve()}\t{label}\n")
    batch = {"batch_key": sample or "sample"}
    config = {
        "samples": str(sheet),
        "results": str(folder / "results"),
        "models": MODELS,
        "seeds": seeds,
        "qc": {"min_genes": 1, "max_pct_mt": 100.0, "doublets": False},
        "normalize": batch,
        "train": batch,
        "search": {"models": ["scvi"] if search else None},
        "cluster": {"umap": False},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    results = folder / "results"
    wanted = [results / "choice.json", results / "clusters.h5ad"]
    wanted += [results / f"models/{name}/all/{seeds[0]}/latent.h5ad" for name in MODELS]
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "snakemake"),
            *("--snakefile", str(ROOT / "workflow/Snakefile"), "--configfile", str(path)),
            *("--directory", str(folder), "--cores", "2", "--quiet", "all", "--"),
            *map(str, wanted),
        ],
    )
    if done.returncode:
        raise SystemExit(f"the workflow failed on {raw}")
    return results


def show_choices(results: Path) -> str:
    """Print one line per choice; the primary model."""
    folder = results / "models/scvi/all"
    likelihood = LikelihoodChoice.from_plain(_read(folder / "likelihood.json"), "likelihood.json")
    best = min(likelihood.candidates, key=lambda one: one.loss)
    _show("likelihood", likelihood.chosen, best.likelihood, -best.difference, best.error)
    search = Search.from_plain(_read(folder / "search.json"), "search.json")
    assert search.chosen is not None
    trial = search.trials[search.chosen]
    last = [one for one in search.trials if one.difference is not None]
    best_trial = min(last, key=lambda one: one.difference or 0.0)
    chosen, best_settings = (
        ", ".join(f"{key} {value}" for key, value in one.settings.items()) or "as given"
        for one in (trial, best_trial)
    )
    _show("settings", chosen, best_settings, trial.difference or 0.0, trial.error or 0.0)
    choice = Choice.from_plain(_read(results / "choice.json"), "choice.json")
    by_name = {one.name: one for one in choice.predictors}
    best_model = by_name[choice.best_model]
    _show(
        "primary model",
        choice.chosen,
        choice.best_model,
        -best_model.from_chosen,
        best_model.from_chosen_error,
    )
    for one in choice.predictors:
        if not one.is_model:
            print(f"    {one.name:16}{one.from_chosen:+9.2f} +- {one.from_chosen_error:.2f}")
    return choice.chosen


def show_clusters(results: Path, raw: Path, primary: str, label: str, seeds: list[int]) -> None:
    """Print the agreement with labels of what is delivered, and of what else could have been."""
    delivered = read_h5ad(results / "clusters.h5ad")
    cells = [name.removeprefix("s1_") for name in delivered.obs_names]
    counts = read_h5ad(raw)[cells]
    truth = counts.obs[label].astype(str).to_numpy()
    known = counts.obs[label].notna().to_numpy() & ~np.isin(truth, ["doublet", "Unknown"])

    def latent_of(name: str, seed: int) -> ad.AnnData:
        return read_h5ad(results / f"models/{name}/all/{seed}/latent.h5ad")

    of_seeds = seeds if primary != "pca" else seeds[:1]
    graph = average_graphs(
        [
            build_graph(
                latent_of(primary, seed).obsm[f"X_{primary}"], n_neighbors=15, seed=0, key="X"
            )
            for seed in of_seeds
        ]
    )
    options = ClusterOptions(umap=False)
    grid = [leiden(graph, resolution, seed=0) for resolution in options.resolutions]
    found = {
        "delivered": delivered.obs["leiden"].to_numpy(),
        "of PCA": cluster(latent_of("pca", seeds[0]), options, model="pca").obs["leiden"],
        "scanpy": cluster_as_usual(counts, 0),
        "best": max(grid, key=lambda one: adjusted_rand_index(truth[known], one[known])),
    }
    agreements = {
        name: (adjusted_rand_index(truth[known], np.asarray(one)[known]), len(set(one)))
        for name, one in found.items()
    }
    text = ", ".join(f"{name} {ari:.3f} ({n})" for name, (ari, n) in agreements.items())
    print(f"    ARI (clusters): {text}", flush=True)


def _read(path: Path) -> object:
    return json.loads(path.read_text())


def _show(name: str, chosen: str, best: str, loss: float, error: float) -> None:
    beside = "the best" if chosen == best else f"{best} is better by {loss:.2f} +- {error:.2f}"
    print(f"    {name:16}{chosen}; {beside}", flush=True)


def main() -> None:
    """Run the workflow on every file, and print its lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="h5ad:labels[:samples]")
    parser.add_argument("--cells", type=int, default=2000, help="most cells of a file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--search", action="store_true", help="search for settings, too")
    parser.add_argument("--folder", type=Path, help="where results are kept")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(platform.processor() or platform.machine())
    with tempfile.TemporaryDirectory() as temporary:
        for word in arguments.files:
            path, label, sample = [*word.split(":"), "", ""][:3]
            folder = (arguments.folder or Path(temporary)).resolve() / Path(path).stem
            folder.mkdir(parents=True, exist_ok=True)
            raw = folder / "raw.h5ad"
            if not raw.exists():
                everything = read_h5ad(path)
                rng = np.random.default_rng(0)
                n_cells = min(arguments.cells, everything.n_obs)
                rows = np.sort(rng.choice(everything.n_obs, n_cells, replace=False))
                everything[rows].copy().write_h5ad(raw)
            results = run_workflow(
                raw, label, sample, seeds=arguments.seeds, search=arguments.search, folder=folder
            )
            print(f"{Path(path).stem}: {read_h5ad(raw).n_obs:,} cells at most")
            primary = show_choices(results)
            if label:
                show_clusters(results, raw, primary, label, arguments.seeds)


if __name__ == "__main__":
    main()
