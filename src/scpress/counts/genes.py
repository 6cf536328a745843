"""Which gene is which: digests, joins by id or symbol, mitochondrial and ribosomal genes."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from scpress import slots

# The 37 mitochondrial genes start with MT- in human and mt- in mouse; 13 of them code for proteins
# and are what an RNA count contains. Ensembl releases 75 to 113 agree on these ids.
MITOCHONDRIAL_IDS = frozenset(
    (  # noqa: SIM905
        # human: ND1 ND2 CO1 CO2 ATP8 ATP6 CO3 ND3 ND4L ND4 ND5 ND6 CYB
        "ENSG00000198888 ENSG00000198763 ENSG00000198804 ENSG00000198712 ENSG00000228253 "
        "ENSG00000198899 ENSG00000198938 ENSG00000198840 ENSG00000212907 ENSG00000198886 "
        "ENSG00000198786 ENSG00000198695 ENSG00000198727 "
        # mouse, same order
        "ENSMUSG00000064341 ENSMUSG00000064345 ENSMUSG00000064351 ENSMUSG00000064354 "
        "ENSMUSG00000064356 ENSMUSG00000064357 ENSMUSG00000064358 ENSMUSG00000064360 "
        "ENSMUSG00000065947 ENSMUSG00000064363 ENSMUSG00000064367 ENSMUSG00000064368 "
        "ENSMUSG00000064370"
    ).split()
)

# Human proteins of the ribosome and their paralogues (RPS*, RPL*), as numbers of ENSG ids, from
# the gene annotation of Ensembl 98 (10x Genomics' reference GRCh38 2020-A). Mouse ids are not
# listed: mouse genes are found by symbol, and `qc` says so where there is none.
RIBOSOMAL_IDS = frozenset(
    f"ENSG{int(number):011d}"
    for number in (  # noqa: SIM905
        "8988 37241 63177 71082 83845 89009 89157 100316 105193 105372 105640 108107 108298 "
        "109475 110700 112306 114391 115268 116251 118181 122026 122406 124614 125691 129824 "
        "130255 131469 134419 136942 137154 137818 138326 140986 140988 142534 142541 142676 "
        "142937 143947 144713 145425 145592 146223 147403 147604 148303 149273 156482 161016 "
        "161970 162244 163584 163682 163923 164587 165496 165502 166441 167526 168028 170889 "
        "171858 171863 172809 174444 174748 177600 177954 182774 182899 185088 186468 188846 "
        "197728 197756 197958 198034 198242 198755 198918 213741 229117 231500 233927 241343 "
        "265681 280969 "
    ).split()
)

# Stable ids of Ensembl (ENSG..., ENSMUSG...), FlyBase and WormBase; "hg19_" and the like in front
# are what Cell Ranger writes for references of two species.
_STABLE = r"(ENS[A-Z]*{}\d{{11}}(\.\d+)?(_PAR_Y)?|FB{}\d{{7}}|WBGene\d{{8}})$"
_ID = re.compile(r"([A-Za-z0-9.]+_+)?" + _STABLE.format("G", "gn"))
# Files of genes and of transcripts alike: what is not a symbol.
_GENE_OR_TRANSCRIPT = re.compile(r"([A-Za-z0-9.]+_+)?" + _STABLE.format("[GT]", "(gn|tr)"))
# Rows of a count table that count what is no gene: of STAR, htseq, featureCounts and
# CITE-seq-Count, and the spike-ins of ERCC.
_NO_GENE = re.compile(
    r"N_(unmapped|multimapping|noFeature|ambiguous)$"
    r"|__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)$"
    r"|Unassigned_\w+$|(unmapped|no_match|bad_struct|total_reads)$",
    re.IGNORECASE,
)
_SPIKE_IN = re.compile(r"([A-Za-z0-9.]+_+)?ERCC[-_.]\d{5}$", re.IGNORECASE)
# Each name that either matches holds one of these.
_HINTS = (
    *("n_multimapping", "n_nofeature", "n_ambiguous", "unmapped", "__", "unassigned_"),
    *("no_match", "bad_struct", "total_reads", "ercc"),
)
# Assemblies by their usual names, as references of two species put them before every symbol.
_ASSEMBLY = re.compile(r"((?:GRC[a-z]\d+|hg\d+|mm\d+|rn\d+|mRatBN\d+)[A-Za-z0-9.]*?)_+(?=.)")
_BARCODE = re.compile(r"(.*[^A-Za-z])?[ACGTN]{10,}([^A-Za-z].*)?$")
# Genes that nearly every count table of human or mouse holds.
_WELL_KNOWN = frozenset(
    (  # noqa: SIM905
        "ACTB GAPDH MALAT1 B2M EEF1A1 TMSB4X FTL FTH1 PTPRC CD3D CD3E CD8A CD4 CD79A MS4A1 LYZ "
        "NKG7 GNLY CST3 HLA-A HLA-B HLA-DRA EPCAM VIM KRT8 KRT18 COL1A1 PECAM1 MKI67 TOP2A HBB "
        "HBA1 CD14 FCGR3A PPBP TP53 GATA3 JUN FOS MYC RPLP0 RPS6 RPL13 MT-CO1 MT-ND1 MT-CYB"
    ).split()
)
# CITE-seq-Count names a tag by its name and sequence; others by what it is.
_HASHTAG = re.compile(
    r".*[-_][ACGT]{6,}$|(hashtag|hto|cmo)[-_ ]?\w*\d|.*totalseq|b\d{4}[-_ ]anti", re.IGNORECASE
)
# What columns of metadata beside counts are called.
_METADATA = frozenset(
    (  # noqa: SIM905
        "cluster clusters cluster_id seurat_clusters leiden louvain cell_type celltype cell.type "
        "celltypes cell_types label labels class group condition batch sample sample_id donor "
        "donor_id patient subject tissue treatment stage sex n_genes n_counts total_counts "
        "ngene numi nfeature_rna ncount_rna n_genes_by_counts percent.mt percent_mt pct_counts_mt "
        "orig.ident barcode doublet doublet_score library_size size_factor"
    ).split()
)
# NCBI's numbers of genes.
_NUMBER = re.compile(r"\d+$")
# Names of var columns in files of scanpy, CELLxGENE, Seurat's converters and loom.
_ID_COLUMNS = (  # noqa: SIM905
    "gene_id gene_ids ensembl_id ensembl_ids ensembl ensemblid ensembl_gene_id feature_id "
    "accession gene_accession"
).split()
_SYMBOL_COLUMNS = (  # noqa: SIM905
    "gene_symbol gene_symbols symbol symbols gene_name gene_names feature_name gene"
).split()


def is_gene_id(names: Sequence[str]) -> np.ndarray:
    """[genes] True where a name is a stable id rather than a symbol."""
    return np.array([_ID.match(name) is not None for name in names], dtype=bool)


def find_ids_and_symbols(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """[genes] ids and [genes] symbols of a var table, '' where it has none.

    Either comes from a column with one of the usual names, or from the index. Symbols that stand
    where ids are expected are symbols (`tell_ids_from_symbols`).
    """
    index = np.asarray(var.index.astype(str), dtype=object)
    ids = _find_column(var, _ID_COLUMNS)
    symbols = _find_column(var, _SYMBOL_COLUMNS)
    index_is_id = is_gene_id(list(index))
    most_are_ids = len(index) > 0 and bool(index_is_id.mean() > 0.5)
    if ids is None:
        ids = np.where(index_is_id, index, "") if most_are_ids else np.full(len(index), "", object)
    if symbols is None:
        # An index of ids that has a symbol here and there (spike-ins, transgenes) names those too.
        symbols = np.where(index_is_id, "", index) if most_are_ids else index
    return tell_ids_from_symbols(ids, symbols)


def find_name_columns(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """[genes] Names of a var table that stand for ids and for symbols, whatever they are in truth.

    The index stands for either that has no column. Quick, for questions about all the names.
    """
    index = np.asarray(var.index.astype(str), dtype=object)
    ids, symbols = _find_column(var, _ID_COLUMNS), _find_column(var, _SYMBOL_COLUMNS)
    return index if ids is None else ids, index if symbols is None else symbols


def tell_ids_from_symbols(
    first: np.ndarray, second: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """[genes] ids and [genes] symbols of two columns that should be these, '' where there is none.

    The columns are exchanged where the second has the stable ids. A first column without stable
    ids is symbols where nothing else makes it ids: where it is alone, repeats a name, or says what
    the second says. Names that are unique and have symbols beside them (NCBI's numbers, the locus
    tags of plants and microbes) are ids.
    """
    if second is None:
        second = np.full(len(first), "", dtype=object)
    if _are_mostly(_GENE_OR_TRANSCRIPT, second):
        if not _are_mostly(_GENE_OR_TRANSCRIPT, first):
            return second, first
        # Ids twice: no gene has a symbol, but for those that are no ids.
        is_id = np.array([_GENE_OR_TRANSCRIPT.match(name) is not None for name in second], bool)
        return first, np.where(is_id, "", second)
    named = first != ""
    if not named.any() or _are_mostly(_GENE_OR_TRANSCRIPT, first):
        return first, second
    if _are_mostly(_NUMBER, first) and not _are_mostly(_NUMBER, second):
        return first, second
    says_the_same = float((first[named] == second[named]).mean()) > 0.5
    is_repeated = len(set(first[named])) < int(named.sum())
    if not (second != "").any() or says_the_same or is_repeated:
        return np.full(len(first), "", dtype=object), np.where(second != "", second, first)
    return first, second


def _are_mostly(pattern: re.Pattern[str], names: np.ndarray) -> bool:
    named = [name for name in names if name]
    return sum(pattern.match(name) is not None for name in named) > len(named) / 2


def _find_column(var: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    by_name = {str(column).lower(): column for column in reversed(list(var.columns))}
    for name in names:
        if name in by_name:
            values = var[by_name[name]].astype(object)
            text = values.where(values.notna(), "").astype(str)
            if (text != "").any():
                return np.asarray(text, dtype=object)
    return None


def without_version(gene_id: str) -> str:
    """ENSG00000198888.2 -> ENSG00000198888; other names unchanged."""
    head, dot, tail = gene_id.rpartition(".")
    return head if dot and head.startswith("ENS") and tail.isdigit() else gene_id


def is_mitochondrial(ids: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """[genes] True for mitochondrial genes of human and mouse, by symbol or by id."""
    return np.array(
        [
            symbol.upper().startswith("MT-") or without_version(gene_id) in MITOCHONDRIAL_IDS
            for gene_id, symbol in zip(ids, symbols, strict=True)
        ],
        dtype=bool,
    )


def is_ribosomal(ids: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """[genes] True for ribosomal proteins of human and mouse by symbol, of human also by id.

    The RPS6K genes are kinases and the antisense and fusion genes (RPL34-AS1) are not counted.
    """
    return np.array(
        [
            (
                symbol.upper().startswith(("RPS", "RPL"))
                and not symbol.upper().startswith(("RPS6K", "RPS19BP"))
                and "-" not in symbol
            )
            or without_version(gene_id) in RIBOSOMAL_IDS
            for gene_id, symbol in zip(ids, symbols, strict=True)
        ],
        dtype=bool,
    )


def gene_ids(var: pd.DataFrame) -> list[str]:
    """[genes] Ids of a var table that `ingest` wrote, '' where a gene has none.

    A table of another origin has its names for both ids and symbols.
    """
    return _written(var, slots.GENE_ID.name)


def gene_symbols(var: pd.DataFrame) -> list[str]:
    """[genes] Symbols of a var table that `ingest` wrote, as `gene_ids`."""
    return _written(var, slots.GENE_SYMBOL.name)


def gene_labels(var: pd.DataFrame) -> list[str]:
    """[genes] What a reader is shown: the symbol, or the name of a gene without one."""
    names = var.index.astype(str)
    return [symbol or name for symbol, name in zip(gene_symbols(var), names, strict=True)]


def _written(var: pd.DataFrame, column: str) -> list[str]:
    if column not in var:
        return [str(name) for name in var.index]
    values = var[column].astype(object)
    return [str(value) for value in values.where(values.notna(), "")]


def find_rows_of_no_gene(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """[genes] True for reads of no gene (N_unmapped), and [genes] for spike-ins (ERCC-00002)."""
    # Nearly every list has none: one look at all of it is enough to say so.
    text = "\n".join(names).lower()
    if not any(word in text for word in _HINTS):
        return np.zeros(len(names), dtype=bool), np.zeros(len(names), dtype=bool)
    no_gene = np.array([_NO_GENE.match(name) is not None for name in names], dtype=bool)
    spike_in = np.array([_SPIKE_IN.match(name) is not None for name in names], dtype=bool)
    return no_gene, spike_in


def find_genomes(ids: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """[genes] Genome in front of each name ('mm10' of 'mm10_ENSMUSG...'), '' where there is none.

    Any word in front of a stable id, or the name of an assembly in front of a symbol. References of
    one genome have none, so a few such names among others do not count.
    """
    # Genomes count where most names have one, and all of them end in an underscore.
    pairs = list(zip(ids, symbols, strict=True))
    if 2 * sum("_" in gene_id or "_" in symbol for gene_id, symbol in pairs) <= len(pairs):
        return np.full(len(pairs), "", dtype=object)
    found = []
    for gene_id, symbol in pairs:
        match = _ID.match(gene_id)
        word = match.group(1) if match else None
        if word is None and (match := _ASSEMBLY.match(symbol or gene_id)):
            word = match.group(1)
        found.append((word or "").rstrip("_"))
    genomes = np.array(found, dtype=object)
    return genomes if 2 * (genomes != "").sum() > len(genomes) else np.full(len(found), "", object)


def without_genome(name: str, genome: str) -> str:
    """GRCh38_ENSG00000198888 or GRCh38___MT-ND1 without what is in front; other names unchanged."""
    if genome and name.startswith(f"{genome}_"):
        return name[len(genome) :].lstrip("_") or name
    return name


def are_exchanged(cells: Sequence[str], genes: Sequence[str]) -> bool:
    """Whether names that should be of cells are plainly of genes, or those of genes of cells."""
    return (_are_barcodes(genes) and not _are_barcodes(cells)) or (
        _are_genes(cells) and not _are_genes(genes)
    )


def are_hashtags(names: Sequence[str]) -> bool:
    """Whether features are plainly hashtags or antibodies: most names end in their sequence."""
    return len(names) > 0 and _are_mostly(_HASHTAG, np.asarray(names, dtype=object))


def find_no_genes_by_name(names: Sequence[str]) -> list[str]:
    """Names of columns of metadata among those of genes, as far as their names tell.

    Words that name no gene; the first and the last also where all but they are stable ids, or where
    they alone begin with a small letter.
    """
    found = [name for name in names if name.lower() in _METADATA]
    index = np.asarray(names, dtype=object)
    if len(index) > 4:
        are_ids = is_gene_id(names).sum() >= 0.9 * len(names)
        n_small = sum(_is_small(name) for name in names)
        for name in (names[0], names[-1]):
            is_odd_id = are_ids and not _ID.match(name) and not _SPIKE_IN.match(name)
            if (is_odd_id or (n_small == 1 and _is_small(name))) and name not in found:
                found.append(name)
    return found


def _is_small(name: str) -> bool:
    # Mitochondrial genes of mouse do.
    return name[:1].islower() and not name.startswith("mt-")


def _are_barcodes(names: Sequence[str]) -> bool:
    return len(names) > 0 and _are_mostly(_BARCODE, np.asarray(names, dtype=object))


def _are_genes(names: Sequence[str]) -> bool:
    known = {name.upper() for name in names} & _WELL_KNOWN
    return len(known) > 2 or (len(names) > 0 and _are_mostly(_ID, np.asarray(names, dtype=object)))
