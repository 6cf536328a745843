"""What `compress` measures of one model, and the page shows; every byte is one of a file."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import Agreement, Positive, Record, Share

# Names of the rivals.
PCA, NMF, GENE_MEAN = "PCA", "NMF", "gene mean x size factor"
# Rank of the PCA whose neighbours are the reference of the recall.
REFERENCE_RANK = 50


@dataclass(frozen=True, kw_only=True)
class Scores(Record):
    """What a decoded code keeps of the counts.

    Attributes
    ----------
    deviance_explained
        1 - Poisson deviance of the code / that of gene mean x size factor.
    gene_correlation, cell_correlation
        Medians over genes and over cells of the correlation of log-normalized values.
    neighbor_recall
        Share of the nearest cells by PCA that are nearest by the code; None without a latent.
    ari_label
        Agreement of the code's clusters with known labels; None without labels or latent.
    """

    deviance_explained: float
    gene_correlation: Agreement
    cell_correlation: Agreement
    neighbor_recall: Share | None
    ari_label: Agreement | None


@dataclass(frozen=True, kw_only=True)
class Code(Scores):
    """One code of the counts: what it is, what it costs with everything decoding needs, its scores.

    Attributes
    ----------
    code
        Name of the model, or of the rival.
    precision
        What its numbers are stored as.
    n_latent
        Numbers per cell.
    """

    code: str
    precision: str
    n_latent: int
    total_bytes: int
    bytes_per_cell: Positive


@dataclass(frozen=True, kw_only=True)
class Precision(Code):
    """The model's code at one precision of its latent.

    Attributes
    ----------
    nll, nll_held_out
        -log p(x | z) at the latent as stored, nats per cell: of all scored cells, and of those
        that were held out in training (None where none were).
    neighbor_recall_float32, ari_float32
        Recall of the nearest cells, and ARI with the clusters, of the float32 latent.
    ari_other_seed
        ARI of the float32 latent's clusters with those of another seed of Leiden.
    """

    latent_bytes: int
    latent_bytes_per_cell: Positive
    nll: float
    nll_held_out: float | None
    neighbor_recall_float32: Share
    ari_float32: Agreement
    ari_other_seed: Agreement


@dataclass(frozen=True, kw_only=True)
class LossyCode(Record):
    """One way to store one code, and what it says of molecules it has not seen.

    Attributes
    ----------
    code
        Name of the model, or of the rival.
    n_latent
        Numbers per cell.
    precision, weights_precision
        What the latent, and what all cells share, are stored as.
    shared_bytes
        Of the file of what all cells share.
    cell_bytes
        Of the files with what each cell has, divided by the cells in them.
    bytes_per_cell
        Both, the shared ones over all cells of the data.
    unseen_deviance_explained
        1 - Poisson deviance of unseen molecules by the code / that by the gene mean.
    """

    code: str
    n_latent: int
    precision: str
    weights_precision: str
    shared_bytes: int
    cell_bytes: Positive
    bytes_per_cell: Positive
    unseen_deviance_explained: float


@dataclass(frozen=True, kw_only=True)
class HeldOutCodes(Record):
    """Codes of every size on molecules that none of them has seen.

    Attributes
    ----------
    n_coded_cells, n_cells, n_molecules
        Cells whose codes were stored; those of them that are scored; their unseen molecules.
    digest
        Of the unseen molecules: scores with the same one can be compared.
    """

    n_coded_cells: int
    n_cells: int
    n_molecules: int
    digest: str
    codes: tuple[LossyCode, ...]


@dataclass(frozen=True, kw_only=True)
class Nominal(Record):
    """The number that is usually quoted: a dense float32 matrix over the latent alone."""

    dense_bytes: int
    latent_bytes: int
    ratio: Positive


@dataclass(frozen=True, kw_only=True)
class Stored(Record):
    """Counts as an h5ad stores its X over the latent as stored."""

    counts_bytes: int
    counts_bytes_per_cell: Positive
    all_genes_bytes_per_cell: Positive
    latent_bytes: int
    latent_bytes_per_cell: Positive
    ratio: Positive


@dataclass(frozen=True, kw_only=True)
class WithDecoder(Record):
    """The same with everything decoding needs; None break-even where it never is smaller."""

    latent_bytes: int
    decoder_bytes: int
    gene_bytes: int
    library_bytes: int
    total_bytes: int
    bytes_per_cell: Positive
    ratio: Positive
    break_even_cells: int | None

    @property
    def fixed_bytes(self) -> int:
        """All but the latent."""
        return self.decoder_bytes + self.gene_bytes + self.library_bytes


@dataclass(frozen=True, kw_only=True)
class Compression(Record):
    """Bytes, ratios and distortion of one model beside its rivals.

    Attributes
    ----------
    n_scored_cells
        Cells on which distortion was measured.
    tensors
        Part of the code (latent, decoder, genes, library) -> tensor -> its bytes in the file.
    precision
        The model's code at each precision, float32 first.
    rivals
        The model, PCA of as many bytes (where even one component is smaller) and the gene mean.
    same_bytes_rank
        Rank of that PCA.
    curve
        PCA over its rank.
    held_out
        Codes that were fitted to other cells; None where the model has no held-out cells here.
    """

    made_by = "`scpress compress`"

    model: str
    preset: str
    seed: int | None
    n_cells: int
    n_scored_cells: int
    n_genes: int
    n_all_genes: int
    n_latent: int
    nominal: Nominal
    stored: Stored
    with_decoder: WithDecoder
    tensors: dict[str, dict[str, int]]
    precision: tuple[Precision, ...]
    distortion: Scores
    rivals: tuple[Code, ...]
    same_bytes_rank: int | None
    curve: tuple[Code, ...]
    held_out: HeldOutCodes | None

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that there is the float32 code that others are beside."""
        found = super().from_plain(values, where)
        if not found.precision:
            raise cls.refusal(f"{where} has no code in 'precision'")
        return found
