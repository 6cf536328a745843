"""What the words of the page mean, and where each is linked to its meaning."""

import html
import re
from dataclasses import dataclass

# Word -> (what it is called in a text, as a pattern; what it means to a biologist).
_WORDS = {
    "ARI": (
        r"ARI|adjusted Rand index",
        "Adjusted Rand index: how well two groupings of the same cells agree. 1 is the same "
        "groups, 0 is what groups drawn at random have.",
    ),
    "NMI": (
        r"NMI",
        "Normalized mutual information: how much one grouping of the cells says of another, from 0 "
        "(nothing) to 1 (all).",
    ),
    "nats": (
        r"nats?",
        "The unit of surprise (1 nat is 1.44 bits). Fewer are better: a model that needs 7 nats "
        "per cell less than another gave the molecules of an average cell e^7 (about 1,100) "
        "times the probability.",
    ),
    "NLL": (
        r"NLL|log p\(x\)|log p\(x \| z\)",
        "Negative log-likelihood: how surprised a model is by counts, in nats. Lower is better, "
        "and only models of one likelihood can be compared by it.",
    ),
    "likelihood": (
        r"likelihoods?",
        "How a model thinks that counts scatter around their means: poisson (as chance alone), nb "
        "(negative binomial: more than chance), zinb (nb with extra zeros), gaussian (log-values "
        "as they are measured with an error).",
    ),
    "Poisson loss": (
        r"Poisson loss|Negative binomial loss",
        "How surprised a prediction is by molecules that were kept from it, in nats. Only "
        "differences mean something: lower is better.",
    ),
    "deviance explained": (
        r"[Dd]eviance(?: of unseen molecules)?(?: explained)?",
        "How much of the differences between cells a code keeps, for counts: 0 is knowing each "
        "gene's mean alone, 1 would be every molecule. Most of a sparse count is chance, so a few "
        "percent of molecules that were not seen can be all there is.",
    ),
    "held out": (
        r"[Hh]eld[- ]out|held back",
        "Kept away from the training and used only to judge it: whole cells, or a random part of "
        "the molecules of every cell.",
    ),
    "latent": (
        r"latents?",
        "The few numbers per cell that a model squeezes its counts into. Clusters and map are made "
        "from it.",
    ),
    "program": (
        r"[Pp]rograms?",
        "Genes that change together when cells are moved through a model's latent: along one of "
        "its numbers, or from one cluster to another.",
    ),
    "decoder": (
        r"decoders?",
        "The half of a model that turns the few numbers of a cell back into a mean for every gene. "
        "Without it the latent says nothing of genes, so its bytes count.",
    ),
    "gene means": (
        r"gene means?",
        "The simplest rival: every cell is the average cell, scaled to its number of molecules.",
    ),
    "PCA": (
        r"PCA",
        "Principal component analysis: the classical way to few numbers per cell, here as a rival.",
    ),
    "NMF": (
        r"NMF",
        "Non-negative matrix factorization: a cell as a sum of a few programmes of genes.",
    ),
    "Pearson residuals": (
        r"Pearson residuals",
        "Counts less what a cell of that depth is expected to have, over the scatter that is "
        "expected.",
    ),
    "UMAP": (
        r"UMAP",
        "A layout that puts similar cells side by side. Sizes of and distances between islands "
        "mean little.",
    ),
    "Leiden": (
        r"Leiden",
        "The method that cuts the graph of neighbouring cells into clusters.",
    ),
    "resolution": (
        r"resolutions?",
        "How finely Leiden cuts: a larger one gives more clusters. It is chosen by which clusters "
        "come back when cells are left out.",
    ),
    "seed": (
        r"seeds?",
        "Where random numbers start. Another seed trains the same model from another start, and "
        "what only one of them finds is not to be trusted.",
    ),
    "Jaccard index": (
        r"Jaccard index",
        "Of the neighbours that a cell has in either of two latents, the part that it has in both.",
    ),
    "subsampling": (
        r"subsampling|subsamples?",
        "Some cells are left out at random, and everything is done again: what is real comes back.",
    ),
    "rank-sum test": (
        r"rank-sum test",
        "Wilcoxon's test of whether a gene is higher in a cell of the group than in one outside.",
    ),
    "FDR": (
        r"FDR",
        "False discovery rate: the share of false ones expected among all genes that are called.",
    ),
    "unassigned": (
        r"unassigned",
        "No cell type fits the cell's genes well enough to be named.",
    ),
    "doublet": (
        r"[Dd]oublets?",
        "Two cells that were caught together and read as one.",
    ),
    "size factor": (
        r"size factors?",
        "Molecules of a cell over those of the median cell.",
    ),
    "log-normalized": (
        r"log-normalized|log-values?",
        "log(1 + molecules over the cell's size factor): cells of different depth side by side.",
    ),
    "silhouette": (
        r"silhouette(?: batch)?",
        "Whether cells lie nearer to their own label than to the next one, from -1 to 1. Of "
        "batches it is turned round, so that 1 is mixed.",
    ),
    "iLISI": (
        r"iLISI",
        "How many batches a cell has among its nearest cells, scaled: 0 is one batch alone, 1 all "
        "of them mixed.",
    ),
    "kBET": (
        r"kBET",
        "The share of neighbourhoods whose batches are mixed as in all of the cells: 1 is "
        "everywhere.",
    ),
    "graph connectivity": (
        r"graph connectivity",
        "Whether cells of one label hang together across batches: 1 is all of them.",
    ),
    "MSE": (
        r"MSE",
        "Mean squared error: the squared distance between what was predicted and what was counted.",
    ),
    "overfitting": (
        r"[Oo]verfit(?:s|ting)?",
        "A model that learns its training cells by heart: they get better, cells it has not seen "
        "get worse.",
    ),
    "float32": (
        r"float32",
        "A number in 4 bytes; float16 takes 2, int8 one and int4 half a byte, each rounding more.",
    ),
    "AUC": (
        r"AUC",
        "Area under the ROC curve: how often a donor of the condition scores above one of the "
        "others. 0.5 is chance, 1 is always.",
    ),
    "ROC curve": (
        r"ROC curve",
        "What part of the donors of a condition is called, for each part of the others that one is "
        "willing to call wrongly.",
    ),
    "balanced accuracy": (
        r"balanced accuracy",
        "The share of donors that are predicted rightly, in each condition by itself and then the "
        "mean: a frequent condition counts no more than a rare one.",
    ),
    "Brier score": (
        r"Brier score",
        "The squared distance between a predicted probability and what came: 0 is certain and "
        "right. Lower is better.",
    ),
    "permutations": (
        r"permutations?|permuted",
        "Labels are dealt anew to the same donors, so that they mean nothing, and all is done "
        "again: what is found then is chance.",
    ),
    "pseudobulk": (
        r"pseudobulk",
        "The counts of all cells of one type of one donor added up, as if they had been sequenced "
        "together.",
    ),
    "covariates": (
        r"covariates?",
        "What is known of donors beside the condition, such as batch, age or sex.",
    ),
    "shrunken": (
        r"shrunken|shrinking",
        "A fold change that is drawn towards none as far as counts are too few to be sure of it.",
    ),
    "concordance": (
        r"concordance",
        "Of pairs of donors, how often the one of the higher predicted risk dies first. 0.5 is "
        "chance, 1 is always.",
    ),
    "hazard": (
        r"[Hh]azards?",
        "The risk of dying at any moment of those who are alive. A ratio of 2 is twice that risk.",
    ),
    "log-rank": (
        r"log-rank",
        "A test of whether groups of donors live equally long.",
    ),
    "principal components": (
        r"principal components?",
        "The directions in which donors differ most, the first one most of all.",
    ),
    "modelled genes": (
        r"modelled genes?",
        "The genes that models read: the most variable ones, unless the run was told otherwise.",
    ),
}


@dataclass(frozen=True)
class Word:
    """An entry of the glossary, as the page lists it."""

    name: str
    slug: str
    meaning: str


WORDS = {
    name: Word(name, re.sub(r"\W+", "-", name.lower()), meaning)
    for name, (_, meaning) in _WORDS.items()
}
# The longest first: `deviance explained` is not `deviance`.
_ANY = re.compile(
    r"(?<![\w.-])(?:"
    + "|".join(f"(?P<w{number}>{pattern})" for number, (pattern, _) in enumerate(_WORDS.values()))
    + r")(?![\w-])"
)
_NAMES = list(_WORDS)
_TAG = re.compile(r"(<[^>]*>)")
_EXPLAINED = ("p", "li", "th")
_LEFT_ALONE = ("a", "button", "code", "script", "dt", "dd")


def explain(page: str) -> tuple[str, list[Word]]:
    """Link the first place of each word in each section to its meaning; the words that are said.

    Parameters
    ----------
    page
        HTML whose texts have no bare `<` or `>`. Words are looked for in running text and in the
        heads of tables, not in cells, code or links.
    """
    parts = _TAG.split(page)
    open_tags: list[str] = []
    said: set[str] = set()
    in_section: set[str] = set()
    for place, part in enumerate(parts):
        if part.startswith("<"):
            tag = re.match(r"</?(\w*)", part)[1]  # type: ignore[index]
            if tag == "section":
                in_section = set()
            if tag not in _EXPLAINED + _LEFT_ALONE:
                continue
            if not part.startswith("</"):
                open_tags.append(tag)
            elif tag in open_tags:
                while open_tags.pop() != tag:
                    pass
        elif open_tags and not set(open_tags) & set(_LEFT_ALONE):

            def link(match: re.Match[str], seen: set[str] = in_section) -> str:
                name = _NAMES[int(match.lastgroup[1:])]  # type: ignore[index]
                if name in seen:
                    return match[0]
                seen.add(name)
                slug = f"word-{WORDS[name].slug}"
                return f'<a class="word" href="#{slug}" aria-describedby="{slug}">{match[0]}</a>'

            parts[place] = _ANY.sub(link, part)
            said |= in_section
    return "".join(parts), [WORDS[name] for name in sorted(said, key=str.lower)]


def list_words(words: list[Word]) -> str:
    """HTML of the glossary at the end of the page."""
    return "\n".join(
        f"<div><dt>{html.escape(word.name)}</dt>"
        f'<dd id="word-{word.slug}">{html.escape(word.meaning)}</dd></div>'
        for word in words
    )
