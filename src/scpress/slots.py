"""Every AnnData key scpress reads or writes: name, axis, shape, dtype and one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import Index


@dataclass(frozen=True)
class Slot:
    """One key of an AnnData. A `{model}` in the name stands for the model's name."""

    axis: str
    name: str
    shape: str
    dtype: str
    text: str

    def of(self, model: str) -> str:
        """The key for one model."""
        return self.name.format(model=model)


def _obs(name: str, dtype: str, text: str) -> Slot:
    return Slot("obs", name, "[cells]", dtype, text)


def _var(name: str, dtype: str, text: str) -> Slot:
    return Slot("var", name, "[genes]", dtype, text)


SAMPLE = _obs("sample", "category", "Name of the sample in the sample sheet.")
LABEL = _obs("label", "category", "Known label, from the column the sheet's `label_key` names.")
LIBRARY_SIZE = _obs("library_size", "int64", "Molecules of the cell over all genes.")
N_GENES = _obs("n_genes", "int64", "Genes detected in the cell.")
PCT_MT = _obs("pct_counts_mt", "float32", "Mitochondrial molecules, percent of the cell's.")
PCT_RIBO = _obs("pct_counts_ribo", "float32", "Ribosomal molecules, percent of the cell's.")
DOUBLET_SCORE = _obs("doublet_score", "float32", "Scrublet's score; NaN where not computed.")
PASS_QC = _obs("pass_qc", "bool", "Whether the cell is kept.")
QC_REASON = _obs("qc_reason", "category", "Why the cell failed, reasons joined by ';', or ''.")
SIZE_FACTOR = _obs("size_factor", "float64", "library_size over its median; linear.")
LEIDEN = _obs("leiden", "category", "Cluster at the chosen resolution.")
CELL_TYPE = _obs("cell_type", "category", "Type named from marker genes, or 'unassigned'.")
CELL_TYPE_CONFIDENCE = _obs("cell_type_confidence", "float32", "Confidence of it, 0 to 1.")
SUBTYPE = _obs("subtype", "category", "Type, or type and subtype number where supported.")
NLL = _obs("nll_{model}", "float32", "Negative log-likelihood of the cell, nats.")
IS_VALIDATION = _obs("is_validation_{model}", "bool", "Held out to decide when to stop.")

GENE_ID = _var("gene_id", "str", "Stable id (Ensembl) where the input has one.")
GENE_SYMBOL = _var("gene_symbol", "str", "Symbol as given; may repeat.")
N_CELLS = _var("n_cells", "int64", "Passing cells the gene is detected in.")
HIGHLY_VARIABLE = _var("highly_variable", "bool", "Whether the gene is modelled.")
MEANS = _var("means", "float64", "Mean count over all cells.")
VARIANCES = _var("variances", "float64", "Variance of the counts over all cells.")
VARIANCES_NORM = _var("variances_norm", "float64", "seurat_v3's score, mean over batches.")
RESIDUAL_VARIANCES = _var(
    "residual_variances", "float64", "Variance of Pearson residuals, mean over batches."
)
HIGHLY_VARIABLE_RANK = _var(
    "highly_variable_rank", "float64", "Median rank over the batches that choose the gene."
)
HIGHLY_VARIABLE_NBATCHES = _var(
    "highly_variable_nbatches", "int64", "Batches that choose the gene."
)
THETA = _var("theta_{model}", "float32", "Inverse dispersion; NaN for genes not modelled.")
PI_MEAN = _var("pi_mean_{model}", "float32", "Mean fraction of extra zeros over the cells.")

LATENT = Slot("obsm", "X_{model}", "[cells, n_latent]", "float32", "Posterior mean or code.")
LATENT_SD = Slot("obsm", "X_{model}_sd", "[cells, n_latent]", "float32", "Posterior deviation.")
UMAP = Slot("obsm", "X_umap", "[cells, 2]", "float32", "Layout for looking at, not for measuring.")
DISTANCES = Slot("obsp", "distances", "[cells, cells]", "float32", "Neighbours graph.")
CONNECTIVITIES = Slot("obsp", "connectivities", "[cells, cells]", "float32", "Fuzzy graph.")
COUNTS = Slot("layers", "counts", "[cells, genes]", "int32", "Raw counts, CSR.")
DENOISED = Slot("layers", "denoised", "[cells, genes]", "float32", "mu over size factor.")
# Of scpress.h5ad, in uns["scpress"]; a file of 0.1.0, which has none, is version 1.
FORMAT_VERSION = 1
# uns["scpress"] is a dictionary; its entries are named in docs/formats.md.
RECORD = Slot("uns", "scpress", "dict", "", "What was run: digests, options, versions, tables.")

SLOTS = tuple(value for value in list(globals().values()) if isinstance(value, Slot))


def names_in(axis: Iterable[Any]) -> list[str]:
    """Names of what `adata.obs`, `adata.layers` and the like hold.

    anndata 0.13 lists X among the layers, as None.
    """
    return [str(name) for name in axis if name is not None]


def require(adata: AnnData, *slots: Slot, model: str = "") -> None:
    """Check that an AnnData has the slots a step reads.

    Raises
    ------
    InputError
        A slot is missing.
    """
    for slot in slots:
        key = slot.of(model)
        if key not in getattr(adata, slot.axis):
            found = ", ".join(names_in(getattr(adata, slot.axis))[:8]) or "nothing"
            raise InputError(
                f"{slot.axis}[{key!r}] is missing ({slot.text[0].lower()}{slot.text[1:-1]}); "
                f"{slot.axis} holds {found}. Was the step that writes it run?"
            )


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
    for slot in SLOTS:
        if slot.axis != axis:
            continue
        head, _, tail = slot.name.partition("{model}")
        if key == slot.name or ((tail != "" or head != slot.name) and _fills(key, head, tail)):
            return True
    return False


def _fills(key: str, head: str, tail: str) -> bool:
    # X_{model} would match every X_ key of the user's; only collisions by full name matter there.
    return head not in ("X_",) and key.startswith(head) and key.endswith(tail) and key != head
