"""Names of new cells from labelled ones, beside PCA with neighbours and scANVI.

A type of the new cells that no labelled cell has should be called unlike anything, and few others.
`--halves` takes one file, names one half by the other, and takes each type out of the labelled
half in turn. Set OMP_NUM_THREADS and NUMBA_NUM_THREADS to 1 where other work is running.

    python benchmarks/transfer.py reference.h5ad query.h5ad --labels cell_type --scanvi
    python benchmarks/transfer.py --halves cells.h5ad --labels cell_type
    python benchmarks/transfer.py --halves demo --labels cell_type
"""

import argparse
import contextlib
import io
import logging
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from scpress.config.options import NormalizeOptions, TrainOptions
from scpress.config.transfer import TransferOptions
from scpress.counts.demo import demo_counts
from scpress.counts.sizes import library_sizes, log_normalize
from scpress.steps.ingest import ingest
from scpress.steps.normalize import normalize
from scpress.steps.train import train
from scpress.steps.transfer import transfer

N_PCA = 20


def as_counts(adata: ad.AnnData, labels: str, name: str) -> ad.AnnData:
    """Counts with the labels as `known`, which no rival is given of the query."""
    counts = ingest(adata, sample=name)
    counts.obs["known"] = adata.obs[labels].astype(str).to_numpy()
    return counts[~counts.obs["known"].isin(("nan", "unassigned"))].copy()


def rates(name: str, truth: np.ndarray, seen: set, named: np.ndarray, score: np.ndarray) -> None:
    """Print accuracy on known types, and how well and how often others are called unlike."""
    is_known = np.isin(truth, list(seen))
    text = f"  {name:26s} right of known types {(named == truth)[is_known].mean():.3f}"
    if not is_known.all():
        text += f", AUROC of others {roc_auc_score(~is_known, score):.3f}"
    print(text, flush=True)


def compare(reference: ad.AnnData, query: ad.AnnData, *, seed: int, scanvi: bool) -> None:
    """One seed of ours and of the rivals."""
    truth = query.obs["known"].to_numpy(dtype=str)
    labels = reference.obs["known"].to_numpy(dtype=str)
    seen = set(labels)
    is_known = np.isin(truth, list(seen))
    start = time.process_time()
    normalized = normalize(reference, NormalizeOptions(batch_key=None))
    options = TrainOptions(batch_key=None, allow_failed_fit=True)
    model, _ = train(reference, normalized, options, seed=seed)
    found, _ = transfer(
        reference,
        normalized,
        labels,
        query,
        model,
        TransferOptions(seed=seed, max_missing_fraction=0.3, min_confidence=0.0, unlike_rate=0.0),
    )
    named = found.obs["cell_type"].astype(str).to_numpy()
    p = found.obs["reference_p"].to_numpy()
    record = found.uns["scpress"]["transfer"]
    rates("scpress", truth, seen, named, -p)
    is_unlike = p <= TransferOptions.unlike_rate
    of_others = f", {is_unlike[~is_known].mean():.3f} of others" if not is_known.all() else ""
    confidence = found.obs["cell_type_confidence"].to_numpy()[is_known]
    print(
        f"    called unlike: {is_unlike[is_known].mean():.3f} of known types{of_others}; mean "
        f"confidence on known types {confidence.mean():.3f}; of held-out labelled cells right "
        f"{record['reference']['accuracy_both']:.3f} (knn {record['reference']['accuracy_knn']:.3f}"
        f", linear {record['reference']['accuracy_linear']:.3f}), confidence "
        f"{record['reference']['mean_confidence']:.3f}; {time.process_time() - start:.0f} s"
    )
    probes = record["probes"]
    print(
        "    probes, latent / PCA: "
        + ", ".join(
            f"{w} {a:.2f} / {b:.2f}"
            for w, a, b in zip(probes["what"], probes["latent"], probes["pca"], strict=True)
        ),
        flush=True,
    )
    genes = [g for g in model.genes if g in set(query.var_names)]
    of_pca(reference[:, genes], query[:, genes], labels, truth, seen, seed)
    if scanvi:
        of_scanvi(reference[:, genes].copy(), query[:, genes].copy(), truth, seen, seed)


def of_pca(reference, query, labels, truth, seen, seed) -> None:
    """PCA of the reference's log-counts, and the nearest 15 of its cells."""
    size = np.median(library_sizes(reference.X))
    logs = [
        log_normalize(a.X, np.maximum(library_sizes(a.X), 1) / size) for a in (reference, query)
    ]
    pca = PCA(N_PCA, svd_solver="arpack", random_state=seed).fit(logs[0])
    z, z_query = (pca.transform(one) for one in logs)
    knn = KNeighborsClassifier(15).fit(z, labels)
    rates(
        "PCA, 15 neighbours", truth, seen, knn.predict(z_query), knn.kneighbors(z_query)[0].mean(1)
    )


def of_scanvi(reference, query, truth, seen, seed) -> None:
    """scvi-tools' scANVI as its tutorial of reference mapping has it."""
    import scvi

    scvi.settings.seed = seed
    scvi.settings.verbosity = logging.ERROR
    start = time.process_time()
    reference.obs["batch"], query.obs["batch"] = "reference", "query"
    query.obs["known"] = "unknown"
    arches = {"use_layer_norm": "both", "use_batch_norm": "none", "encode_covariates": True}
    quiet = {"enable_progress_bar": False, "logger": False, "accelerator": "cpu"}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        scvi.model.SCVI.setup_anndata(reference, batch_key="batch", labels_key="known")
        first = scvi.model.SCVI(reference, n_layers=2, dropout_rate=0.2, **arches)
        first.train(max_epochs=200, early_stopping=True, **quiet)
        model = scvi.model.SCANVI.from_scvi_model(first, unlabeled_category="unknown")
        model.train(max_epochs=20, n_samples_per_label=100, **quiet)
        scvi.model.SCANVI.prepare_query_anndata(query, model)
        mapped = scvi.model.SCANVI.load_query_data(query, model)
        mapped.train(max_epochs=100, plan_kwargs={"weight_decay": 0.0}, **quiet)
        shares = mapped.predict(soft=True)
    rates("scANVI", truth, seen, shares.idxmax(axis=1).to_numpy(), -shares.max(axis=1).to_numpy())
    print(f"    {time.process_time() - start:.0f} s")


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", help="AnnData files of raw counts, or demo")
    parser.add_argument("--labels", required=True, help="obs column of the labels")
    parser.add_argument("--halves", action="store_true", help="one file, by halves")
    parser.add_argument("--scanvi", action="store_true", help="run scANVI, too")
    parser.add_argument("--seeds", type=int, default=3, help="seeds [3]")
    parser.add_argument("--cells", type=int, help="most cells of a file, drawn at random")
    parser.add_argument(
        "--without", nargs="*", help="types that are taken out, with --halves [all]"
    )
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    read = [demo_counts() if path == "demo" else ad.read_h5ad(path) for path in arguments.paths]
    files = [as_counts(one, arguments.labels, name) for one, name in zip(read, "rq", strict=False)]
    for seed in range(arguments.seeds):
        if not arguments.halves:
            print(f"{Path(arguments.paths[0]).stem}, seed {seed}", flush=True)
            compare(*files, seed=seed, scanvi=arguments.scanvi)
            continue
        order = np.random.default_rng(seed).permutation(files[0].n_obs)[: arguments.cells]
        half = len(order) // 2
        labelled, query = files[0][np.sort(order[:half])], files[0][np.sort(order[half:])]
        for name in [None, *(arguments.without or sorted(set(labelled.obs["known"])))]:
            print(f"{Path(arguments.paths[0]).stem}, seed {seed}, without {name}", flush=True)
            kept = labelled[labelled.obs["known"] != name].copy()
            compare(kept, query.copy(), seed=seed, scanvi=arguments.scanvi)


if __name__ == "__main__":
    main()
