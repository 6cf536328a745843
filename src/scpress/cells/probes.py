"""What a latent knows: how well a linear model reads something of the cells from it."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_N_FOLDS = 5
# Fewest genes of the cell cycle that say where in it a cell is.
_MIN_CYCLE_GENES = 10
# Genes of the phases S and G2/M: Tirosh et al. 2016, by today's symbols and those of then.
_CYCLE_GENES = """
MCM5 PCNA TYMS FEN1 MCM2 MCM4 RRM1 UNG GINS2 MCM6 CDCA7 DTL PRIM1 UHRF1 MLF1IP CENPU HELLS
RFC2 RPA2 NASP RAD51AP1 GMNN WDR76 SLBP CCNE2 UBR7 POLD3 MSH2 ATAD2 RAD51 RRM2 CDC45 CDC6 EXO1
TIPIN DSCC1 BLM CASP8AP2 USP1 CLSPN POLA1 CHAF1B BRIP1 E2F8
HMGB2 CDK1 NUSAP1 UBE2C BIRC5 TPX2 TOP2A NDC80 CKS2 NUF2 CKS1B MKI67 TMPO CENPF TACC3 FAM64A
PIMREG SMC4 CCNB2 CKAP2L CKAP2 AURKB BUB1 KIF11 ANP32E TUBB4B GTSE1 KIF20B HJURP CDCA3 HN1 JPT1
CDC20 TTK CDC25C KIF2C RANGAP1 NCAPD2 DLGAP5 CDCA2 CDCA8 ECT2 KIF23 HMMR AURKA PSRC1 ANLN LBR
CKAP5 CENPE CTCF NEK2 G2E3 GAS2L3 CBX5 CENPA
"""


def probe_groups(latent: np.ndarray, groups: np.ndarray, *, seed: int) -> float:
    """Balanced accuracy of a logistic regression on cells held out; chance is 1 / groups.

    Groups of fewer cells than there are folds are left out; NaN where fewer than two are left.
    """
    names, code, n = np.unique(groups, return_inverse=True, return_counts=True)
    kept = n[code] >= _N_FOLDS
    if (n >= _N_FOLDS).sum() < 2:
        return float("nan")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_score(
        model, latent[kept], names[code[kept]], cv=folds, scoring="balanced_accuracy"
    )
    return float(scores.mean())


def probe_number(latent: np.ndarray, values: np.ndarray, *, seed: int) -> float:
    """Coefficient of determination of a ridge regression on cells held out; chance is 0."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))
    folds = KFold(_N_FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(model, latent, values, cv=folds, scoring="r2").mean())


def cycle_score(values: sparse.csr_matrix, symbols: list[str]) -> np.ndarray | None:
    """[cells] Mean log-normalized value of genes of S and G2/M; None where there are few of them.

    Parameters
    ----------
    values
        [cells, genes]
    """
    known = set(_CYCLE_GENES.split())
    of_cycle = np.flatnonzero([symbol.upper() in known for symbol in symbols])
    if len(of_cycle) < _MIN_CYCLE_GENES:
        return None
    return np.asarray(values[:, of_cycle].mean(axis=1)).ravel()
