"""What the seeds of the model say of each other: of neighbours, and of subtypes."""

import numpy as np
import pandas as pd

from scpress import slots
from scpress.report.inputs import ReportInputs
from scpress.tables.records import plain


def describe_neighbors(inputs: ReportInputs) -> str:
    """How much of a cell's surroundings is the delivered seed's own; that it cannot be told."""
    record = plain(inputs.record.get("cluster", {}))
    agreement = inputs.column(slots.NEIGHBOR_AGREEMENT)
    if agreement is not None and record.get("neighbor_chance") is not None:
        low, median, high = np.percentile(agreement, [10, 50, 90])
        return (
            f"Nearest neighbours agree between the latents of {record['n_seeds']} seeds by a "
            f"Jaccard index of {median:.2f} in the median cell ({low:.2f} to {high:.2f} in the "
            f"middle 80 %), where neighbours drawn at random have {record['neighbor_chance']:.3f}. "
            "The latent, the map and the graph of neighbours are those of the first seed."
        )
    if not record:
        return ""
    model = inputs.models.get(inputs.primary)
    if model is not None and model.options.get("preset") == "pca":
        return "PCA is solved in closed form, which no seed changes."
    return (
        "One seed was trained: what neighbours, clusters and subtypes are its own cannot be told."
    )


def subtype_seeds(inputs: ReportInputs) -> dict[str, str]:
    """Subtype -> in the latents of how many seeds it is; nothing where there is one seed."""
    record = plain(inputs.record.get("subtype", {}))
    table = pd.DataFrame(record.get("seeds", {}))
    if table.empty:
        return {}
    n_seeds = record["n_seeds"]
    return {
        str(row.subtype): f"{row.n_found} of {n_seeds} (ARI {row.least:.2f} to {row.most:.2f})"
        + ("" if row.n_found == n_seeds else ", unsure")
        for row in table.itertuples()
    }


def unsure_subtypes(inputs: ReportInputs) -> list[str]:
    """Subtypes that the latent of some seed does not have."""
    record = plain(inputs.record.get("subtype", {}))
    table = pd.DataFrame(record.get("seeds", {}))
    if table.empty:
        return []
    return table.loc[table["n_found"] < record["n_seeds"], "subtype"].astype(str).tolist()
