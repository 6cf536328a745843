"""The knobs of the ranking of genes that a cell's sample did not measure."""

from dataclasses import dataclass

from scpress.config.fields import Options, option


@dataclass(frozen=True)
class RecommendOptions(Options):
    """Rank the genes that a cell's sample did not measure by how probably it expresses them."""

    n_genes: int = option(20, "genes named of each cell, and the k of recall at k", minimum=1)
    reference_batch: str | None = option(
        None,
        "training batch to decode in, where it measured the gene; all that did when not given",
    )
    n_neighbors: int = option(15, "neighbours of the rival that predicts by them", minimum=1)
