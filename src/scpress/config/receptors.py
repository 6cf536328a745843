"""The knobs of the codes of receptor sequences, and of the groups of cells that share one."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option


@dataclass(frozen=True)
class ReceptorsOptions(Options):
    """Read receptor sequences, give each cell a code of its own and group cells that are alike."""

    method: str = option(
        "gru",
        "what makes the codes: a recurrent autoencoder of GRU or LSTM cells, or PCA of the counts "
        "of k-mers and genes, which needs no training",
        choices=("gru", "lstm", "kmers"),
    )
    n_latent: int = option(64, "numbers in the code of one chain", minimum=1)
    hidden: int = option(128, "units of the recurrent layers", minimum=1)
    teacher_dropout: float = option(
        0.5,
        "share of the residues that the decoder is not told while it is trained, so that it reads "
        "them from the code",
        minimum=0,
        maximum=1,
    )
    mutation_rate: float = option(
        0.2,
        "share of the residues replaced at random in the sequences that it is trained on, so that "
        "the code holds what was read and not what is usual",
        minimum=0,
        maximum=1,
    )
    max_epochs: int = option(
        60, "most passes over the sequences; the step size falls to nothing over them", minimum=1
    )
    patience: int = option(
        10, "passes without a better loss of the held-out sequences that end training", minimum=1
    )
    batch_size: int = option(64, "sequences in one step of training", minimum=1)
    learning_rate: float = option(4e-3, "first step size of Adam", minimum=1e-8)
    validation_fraction: float = option(
        0.1, "share of the sequences held out to decide when to stop", minimum=0.01, maximum=0.5
    )
    max_distance: float = option(
        48.0,
        "cells whose receptors are no further apart than this, by a distance like that of tcrdist, "
        "are of one group",
        minimum=0,
    )
    seed: int = option(0, "seed of the training", minimum=0, maximum=MAX_SEED)
