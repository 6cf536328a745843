"""What a name alone says: whether it is an id, of which genome, and whether it is a gene at all."""

import re
from collections.abc import Sequence

import numpy as np

# Stable ids of Ensembl (ENSG..., ENSMUSG...), FlyBase and WormBase; "hg19_" and the like in front
# are what Cell Ranger writes for references of two species, and "hg19-" what Seurat makes of it.
_STABLE = r"(?:ENS[A-Z]*{}\d{{11}}(?:\.\d+)?(?:_PAR_Y)?|FB{}\d{{7}}|WBGene\d{{8}})"
_IN_FRONT = r"([A-Za-z0-9.]+(?:_+|-+))?"
_ID = re.compile(_IN_FRONT + _STABLE.format("G", "gn") + "$")
# Files of genes and of transcripts alike: what is not a symbol.
_GENE_OR_TRANSCRIPT = re.compile(_IN_FRONT + _STABLE.format("[GT]", "(?:gn|tr)") + "$")
# Both in one name, as some tables have them: ENSG00000198888_MT-ND1, MT-ND1|ENSG00000198888.
_ID_FIRST = re.compile(rf"({_STABLE.format('G', 'gn')})[ _|:;,-]+(?=[^ ])(.+)$")
_ID_LAST = re.compile(rf"(.*[^ _|:;,-])[ _|:;,-]+({_STABLE.format('G', 'gn')})$")
# Rows of a count table that count what is no gene: of STAR, htseq, featureCounts and
# CITE-seq-Count, and the spike-ins of ERCC and SIRV. Found in all names at once, one a line.
_NO_GENE = re.compile(
    r"^(?:N_(?:unmapped|multimapping|noFeature|ambiguous)"
    r"|_{0,2}(?:no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)"
    r"|Unassigned_\w+|unmapped|no_match|bad_struct|total_reads)$",
    re.IGNORECASE | re.MULTILINE,
)
_SPIKE_IN = re.compile(
    "^" + _IN_FRONT + r"(?:ERCC[-_.]\d{5}|SIRV\d{1,3})$", re.IGNORECASE | re.MULTILINE
)
# Each name that either matches holds one of these, and nearly no list of names does.
_HINTS = (
    *("n_multimapping", "n_nofeature", "ambiguous", "unmapped", "no_feature", "unassigned_"),
    *("too_low_aqual", "not_aligned", "alignment_not_unique", "no_match", "bad_struct"),
    *("total_reads", "ercc-", "ercc_", "ercc.", "sirv"),
)
# Assemblies and species by their usual names, as references of two put them before every symbol.
_ASSEMBLY = re.compile(
    r"((?:GRC[a-z]\d+|hg\d+|mm\d+|rn\d+|mRatBN\d+)[A-Za-z0-9.]*?"
    r"|human|mouse|HUMAN|MOUSE)(?:_+|-+)(?=.)"
)
_MOST_GENOMES = 10
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
    r".*[-_][ACGT]{6,}$|(hashtag|hto)[-_ \w]*$|cmo\d+$|.*totalseq|b\d{4}[-_ ]anti", re.IGNORECASE
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
_DATE = re.compile(r"\d{1,2}-(mar|sep|dec|oct)$|(mar|sep|dec|oct)-\d{1,2}$", re.IGNORECASE)
# NCBI's numbers of genes.
_NUMBER = re.compile(r"\d+$")


def is_gene_id(names: Sequence[str]) -> np.ndarray:
    """[genes] True where a name is a stable id rather than a symbol."""
    return np.array([_ID.match(name) is not None for name in names], dtype=bool)


def are_gene_or_transcript_ids(names: Sequence[str] | np.ndarray) -> np.ndarray:
    """[genes] True where a name is a stable id of a gene or of a transcript."""
    return np.array([_GENE_OR_TRANSCRIPT.match(name) is not None for name in names], dtype=bool)


def are_mostly_ids(names: np.ndarray) -> bool:
    """Whether most names that there are, are stable ids of genes or transcripts."""
    return _are_mostly(_GENE_OR_TRANSCRIPT, names)


def are_mostly_numbers(names: np.ndarray) -> bool:
    """Whether most names that there are, are numbers, as NCBI's ids."""
    return _are_mostly(_NUMBER, names)


def split_names(names: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """[genes] ids and [genes] symbols of names that hold both; None where most do not."""
    for pattern, id_at in ((_ID_FIRST, 0), (_ID_LAST, 1)):
        if not _are_all_alike(pattern, names):
            continue
        ids, symbols = np.full(len(names), "", dtype=object), names.copy()
        for at, name in enumerate(names):
            if match := pattern.match(name):
                ids[at], symbols[at] = match.group(1 + id_at), match.group(2 - id_at)
        # The same word at all of them is a genome.
        if 2 * len(set(symbols)) > len(symbols):
            return ids, symbols
    return None


def find_rows_of_no_gene(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """[genes] True for reads of no gene (N_unmapped), and [genes] for spike-ins (ERCC-00002)."""
    text = "\n".join(names).lower()
    patterns = (_NO_GENE, _SPIKE_IN) if any(hint in text for hint in _HINTS) else ()
    found = [{match.group() for match in pattern.finditer(text)} for pattern in patterns]
    none: list[set[str]] = [set(), set()]
    no_gene, spike_in = (
        np.array([name.lower() in aside for name in names] if aside else [False] * len(names), bool)
        for aside in found or none
    )
    return no_gene, spike_in


def find_no_genes_by_name(names: Sequence[str]) -> list[str]:
    """Names of columns of metadata among those of genes, as far as their names tell.

    Words that name no gene, and dates that a spreadsheet made of MARCH1 and SEPT2; the first and
    the last also where all but they are stable ids, or where they alone begin with a small letter.
    """
    found = [name for name in names if name.lower() in _METADATA or _DATE.match(name)]
    index = np.asarray(names, dtype=object)
    if len(index) > 4:
        are_ids = is_gene_id(names).sum() >= 0.9 * len(names)
        n_small = sum(_is_small(name) for name in names)
        for name in (names[0], names[-1]):
            is_odd_id = are_ids and not _ID.match(name) and not _SPIKE_IN.match(name)
            if (is_odd_id or (n_small == 1 and _is_small(name))) and name not in found:
                found.append(name)
    return found


def find_no_cells_by_name(names: Sequence[str]) -> list[str]:
    """The first and the last name where they alone are no barcodes, as columns of metadata are."""
    if not _are_barcodes(names):
        return []
    inside = names[1:-1]
    if not all(_BARCODE.match(name) for name in inside):
        return []
    return [name for name in (names[0], names[-1]) if not _BARCODE.match(name)]


def _is_small(name: str) -> bool:
    # Mitochondrial genes of mouse do.
    return name[:1].islower() and not name.startswith("mt-")


def are_hashtags(names: Sequence[str]) -> bool:
    """Whether features are plainly hashtags or antibodies: most names end in their sequence."""
    return _are_all_alike(_HASHTAG, names)


def find_genomes(ids: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """[genes] Genome in front of each name ('mm10' of 'mm10_ENSMUSG...'), '' where there is none.

    Any word in front of a stable id, or the name of an assembly in front of a symbol. References of
    one genome have none, so a few such names among others do not count.
    """
    # Genomes count where most names have one, and all of them end in an underscore or a dash.
    pairs = list(zip(ids, symbols, strict=True))
    joined = [gene_id + symbol for gene_id, symbol in pairs]
    if 2 * sum("_" in names or "-" in names for names in joined) <= len(pairs):
        return np.full(len(pairs), "", dtype=object)
    found = []
    for gene_id, symbol in pairs:
        match = _ID.match(gene_id)
        word = match.group(1) if match else None
        if word is None and (match := _ASSEMBLY.match(symbol or gene_id)):
            word = match.group(1)
        found.append((word or "").rstrip("_-"))
    genomes = np.array(found, dtype=object)
    # More genomes than a reference has are symbols in front of ids.
    if 2 * (genomes != "").sum() > len(genomes) and len(set(found)) <= _MOST_GENOMES:
        return genomes
    return np.full(len(found), "", dtype=object)


def without_genome(name: str, genome: str) -> str:
    """GRCh38_ENSG00000198888 or GRCh38___MT-ND1 without what is in front; other names unchanged."""
    if genome and name.startswith((f"{genome}_", f"{genome}-")):
        return name[len(genome) :].lstrip("_-") or name
    return name


def are_exchanged(cells: Sequence[str], genes: Sequence[str]) -> bool:
    """Whether names that should be of cells are plainly of genes, or those of genes of cells."""
    return (_are_barcodes(genes) and not _are_barcodes(cells)) or (
        _are_genes(cells) and not _are_genes(genes)
    )


def _are_barcodes(names: Sequence[str]) -> bool:
    return _are_all_alike(_BARCODE, names)


def _are_genes(names: Sequence[str]) -> bool:
    known = {name.upper() for name in names} & _WELL_KNOWN
    return len(known) > 2 or (len(names) > 0 and _are_mostly(_ID, np.asarray(names, dtype=object)))


def _are_all_alike(pattern: re.Pattern[str], names: Sequence[str] | np.ndarray) -> bool:
    """Whether most names match, of which the first say quickly that they do not."""
    return len(names) > 0 and _are_mostly(pattern, names[:50]) and _are_mostly(pattern, names)


def _are_mostly(pattern: re.Pattern[str], names: Sequence[str] | np.ndarray) -> bool:
    named = [name for name in names if name]
    return sum(pattern.match(name) is not None for name in named) > len(named) / 2
