"""Whether a training learned its cells by heart, where that began, and what it means."""

import pandas as pd

from scpress.report.words import share
from scpress.tables.training import Verdict

# Of what a model gained over the gene means: held-out cells that lose more of it after the best
# step are overfitted, and less is what comes and goes with the batches.
_SHARE_OF_GAIN = 0.05


def describe_overfitting(history: pd.DataFrame, verdict: Verdict) -> str:
    """One or two sentences on the losses of training and held-out cells.

    Parameters
    ----------
    history
        One row per validation, as `tables.training.HistoryRow`.
    """
    if len(history) < 2:
        return ""
    held_out, training, step = (
        history[name].to_numpy() for name in ("validation_loss", "train_loss", "step")
    )
    best = int(held_out.argmin())
    lost, gained = held_out[-1] - held_out[best], training[best] - training[-1]
    gain = verdict.gene_mean_nll - held_out[best]
    if best == len(held_out) - 1:
        return "Held-out cells were still getting better at the end: raise max_steps or patience."
    if lost <= _SHARE_OF_GAIN * gain:
        return (
            f"No overfitting to speak of: after step {step[best]:,} held-out cells got worse by "
            f"{lost:,.1f} nats per cell, {share(lost, gain)} of what the model gains over gene "
            "means."
        )
    text = (
        f"It overfits from step {step[best]:,} on: until step {step[-1]:,} training cells got "
        f"better by {gained:,.1f} nats per cell and held-out cells worse by {lost:,.1f}"
    )
    if gain > 0:
        text += f", {share(lost, gain)} of what the model gains over gene means"
    text += f". At step {step[best]:,}"
    # Before its weight is 1, all of the KL term is in the one loss and not in the other.
    at_best = history.iloc[best]
    if at_best["kl_weight"] == 1 or at_best["validation_kl"] == 0:
        text += f", whose weights are used, they are {held_out[best] - training[best]:,.1f} apart"
    else:
        text += " the weights are the used ones"
    return text + ". More cells would help most; a larger epsilon or a smaller network may."
