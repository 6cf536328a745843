"""What a training says of itself: in the model's file, in every latent's, and on the page."""

from dataclasses import dataclass, field
from typing import Any

from scpress.tables.records import NotNegative, Positive, Record


@dataclass(frozen=True, kw_only=True)
class Verdict(Record):
    """Whether a fit can be used: its score on held-out cells beside that of the gene means.

    Attributes
    ----------
    status
        ok or failed.
    score, gene_mean_nll
        Nats per held-out cell; ok is a score below that of the gene means.
    best_loss
        Validation loss of the weights that are kept, nats per cell.
    best_step, n_steps
        Step of those weights, and the last one.
    stopped
        What ended the training: patience, max_steps, closed form.
    rollbacks
        How often a loss was not finite.
    problems
        A collapsed posterior or discriminator, a latent far from its prior; None without any.
    """

    omits_none = True

    status: str
    score: float
    best_loss: float
    best_step: int
    n_steps: int
    stopped: str
    rollbacks: int
    gene_mean_nll: float
    problems: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class HeldOut(Record):
    """Mean scores of the held-out cells, nats per cell.

    Attributes
    ----------
    nll
        Importance-weighted -log p(x); None for a deterministic model, which has no p(x).
    reconstruction_nll
        -log p(x | z) at the posterior mean or code.
    n_draws
        Draws of the importance weighting.
    """

    n_cells: int
    n_draws: int
    nll: float | None = None
    reconstruction_nll: float
    likelihood: str

    @property
    def score(self) -> float:
        """What a fit is judged by: the evidence where there is one."""
        return self.reconstruction_nll if self.nll is None else self.nll


@dataclass(frozen=True, kw_only=True)
class ThetaRange(Record):
    """Range of the fitted inverse dispersion over genes, and the genes at its bounds."""

    min: Positive
    median: Positive
    max: Positive
    genes_at_bound: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(Record):
    """What was run and what came of it: what is told, never what is computed with.

    Attributes
    ----------
    without_fold
        Digest and number of the fold of molecules that the training lacked, if any.
    """

    omits_none = True

    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    device: str | None = None
    device_name: str | None = None
    threads: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    n_training_cells: int = 0
    n_validation_cells: int = 0
    verdict: Verdict | None = None
    held_out: HeldOut | None = None
    theta: ThetaRange | None = None
    without_fold: str | None = None

    @property
    def n_cells(self) -> int:
        """Cells of the training data, held-out ones included; 0 where it is not recorded."""
        return self.n_training_cells + self.n_validation_cells


@dataclass(frozen=True, kw_only=True)
class HistoryRow(Record):
    """One validation of a training; losses are nats per cell.

    Attributes
    ----------
    validation_penalty
        What the loss has beside reconstruction and KL; None where it has nothing.
    """

    omits_none = True
    made_by = "`scpress train`"

    step: int
    cells_seen: int
    train_loss: float
    validation_loss: float
    validation_reconstruction: float
    validation_kl: float
    kl_weight: NotNegative
    learning_rate: NotNegative
    validation_penalty: float | None = None
