"""Agreement with known labels: of the delivered clusters, and of what else is compared."""

import numpy as np

from scpress import slots
from scpress.cells.stability import adjusted_rand_index, normalized_mutual_information
from scpress.report.inputs import ReportInputs
from scpress.tables.evaluation import Evaluation
from scpress.tables.records import plain

# Where the resolution of a score of one seed's clusters stands.
_RESOLUTIONS = {"ari_best": "best_resolution", "ari_chosen": "chosen_resolution"}


def delivered_agreement(inputs: ReportInputs) -> dict[str, float]:
    """ARI and NMI of the clusters of the result with the known labels, over the labelled cells.

    By the names that `evaluate` has for clusters of a resolution that stability chose.
    """
    label, cluster = (inputs.cells.obs.get(s.name) for s in (slots.LABEL, slots.LEIDEN))
    if label is None or cluster is None:
        return {}
    known = label.notna().to_numpy() & (label.astype(str) != "").to_numpy()
    if label[known].nunique() < 2:
        return {}
    both = label[known].astype(str).to_numpy(), cluster[known].astype(str).to_numpy()
    return {
        "ari_chosen": adjusted_rand_index(*both),
        "nmi_chosen": normalized_mutual_information(*both),
    }


def describe_delivered(inputs: ReportInputs) -> str:
    """What the delivered clusters are made from."""
    record = plain(inputs.record.get("cluster", {}))
    resolution, n_seeds = record.get("chosen_resolution"), record.get("n_seeds", 1)
    text = "the delivered clusters:\n"
    text += f"{n_seeds} seeds together" if n_seeds > 1 else f"seed {record.get('seed')}"
    if resolution is None or not np.isfinite(resolution):
        return f"{text}, one cluster"
    return f"{text}, resolution {resolution:g}"


def describe_seeds(evaluation: Evaluation, metric: str) -> str:
    """The score of each seed's own clusters, and their resolution; nothing of other scores."""
    if metric not in _RESOLUTIONS:
        return ""
    parts = []
    for seed, scores in evaluation.seeds.items():
        value = getattr(scores, metric)
        resolution = getattr(scores, _RESOLUTIONS[metric])
        if value is not None:
            at = "as one cluster" if resolution is None else f"at resolution {resolution:g}"
            parts.append(f"seed {seed}: {value:.3f} {at}")
    return "\n".join(parts)
