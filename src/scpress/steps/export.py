"""A trained scvi-preset model as a directory of scvi-tools' own."""

from pathlib import Path

from anndata import AnnData

from scpress.model.fitted import TrainedModel
from scpress.model.modelled import modelled_counts
from scpress.training.scvi_tools import require_scvi_axes, save_as_scvi


def export(
    counts: AnnData, normalized: AnnData | None, model: TrainedModel, directory: Path
) -> None:
    """Fill a real SCVI with the model's weights and call its own `save`.

    The directory holds the training cells' counts of the modelled genes, which `SCVI.load` needs.
    Its continuous covariates are standardized as the network saw them.

    Raises
    ------
    InputError
        The model is not one SCVI can be, or the cells lack its genes.
    """
    require_scvi_axes(model.config)
    save_as_scvi(model, modelled_counts(counts, normalized, model), directory)
