"""Which genes differ between two conditions when donors, not cells, are the replicates."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.default_inference import DefaultInference
from pydeseq2.ds import DeseqStats
from scipy import optimize, special, stats

# Part of the donors of each condition that a sample of them leaves out.
_LEFT_OUT = 0.2
_CASE = "case"
# PyDESeq2's own: smallest mean in a fit, and its weak prior against endless fold changes.
_MIN_MU, _BETA_TOLERANCE, _RIDGE = 0.5, 1e-8, 1e-6


@dataclass(frozen=True)
class Found:
    """What PyDESeq2 finds in one type.

    Attributes
    ----------
    table
        [genes] mean_count, log2_fold_change, standard_error, shrunken_log2_fold_change, p_value,
        fdr. A gene without a p-value, all zeros or with an outlier, has 1.
    size_factors, dispersion, prior_degrees
        [donors], [genes] With which samples of the donors are tested again; and the degrees of
        freedom that the trend of the dispersions adds to those of the donors.
    """

    table: pd.DataFrame
    size_factors: np.ndarray
    dispersion: np.ndarray
    prior_degrees: float


def find_biomarkers(
    counts: np.ndarray, is_case: np.ndarray, nuisance: np.ndarray, *, max_fdr: float
) -> Found:
    """Test every gene: negative binomial, dispersions shrunken towards their trend.

    Wald's statistic is held against Student's t, as dispersions of few donors are not known for
    sure: against the normal, as PyDESeq2 does, more false genes are found than stated. Its degrees
    of freedom are donors beyond columns of the design (`useT` of DESeq2's nbinomWaldTest), and as
    many more as the trend of the dispersions is worth (Smyth 2004).

    Parameters
    ----------
    counts
        [donors, genes] Molecules of one type, whole numbers.
    is_case
        [donors] The two conditions.
    nuisance
        [donors, columns] What is held constant; no combination of its columns is the condition.
    max_fdr
        Where genes of few molecules are left out so that most are found (independent filtering).
    """
    design = pd.DataFrame(_design(is_case, nuisance)).rename(columns=str)
    design = design.rename(columns={str(design.shape[1] - 1): _CASE})
    inference = DefaultInference(n_cpus=1)
    contrast = _contrast(design.shape[1])
    with warnings.catch_warnings():
        # Where no trend of the dispersion can be fitted it takes their mean, and says so.
        warnings.simplefilter("ignore")
        model = DeseqDataSet(
            counts=pd.DataFrame(counts).rename(index=str, columns=str),
            metadata=design.rename(index=str),
            design=design.rename(index=str),
            inference=inference,
            quiet=True,
        )
        model.deseq2()
        tests = DeseqStats(model, contrast=contrast, alpha=max_fdr, inference=inference, quiet=True)
        tests.run_wald_test()
        # Its outliers and independent filtering go by these.
        prior_degrees = degrees_of_prior(float(model.uns["prior_disp_var"]))
        degrees = prior_degrees + design.shape[0] - design.shape[1]
        p_values = two_sided_p(tests.statistics.to_numpy(), degrees)
        tests.p_values = pd.Series(p_values, tests.statistics.index)
        tests.summary()
        table = tests.results_df.copy()
        tests.lfc_shrink(coeff=_CASE)
    columns = {
        "mean_count": table["baseMean"],
        "log2_fold_change": table["log2FoldChange"].fillna(0.0),
        "standard_error": table["lfcSE"].fillna(0.0),
        "shrunken_log2_fold_change": tests.results_df["log2FoldChange"].fillna(0.0),
        "p_value": table["pvalue"].fillna(1.0),
        "fdr": table["padj"].fillna(1.0),
    }
    return Found(
        table=pd.DataFrame({name: np.asarray(one, dtype=float) for name, one in columns.items()}),
        size_factors=np.asarray(model.obs["size_factors"], dtype=float),
        dispersion=np.asarray(model.var["dispersions"], dtype=float),
        prior_degrees=prior_degrees,
    )


def find_again(
    counts: np.ndarray,
    is_case: np.ndarray,
    nuisance: np.ndarray,
    donor: np.ndarray,
    found: Found,
    *,
    max_fdr: float,
    n_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """[genes] Share of samples of the donors in which a biomarker is one again; 0 for others.

    A sample leaves out a fifth of the donors of each condition. The gene is found in it where the
    change has the same sign and a p-value at which it is found among all donors; size factors and
    dispersions are those of all donors.
    """
    share = np.zeros(counts.shape[1])
    genes = np.flatnonzero(found.table["fdr"] <= max_fdr)
    if not len(genes):
        return share
    p_values, rates = found.table[["p_value", "fdr"]].to_numpy()[genes].T
    # Benjamini and Hochberg's line where it is as high as so many genes make it.
    last = p_values.argmax()
    max_p = p_values[last] * max_fdr / max(rates[last], np.finfo(float).tiny)
    sign = np.sign(found.table["log2_fold_change"].to_numpy()[genes])
    again, n = np.zeros(len(genes)), 0
    inference = DefaultInference(n_cpus=1)
    for rows in _samples(is_case, donor, n_samples, rng):
        design = _design(is_case[rows], nuisance[rows])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            continue
        size, dispersion = found.size_factors[rows], found.dispersion[genes]
        # A gene that a sample has no molecule of is not found in it.
        held = counts[np.ix_(rows, genes)]
        there = held.sum(axis=0) > 0
        change = inference.irls(
            counts=held[:, there],
            size_factors=size,
            design_matrix=design,
            disp=dispersion[there],
            min_mu=_MIN_MU,
            beta_tol=_BETA_TOLERANCE,
        )[0]
        statistic = inference.wald_test(
            design_matrix=design,
            disp=dispersion[there],
            lfc=change,
            mu=np.exp(design @ change.T) * size[:, None],
            ridge_factor=np.eye(design.shape[1]) * _RIDGE,
            contrast=_contrast(design.shape[1]),
            lfc_null=np.zeros(1),
            alt_hypothesis=None,
        )[1]
        degrees = found.prior_degrees + design.shape[0] - design.shape[1]
        p_value = two_sided_p(statistic, degrees)
        again[there] += (np.sign(change[:, -1]) == sign[there]) & (p_value <= max_p)
        n += 1
    if n:
        share[genes] = again / n
    return share


def _design(is_case: np.ndarray, nuisance: np.ndarray) -> np.ndarray:
    """[donors, columns] Intercept, what is held constant, and the condition as the last one."""
    return np.column_stack([np.ones(len(is_case)), nuisance, is_case.astype(float)])


def degrees_of_prior(variance: float) -> float:
    """Degrees of freedom of which a logarithm of a variance has this variance.

    It is the trigamma function of half of them. 0 where PyDESeq2 could not tell the variance.

    Parameters
    ----------
    variance
        Of the logarithms of dispersions around their trend.
    """
    if not np.isfinite(variance):
        return 0.0
    half = optimize.brentq(lambda x: special.polygamma(1, x) - variance, 1e-8, 1e8)
    return 2 * float(half)


def two_sided_p(statistic: np.ndarray, degrees: float) -> np.ndarray:
    """Of Student's t with so many degrees of freedom."""
    return 2 * stats.t.sf(np.abs(statistic), degrees)


def _contrast(n_columns: int) -> np.ndarray:
    return np.eye(n_columns)[-1]


def _samples(
    is_case: np.ndarray, donor: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Rows of donors, a fifth of each condition left out and one at least."""
    for _ in range(n):
        left: set[str] = set()
        for side in (is_case, ~is_case):
            names = np.unique(donor[side])
            left |= set(rng.choice(names, max(1, round(_LEFT_OUT * len(names))), replace=False))
        yield np.flatnonzero(~np.isin(donor, list(left)))
