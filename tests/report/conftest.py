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


@pytest.fixture(scope="session")
def donors():
    """Results of 12 donors in two conditions and batches, whose names try to break the page."""
    import anndata as ad
    from scipy import sparse

    from scpress.config.cohort import CohortOptions
    from scpress.donors.survival import survival_curve
    from scpress.steps.cohort import cohort
    from scpress.tables.classification import Calibration, Classification, Roc, View
    from scpress.tables.cohort import Biomarkers, TestedType
    from scpress.tables.survival import Hazard, Survival

    rng = np.random.default_rng(0)
    names = [HOSTILE, *(f"d{one}" for one in range(1, 12))]
    obs = pd.DataFrame({"donor": np.repeat(names, 20)})
    obs["condition"] = np.repeat(["control", "case <b>"] * 6, 20)
    obs["batch"] = np.repeat(["b1", "b1", "b2", "b2"] * 3, 20)
    obs["cell_type"] = rng.choice(list(TYPES.values()), len(obs))
    obs.index = [f"c{one}" for one in range(len(obs))]
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(2.0, (len(obs), 30))), obs=obs)
    made = cohort(cells, options=CohortOptions(min_cells=10, min_type_cells=3))

    first, second = TYPES.values()
    change = rng.normal(size=(2, 30))
    genes = pd.DataFrame(
        {
            "cell_type": np.repeat([first, second], 30),
            "gene": [f"g{one}" for one in range(30)] * 2,
            "gene_symbol": [f"Sym{one} <i>" for one in range(30)] * 2,
            "mean_count": rng.uniform(1, 900, 60),
            "log2_fold_change": change.ravel(),
            "standard_error": 0.3,
            "shrunken_log2_fold_change": 0.8 * change.ravel(),
            "p_value": np.tile([1e-9, 1e-5, *[0.4] * 28], 2),
            "fdr": [1e-7, 1e-4, *[0.9] * 58],
            "stability": [1.0, 0.8, *[0.0] * 58],
        }
    )
    levels = ("control", "case <b>")
    tested = [
        TestedType(cell_type=one, n_reference=6, n_case=6, n_genes=30, n_found=n, reason="")
        for one, n in ((first, 2), (second, 0))
    ]
    tested.append(
        TestedType(
            cell_type="rare", n_reference=1, n_case=0, n_genes=0, n_found=0, reason="too few donors"
        )
    )
    biomarkers = Biomarkers(
        condition_key="condition",
        levels=levels,
        held_constant=("batch=b2",),
        max_fdr=0.05,
        types=tuple(tested),
    )

    def view(name, auc, low, high, p_value):
        curve = Roc(
            condition=levels[1],
            auc=auc,
            auc_low=low,
            auc_high=high,
            others=(0.25, 0.75),
            cases=(auc - 0.1, min(auc + 0.1, 1.0)),
            low=(0.1, 0.3),
            high=(0.9, 1.0),
        )
        words = {"balanced_accuracy": 0.75, "accuracy": 0.75, "brier": 0.2, "base_brier": 0.25}
        for one in ("accuracy", "balanced_accuracy"):
            words |= {f"{one}_low": 0.4, f"{one}_high": 0.9}
        return View(
            name=name,
            n_features=5,
            auc=auc,
            auc_low=low,
            auc_high=high,
            p_value=p_value,
            permuted_auc=0.5,
            probability=((0.3, 0.7),) * 12,
            curves=(curve,),
            calibration=Calibration(
                predicted=(0.2, 0.7), observed=(0.0, 0.5), low=(0.0, 0.2), high=(0.4, 0.8), n=(6, 1)
            ),
            **words,
        )

    classification = Classification(
        condition_key="condition",
        levels=levels,
        held_out="donor",
        n_folds=5,
        n_permutations=20,
        majority_accuracy=0.5,
        unit=tuple(made.obs_names),
        condition=(0, 1) * 6,
        views=(
            view("covariates", 0.45, 0.2, 0.7, 0.6),
            view("composition", 0.6, 0.3, 0.8, 0.3),
            view("pseudobulk", 0.9, 0.7, 1.0, 0.02),
        ),
    )
    weights = pd.DataFrame(
        {
            "view": ["pseudobulk", "composition"],
            "condition": levels[1],
            "feature": ["Sym1 <i>", first],
            "weight": [-0.5, 0.25],
            "share_of_folds": 1.0,
        }
    )
    time, event = np.arange(1.0, 13), np.array([1, 0, 1] * 4)
    is_high = np.arange(12) % 2 == 0
    survival = Survival(
        time_key="days",
        event_key="dead",
        n_donors=12,
        n_events=8,
        n_folds=5,
        concordance=0.7,
        concordance_low=0.55,
        concordance_high=0.85,
        p_value=0.1,
        permuted=0.5,
        log_rank_chi2=4.0,
        log_rank_p=0.045,
        curves=tuple(
            survival_curve(name, time[half], event[half])
            for name, half in (("lower risk", ~is_high), ("higher risk", is_high))
        ),
        hazards=(Hazard(name="higher half", log_ratio=0.7, error=0.3, p_value=0.02),),
    )
    return {
        "cohort": made,
        "biomarkers": biomarkers,
        "biomarker_genes": genes,
        "classification": classification,
        "weights": weights,
        "survival": survival,
        "drug_response": drug_response(),
        "perturbation": perturbation(),
    }


def drug_response():
    """Lines held out, with genes that tell, beside the mean of each drug."""
    from scpress.tables.response import DrugModel, DrugResponse

    def model(name, view, r, skill):
        return DrugModel(
            split="line",
            model=name,
            view=view,
            rmse=1.0,
            r=r,
            r_low=r - 0.1,
            r_high=r + 0.1,
            pooled_r=0.8,
            skill=skill,
            skill_low=skill - 0.05,
            skill_high=skill + 0.05,
            skill_of_repeats=(skill,),
            permuted_r=0.0,
            p_value=0.05,
        )

    return DrugResponse(
        scale="log",
        is_counts=True,
        has_drug_features=False,
        n_lines=1200,
        n_drugs=2,
        n_pairs=2300,
        n_without_expression=0,
        n_without_response=0,
        left_out=("drug <b> (3 lines)",),
        n_line_folds=5,
        n_drug_folds=2,
        n_permutations=10,
        models=(
            model("drug_mean", "", 0.0, 0.0),
            model("ridge", "genes", 0.6, 0.4),
            model("shared_latent", "components", 0.5, 0.3),
        ),
    )


def perturbation():
    """Six donors who respond alike in one type of two."""
    from scpress.tables.response import Perturbation, ResponseAgreement, ResponsePrediction

    agreement = [
        ResponseAgreement(
            cell_type=name,
            view=view,
            n_donors=6,
            size=2.0,
            cosine=cosine,
            cosine_low=cosine - 0.1,
            cosine_high=cosine + 0.1,
            other_types=0.1,
            permuted_cosine=0.0,
            p_value=fdr,
            least_p=0.03,
            fdr=fdr,
        )
        for view in ("genes", "components")
        for name, cosine, fdr in (("T <b>", 0.8, 0.03), ("B", 0.1, 0.6))
    ]
    prediction = ResponsePrediction(
        cell_type="B",
        model="mean_response",
        view="genes",
        n_donors=6,
        explained=0.25,
        explained_low=-0.1,
        explained_high=0.5,
        cosine=0.5,
        permuted_explained=-0.2,
    )
    return Perturbation(
        condition_key="stim",
        levels=("control", "treated"),
        donors=tuple(f"d{one}" for one in range(6)),
        left_out=(),
        latent_model="",
        agreement=tuple(agreement),
        prediction=(prediction,),
    )


@pytest.fixture
def with_donors(donors):
    """A page of four cells, their donors and all that was compared."""
    import anndata as ad

    from scpress.report.inputs import ReportInputs

    obs = pd.DataFrame({"cell_type": pd.Categorical(list(TYPES.values()) * 2)}, index=list("abcd"))
    return ReportInputs(ad.AnnData(np.ones((4, 2), dtype=np.float32), obs=obs), **donors)


@pytest.fixture
def unlinked():
    """A page as it reads: words that are linked to the glossary are words again."""
    return lambda page: re.sub(r'<a class="word"[^>]*>([^<]*)</a>', r"\1", page)


@pytest.fixture
def groups(full):
    """[cells] The clusters, and their names in order."""
    leiden = full.cells.obs["leiden"]
    return leiden.astype(str).to_numpy(), list(map(str, np.asarray(leiden.cat.categories)))
