"""Every AnnData key scpress reads or writes: name, axis, shape, dtype, range and one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import Index


@dataclass(frozen=True)
class Slot:
    """One key of an AnnData. A `{model}` in the name stands for the model's name.

    Attributes
    ----------
    dtype
        What is written; a number of another width, or text that is no category, is read, too.
    low, high
        The least and the greatest value; numbers are finite.
    may_lack
        Whether there may be rows without a value: NaN, or no category.
    """

    axis: str
    name: str
    shape: str
    dtype: str
    text: str
    low: float = -sys.float_info.max
    high: float = sys.float_info.max
    may_lack: bool = False

    def of(self, model: str) -> str:
        """The key for one model."""
        return self.name.format(model=model)


_POSITIVE = sys.float_info.min


def _obs(name: str, dtype: str, text: str, **values: Any) -> Slot:
    return Slot("obs", name, "[cells]", dtype, text, **values)


def _share(name: str, text: str, *, dtype: str = "float32", **values: Any) -> Slot:
    return _obs(name, dtype, text, low=0, high=1, **values)


def _var(name: str, dtype: str, text: str, **values: Any) -> Slot:
    return Slot("var", name, "[genes]", dtype, text, **values)


def _varm(name: str, text: str) -> Slot:
    text += "; NaN for genes not modelled."
    return Slot("varm", name, "[genes, n_latent]", "float32", text, may_lack=True)


SAMPLE = _obs("sample", "category", "Name of the sample in the sample sheet.")
LABEL = _obs(
    "label",
    "category",
    "Known label, from the column the sheet's `label_key` names.",
    may_lack=True,
)
LIBRARY_SIZE = _obs("library_size", "int64", "Molecules, of genes measured everywhere.", low=0)
N_GENES = _obs("n_genes", "int64", "Genes detected in the cell.", low=0)
PCT_MT = _obs(
    "pct_counts_mt", "float32", "Mitochondrial molecules, percent of the cell's.", low=0, high=100
)
PCT_RIBO = _obs(
    "pct_counts_ribo", "float32", "Ribosomal molecules, percent of the cell's.", low=0, high=100
)
DOUBLET_SCORE = _obs(
    "doublet_score", "float32", "Scrublet's score; NaN where not computed.", low=0, may_lack=True
)
PASS_QC = _obs("pass_qc", "bool", "Whether the cell is kept.")
QC_REASON = _obs("qc_reason", "category", "Why the cell failed, reasons joined by ';', or ''.")
SIZE_FACTOR = _obs("size_factor", "float64", "library_size over its median; linear.", low=_POSITIVE)
LEIDEN = _obs("leiden", "category", "Cluster at the chosen resolution.")
LEIDEN_CONFIDENCE = _share(
    "leiden_confidence",
    "Share of the subsamples (and seeds) that found the cell with most of its cluster.",
    may_lack=True,
)
NEIGHBOR_AGREEMENT = _share(
    "neighbor_agreement",
    "Mean Jaccard index of the cell's nearest neighbours in the latents of two seeds.",
)
UNASSIGNED = "unassigned"
CELL_TYPE = _obs("cell_type", "category", f"Type named from marker genes, or {UNASSIGNED!r}.")
CELL_TYPE_CONFIDENCE = _share("cell_type_confidence", "Confidence of it, 0 to 1.")
REFERENCE_P = _share(
    "reference_p",
    "Share of labelled cells as far from the others as this one, where such cells gave names.",
    dtype="float64",
)
SUBTYPE = _obs("subtype", "category", "Type, or type and subtype number where supported.")
SUBTYPE_CONFIDENCE = _share(
    "subtype_confidence",
    "Share of the seeds whose latent has the cell's subtype and the cell in it; NaN without one.",
    may_lack=True,
)
# Of receptors.h5ad alone. A receptor has a chain of V and J and one of V, D and J.
RECEPTOR_CHAIN = {
    (arm, name): _obs(
        f"receptor_{arm.lower()}_{name}", "category", f"{text} of the {arm} chain.", may_lack=True
    )
    for arm in ("VJ", "VDJ")
    for name, text in (
        ("chain", "Name (TRA, IGH and so on)"),
        ("cdr3", "CDR3, amino acids,"),
        ("v_gene", "V gene"),
        ("j_gene", "J gene"),
    )
}
RECEPTOR_CHAINS = _obs("receptor_n_chains", "int64", "Productive chains of the cell.", low=0)
RECEPTOR_NOTE = _obs("receptor_note", "category", "What is not clear of its receptor, or ''.")
RECEPTOR_GROUP = _obs(
    "receptor_group", "category", "Cells with receptors that are alike.", may_lack=True
)
FOLD = _obs("fold", "int64", "Fold of the molecules, from 1, in folds.h5ad alone.", low=1)
NLL = _obs("nll_{model}", "float32", "Negative log-likelihood of the cell, nats.")
IS_VALIDATION = _obs("is_validation_{model}", "bool", "Held out to decide when to stop.")

ANOMALY_SCORE = _obs(
    "anomaly_score",
    "float32",
    "Strangeness among normal cells of like depth, in anomaly.h5ad alone.",
)
ANOMALY_P = _share(
    "anomaly_p",
    "Conformal p-value: normal cells as strange, in anomaly.h5ad alone.",
    dtype="float64",
)
ANOMALY_FDR = _share(
    "anomaly_fdr",
    "False part of the cells as strange; in anomaly.h5ad, NaN in the reference.",
    may_lack=True,
    dtype="float64",
)
IS_ANOMALY = _obs(
    "is_anomaly", "bool", "Whether the cell is called at the stated rate, in anomaly.h5ad alone."
)
ANOMALY_REFERENCE = _obs(
    "anomaly_reference", "bool", "Whether the cell is of the reference, in anomaly.h5ad alone."
)
N_OUTLIER_GENES = _obs(
    "n_outlier_genes", "int64", "Outlier genes of the cell, in anomaly.h5ad alone.", low=0
)
# The rows of programs.h5ad are places of programs, and no cells.
PROGRAM = _obs("gene_program", "category", "Program of the row, in programs.h5ad alone.")
PROGRAM_PLACE = _obs(
    "gene_program_place",
    "float64",
    "Percentile of the cells, or percent of the way between clusters, in programs.h5ad alone.",
)

GENE_ID = _var("gene_id", "str", "Stable id (Ensembl) where the input has one.")
GENE_SYMBOL = _var("gene_symbol", "str", "Symbol as given; may repeat.")
N_CELLS = _var("n_cells", "int64", "Passing cells the gene is detected in.", low=0)
HIGHLY_VARIABLE = _var("highly_variable", "bool", "Whether the gene is modelled.")
MEANS = _var("means", "float64", "Mean count over all cells.", low=0)
VARIANCES = _var("variances", "float64", "Variance of the counts over all cells.", low=0)
VARIANCES_NORM = _var("variances_norm", "float64", "seurat_v3's score, mean over batches.")
RESIDUAL_VARIANCES = _var(
    "residual_variances", "float64", "Variance of Pearson residuals, mean over batches."
)
BINOMIAL_DEVIANCE = _var(
    "binomial_deviance",
    "float64",
    "Deviance from one fraction in all cells, nats, mean over batches.",
    low=0,
)
HIGHLY_VARIABLE_RANK = _var(
    "highly_variable_rank",
    "float64",
    "Median rank over the batches that choose the gene.",
    low=0,
    may_lack=True,
)
HIGHLY_VARIABLE_NBATCHES = _var(
    "highly_variable_nbatches", "int64", "Batches that choose the gene.", low=0
)
THIN_THETA = _var(
    "thin_theta",
    "float64",
    "Inverse dispersion by which molecules were divided, in folds.h5ad alone.",
    low=0,
)
THETA = _var(
    "theta_{model}",
    "float32",
    "Inverse dispersion; NaN for genes not modelled.",
    low=0,
    may_lack=True,
)
PI_MEAN = _var(
    "pi_mean_{model}",
    "float32",
    "Mean fraction of extra zeros over the cells.",
    low=0,
    high=1,
    may_lack=True,
)

MEASURED = Slot("varm", "measured", "[genes, samples]", "bool", "Whether it was measured there.")
IMPUTATION_EXPLAINED = _var(
    "imputation_explained", "float32", "Deviance explained of hidden counts.", may_lack=True
)
IMPUTATION_RIVAL = _var(
    "imputation_explained_neighbors", "float32", "The same by nearest neighbours.", may_lack=True
)
IMPUTATION_ENTRIES = _var("imputation_entries", "int64", "Counts that were hidden.", low=0)
RECOMMENDED = Slot(
    "obsm", "recommended", "[cells, named]", "int64", "Gene of recommended.h5ad, or -1.", low=-1
)
RECOMMENDED_P = Slot(
    "obsm", "recommended_p", "[cells, named]", "float32", "Its probability.", 0, 1, may_lack=True
)
LATENT = Slot("obsm", "X_{model}", "[cells, n_latent]", "float32", "Posterior mean or code.")
LATENT_SD = Slot(
    "obsm", "X_{model}_sd", "[cells, n_latent]", "float32", "Posterior deviation.", low=0
)
RECEPTOR = Slot(
    "obsm",
    "X_receptor",
    "[cells, n_latent]",
    "float32",
    "Codes of the VJ and the VDJ chain, in receptors.h5ad alone; NaN without one.",
    may_lack=True,
)
TRAVERSALS = _varm("traversals_{model}", "log2 fold change along each dimension")
LOADINGS = _varm("loadings_{model}", "Weights of a linear decoder")
UMAP = Slot("obsm", "X_umap", "[cells, 2]", "float32", "Layout for looking at, not for measuring.")
DISTANCES = Slot("obsp", "distances", "[cells, cells]", "float32", "Neighbours graph.", low=0)
CONNECTIVITIES = Slot("obsp", "connectivities", "[cells, cells]", "float32", "Fuzzy graph.", low=0)
COUNTS = Slot("layers", "counts", "[cells, genes]", "int32", "Raw counts, CSR.", low=0)
DENOISED = Slot(
    "layers", "denoised", "[cells, genes]", "float32", "mu over size factor.", may_lack=True
)
# Of scpress.h5ad, in uns["scpress"]; a file of 0.1.0, which has none, is version 1.
FORMAT_VERSION = 1
# uns["scpress"] is a dictionary; its entries are named in docs/formats.md.
RECORD = Slot("uns", "scpress", "dict", "", "What was run: digests, options, versions, tables.")

SLOTS = (
    *(value for value in list(globals().values()) if isinstance(value, Slot)),
    *RECEPTOR_CHAIN.values(),
)

# Keys of DCA and scvi-tools, written when asked for and never read. They are none of ours, so that
# a file that comes with them keeps them until then.
DCA_LATENT = Slot("obsm", "X_dca", "[cells, n_latent]", "float32", "Code of DCA.")
DCA_DISPERSION = _var("X_dca_dispersion", "float32", "theta, mean over cells.", may_lack=True)
DCA_DROPOUT = _var("X_dca_dropout", "float32", "pi, mean over cells.", may_lack=True)
DCA_SIZE_FACTORS = _obs("size_factors", "float64", "What DCA's means are multiplied by.")
SCVI_LATENT = Slot("obsm", "X_scVI", "[cells, n_latent]", "float32", "Latent of scvi-tools.")


def names_in(axis: Iterable[Any]) -> list[str]:
    """Names of what `adata.obs`, `adata.layers` and the like hold.

    anndata 0.13 lists X among the layers, as None.
    """
    return [str(name) for name in axis if name is not None]


def require(adata: AnnData, *slots: Slot, model: str = "", where: str = "") -> None:
    """Check that an AnnData has the slots a step reads, each as it is declared.

    Parameters
    ----------
    where
        What the AnnData is, for the message; its file where it is on disk, when not given.

    Raises
    ------
    InputError
        A slot is missing, or of another type or shape, or holds a value that it cannot have.
    """
    for slot in slots:
        key = slot.of(model)
        found = getattr(adata, slot.axis)
        if key not in found:
            has = ", ".join(names_in(found)[:8]) or "nothing"
            raise InputError(
                f"{_where(adata, where)}{slot.axis}[{key!r}] is missing ({_meaning(slot)}); "
                f"{slot.axis} holds {has}. Was the step that writes it run?"
            )
        fault = _fault(found[key], slot)
        if fault:
            raise InputError(
                f"{_where(adata, where)}{slot.axis}[{key!r}] ({_meaning(slot)}) {fault}. "
                "Run the step that writes it again."
            )


def require_present(adata: AnnData, *, models: Iterable[str] = (), where: str = "") -> None:
    """Check all slots that a file of ours has, as `require` does; layers are left to their readers.

    Parameters
    ----------
    models
        Names of the models whose slots there may be.
    """
    for slot in SLOTS:
        names = models if slot.of("") != slot.name else [""]
        if slot.axis in ("obs", "var", "obsm", "varm", "obsp"):
            for name in names:
                if slot.of(name) in getattr(adata, slot.axis):
                    require(adata, slot, model=name, where=where)


def require_unique(adata: AnnData, where: str = "") -> None:
    """Check that no two cells have one name, and no two genes.

    Raises
    ------
    InputError
        A name that is there twice.
    """
    for axis, names in (("obs", adata.obs_names), ("var", adata.var_names)):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise InputError(
                f"{_where(adata, where)}{axis}_names has {twice!r} twice, and names tell "
                "what is what. Make the file again with `scpress ingest`."
            )


def _where(adata: AnnData, where: str) -> str:
    file = getattr(adata, "filename", None)
    name = where or (f"'{file}'" if file else "")
    return f"{name}: " if name else ""


def _meaning(slot: Slot) -> str:
    return f"{slot.text[0].lower()}{slot.text[1:-1]}"


# First letters of a slot's dtype -> kinds of numpy that hold the same, and what they are called.
_KINDS = {"i": ("iu", "whole numbers"), "f": ("iuf", "numbers"), "b": ("b", "true or false")}
_AXES = {"[cells, n_latent]": (2, None), "[genes, n_latent]": (2, None), "[cells, 2]": (2, 2)}


def _fault(held: Any, slot: Slot) -> str:
    """What is wrong with what a slot holds; nothing where it is as declared."""
    if slot is RECORD:
        return "" if hasattr(held, "keys") else f"is {held!r:.60} and no table of named values"
    if not hasattr(held, "dtype"):
        return f"is a {type(held).__name__} and no array"
    n_axes, n_columns = _AXES.get(slot.shape, (held.ndim, None))
    if held.ndim != n_axes or n_columns not in (None, held.shape[-1]):
        return f"is of shape {tuple(held.shape)}"
    if slot.dtype in ("category", "str"):
        return _fault_of_text(held, slot.may_lack)
    kinds, noun = _KINDS[slot.dtype[0]]
    # Whole numbers may be stored as floats, as scanpy's are.
    is_whole_float = slot.dtype[0] == "i" and held.dtype.kind == "f"
    if held.dtype.kind not in kinds and not is_whole_float:
        return f"is of type {held.dtype} and must hold {noun}"
    if hasattr(held, "tocsr"):
        held = held.data
    lacks = held != held  # NaN is what is not itself
    if lacks.any() or getattr(held, "hasnans", False):
        if not slot.may_lack:
            return f"lacks {noun} in some of its places"
        held = held[~lacks]
    fractions = held[held % 1 != 0] if is_whole_float else held[:0]
    if len(fractions):
        return f"holds {float(fractions.max()):g} and must hold {noun}"
    if slot.dtype == "bool" or not held.size:
        return ""
    low, high = float(held.min()), float(held.max())
    if low < slot.low:
        return f"holds {low:g}, which is less than it can be"
    return f"holds {high:g}, which is more than it can be" if high > slot.high else ""


def _fault_of_text(held: Any, may_lack: bool) -> str:
    codes = getattr(getattr(held, "cat", None), "codes", None)
    words = held.dropna() if codes is None else held.cat.categories
    odd = [word for word in words if not isinstance(word, str)]
    if odd:
        return f"must be text; found {odd[0]!r}"
    lacks = len(words) < len(held) if codes is None else (codes < 0).any()
    return "lacks text in some of its places" if lacks and not may_lack else ""


def require_same_cells(cells: Index, others: Index, what: str) -> None:
    """Check that a result is of the cells of the counts, in their order.

    Parameters
    ----------
    cells, others
        obs_names of the counts and of the result.
    what
        Name of the result, for the message.

    Raises
    ------
    InputError
        It is of others.
    """
    _require_same(cells, others, what, "cell")


def require_same_genes(genes: Index, others: Index, what: str) -> None:
    """Check that a result is of the genes of the counts, in their order; as `require_same_cells`.

    Raises
    ------
    InputError
        It is of others.
    """
    _require_same(genes, others, what, "gene")


def _require_same(names: Index, others: Index, what: str, noun: str) -> None:
    if names.equals(others):
        return
    pairs = enumerate(zip(names, others, strict=False), start=1)
    place = next((f"{noun} {n} is {a!r} and {b!r}" for n, (a, b) in pairs if a != b), "")
    raise InputError(
        f"counts has {len(names)} {noun}s and {what} {len(others)}, not the same ones in the same "
        f"order{f' ({place})' if place else ''}. Give files of one run."
    )


def is_ours(axis: str, key: str) -> bool:
    """Whether a key of the user's would collide with one scpress writes."""
    for slot in (one for one in SLOTS if one.axis == axis):
        head, _, tail = slot.name.partition("{model}")
        if key == slot.name or ((tail != "" or head != slot.name) and _fills(key, head, tail)):
            return True
    return False


def _fills(key: str, head: str, tail: str) -> bool:
    # X_{model} would match every X_ key of the user's; only collisions by full name matter there.
    return head not in ("X_",) and key.startswith(head) and key.endswith(tail) and key != head
