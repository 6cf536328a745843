"""A small run as the steps make it, with names that try to break the page."""

import copy
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.tables.anomaly import AnomalyRecord

HOSTILE = "</script><script>alert('x')</script>"
TYPES = {"type2": "B <i>", "type1": "T & 'co'"}


@pytest.fixture(scope="session")
def run():
    """ReportInputs of two samples, two models and two seeds; `full` is a copy to change."""
    from scpress.config import options as o
    from scpress.report.inputs import ReportInputs
    from scpress.steps.annotate import annotate
    from scpress.steps.assemble import assemble
    from scpress.steps.cluster import cluster
    from scpress.steps.compress import compress
    from scpress.steps.embed import embed
    from scpress.steps.evaluate import evaluate
    from scpress.steps.ingest import ingest
    from scpress.steps.merge import merge
    from scpress.steps.normalize import normalize
    from scpress.steps.programs import programs
    from scpress.steps.qc import qc
    from scpress.steps.simulate import simulate
    from scpress.steps.subtype import subtype
    from scpress.steps.train import train

    simulated = simulate(
        o.SimulateOptions(
            n_cells=500,
            n_genes=120,
            n_types=2,
            n_subtypes=2,
            marker_fraction=0.15,
            type_fold_change=8,
            subtype_fold_change=8,
        ),
        seed=0,
    )
    simulated.obs["kind"] = simulated.obs["label"].astype(str).map(TYPES)
    simulated.obs.loc[simulated.obs_names[:20], "kind"] = ""
    simulated.obs = simulated.obs[["kind"]]
    simulated.var = pd.DataFrame(
        {"gene_symbol": [f"Sym{i}" for i in range(simulated.n_vars)]},
        index=[f"gene{i}" for i in range(simulated.n_vars)],
    )
    samples = {}
    for name, rows in ((HOSTILE, slice(0, 280)), ("s2", slice(280, 500))):
        raw = ingest(simulated[rows].copy(), sample=name, options=o.IngestOptions(label_key="kind"))
        options = o.QcOptions(min_genes=30, min_counts=900, doublets=False)
        samples[name] = raw, qc(raw, options)
    counts = merge(samples)
    normalized = normalize(counts, o.NormalizeOptions(n_top_genes=100, batch_key=None))
    histories, latents, compressions, evaluations = {}, {}, [], []
    for model, preset in (("m", "scvi"), ("other", "pca")):
        per_seed, models = {}, []
        for seed in (0, 1) if model == "m" else (0,):
            options = o.TrainOptions(
                preset=preset,
                batch_key=None,
                max_steps=300,
                validate_every=100,
                batch_size=64,
                n_latent=4,
                hidden=(16,) if preset == "scvi" else None,
            )
            fitted, history = train(counts, normalized, options, seed=seed, device="cpu")
            histories[model, str(seed)] = history
            models.append(fitted)
            per_seed[seed] = embed(counts, normalized, fitted, name=model)
            if seed == 0:
                latents[model] = per_seed[0]
                options = o.CompressOptions(
                    pca_ranks=(2, 3), nmf_ranks=(2,), max_cells=300, rivals=model == "m"
                )
                compressions.append(
                    compress(
                        counts, normalized, latents[model], fitted, name=model, options=options
                    )
                )
        if model == "m":
            of_seeds = list(per_seed.values()), models
        options = o.EvaluateOptions(batch_key=None, resolutions=(0.2, 0.6))
        evaluations.append(evaluate(counts.obs, per_seed, options, model=model))
    clusters = cluster(
        latents["m"], o.ClusterOptions(resolutions=(0.2, 0.6), n_subsamples=3), model="m"
    )
    annotation, markers = annotate(
        counts, normalized, clusters, None, o.AnnotateOptions(labels_column="kind")
    )
    subtypes, subtype_markers = subtype(counts, normalized, clusters, annotation)
    moved, program_genes = programs(
        *of_seeds, clusters, o.ProgramsOptions(n_genes=4, n_points=3, n_cells=30), name="m"
    )
    cells = assemble(counts, normalized, latents, clusters, annotation, subtypes, programs=moved)
    # Two genes with one symbol must not confuse the dot plot.
    first, second = markers["gene"].drop_duplicates().iloc[:2]
    cells.var["gene_symbol"] = cells.var["gene_symbol"].astype(object)
    cells.var.loc[[first, second], "gene_symbol"] = "TWICE"
    markers.loc[markers["gene"].isin([first, second]), "gene_symbol"] = "TWICE"
    qc_results = {name: marks for name, (_, marks) in samples.items()}
    return ReportInputs(
        cells,
        qc_results,
        histories,
        evaluations,
        compressions,
        markers,
        subtype_markers,
        programs=moved,
        program_genes=program_genes,
        anomaly=strange_cells(cells),
    )


def strange_cells(cells):
    """What `anomaly` would have made of these cells: one is called, another one is not."""
    n = cells.n_obs
    rng = np.random.default_rng(0)
    found = sparse.lil_matrix((n, 3), dtype=np.float32)
    found[7, [0, 2]] = -2.0, 9.0
    record = AnomalyRecord(
        model="m",
        seeds=(0, 1),
        folds=2,
        n_reference=n - 2,
        n_tested=2,
        n_called=1,
        max_fdr=0.1,
        cells=tuple(cells.obs_names[[7, 3]]),
        genes=("Sym0", "Sym1"),
    )
    is_tested = np.isin(np.arange(n), (3, 7))
    obs = pd.DataFrame(
        {
            "anomaly_score": rng.normal(size=n).astype(np.float32),
            "anomaly_p": rng.random(n),
            "anomaly_fdr": np.where(is_tested, 0.04, np.nan),
            "is_anomaly": np.arange(n) == 7,
            "anomaly_reference": ~is_tested,
            "n_outlier_genes": np.where(np.arange(n) == 7, 2, 0),
        },
        index=cells.obs_names,
    )
    var = pd.DataFrame({"gene_symbol": [HOSTILE, "Sym1", "Sym2"]}, index=["g0", "g1", "g2"])
    uns = {"scpress": {"anomaly": record.as_plain()}}
    return ad.AnnData(found.tocsr(), obs=obs, var=var, uns=uns)


@pytest.fixture
def full(run):
    """Everything a run can have; a copy of its own for every test."""
    inputs = copy.copy(run)
    inputs.cells = run.cells.copy()
    inputs.cells.uns = copy.deepcopy(dict(run.cells.uns))
    inputs.markers = run.markers.copy()
    inputs.samples_qc = {name: qc.copy() for name, qc in run.samples_qc.items()}
    return inputs


@pytest.fixture
def unlinked():
    """A page as it reads: words that are linked to the glossary are words again."""
    return lambda page: re.sub(r'<a class="word"[^>]*>([^<]*)</a>', r"\1", page)


@pytest.fixture
def groups(full):
    """[cells] The clusters, and their names in order."""
    leiden = full.cells.obs["leiden"]
    return leiden.astype(str).to_numpy(), list(map(str, np.asarray(leiden.cat.categories)))
