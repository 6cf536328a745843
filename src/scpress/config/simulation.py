"""The knobs of simulated counts."""

from dataclasses import dataclass

from scpress.config.fields import Options, option

# What can differ between two groups of donors: how frequent the first type is, or genes in it.
EFFECTS = ("none", "composition", "expression")


@dataclass(frozen=True)
class SimulateOptions(Options):
    """Simulate counts with known types, subtypes, batches and dispersion."""

    n_cells: int = option(1000, "cells", minimum=1)
    n_genes: int = option(1000, "genes", minimum=1)
    n_types: int = option(4, "cell types", minimum=1)
    n_subtypes: int = option(1, "subtypes in the first type; 1 means none", minimum=1)
    n_batches: int = option(1, "batches", minimum=1)
    mean_library_size: float = option(2000.0, "median molecules per cell", minimum=1)
    library_size_sd: float = option(0.3, "standard deviation of log library size", minimum=0)
    type_fold_change: float = option(4.0, "fold change of a type's marker genes", minimum=1)
    subtype_fold_change: float = option(3.0, "fold change of a subtype's marker genes", minimum=1)
    batch_fold_change: float = option(
        1.3, "typical fold change of a gene between batches", minimum=1
    )
    marker_fraction: float = option(
        0.05, "fraction of genes that mark one type", minimum=0, maximum=1
    )
    theta: float = option(5.0, "inverse dispersion of every gene", minimum=1e-3)
    zero_inflation: float = option(0.0, "probability of an extra zero", minimum=0, maximum=0.99)
    n_donors: int = option(0, "donors that the cells are of, one sample each; 0: none", minimum=0)
    condition_effect: str = option(
        "none", "what differs between the two conditions of donors", choices=EFFECTS
    )
    donor_subtype_effect: str = option(
        "none", "what differs between two kinds of donors that nothing names", choices=EFFECTS
    )
    donor_fold_change: float = option(
        2.0, "fold change of these effects, both in the first type", minimum=1
    )
    donor_genes: int = option(50, "genes of an effect on expression", minimum=1)
    donor_sd: float = option(
        0.15, "standard deviation between donors of a gene's log expression in a type", minimum=0
    )
    donor_composition_sd: float = option(
        0.25, "standard deviation between donors of a type's log frequency", minimum=0
    )
    confounded: bool = option(False, "every condition is a batch of its own")
