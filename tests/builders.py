"""What many tests start from: places, counts as the network reads them, a training that fails."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
# Real data beside the checkout, where there are any.
SHARED = ROOT.parent / "shared"


def modelled(counts, *, n_genes=200):
    """The most detected genes of an AnnData of counts, as the network reads them."""
    import numpy as np

    from scpress.counts.sizes import library_sizes, size_factors
    from scpress.model.modelled import ModelledCounts

    detected = np.asarray((counts.X > 0).sum(axis=0)).ravel()
    columns = np.sort(np.argsort(-detected, kind="stable")[:n_genes])
    return ModelledCounts(counts.X[:, columns], size_factors(library_sizes(counts.X)))


def with_covariates(counts):
    """As `modelled`, with two batches and one continuous covariate."""
    import numpy as np

    data = modelled(counts)
    data.batch = np.arange(len(data)) % 2
    data.continuous = np.linspace(-1, 1, len(data), dtype=np.float32)[:, None]
    return data


def untrained(data, options, batches=()):
    """A model of the options for these counts, its network as it is drawn."""
    import torch

    from scpress.model.axes import resolve_config
    from scpress.model.fitted import TrainedModel
    from scpress.model.network import CountAutoencoder

    torch.manual_seed(0)
    config = resolve_config(options, n_genes=data.X.shape[1], batches=batches)
    genes = [str(i) for i in range(data.X.shape[1])]
    return TrainedModel(CountAutoencoder(config), genes, [], 1.0)


def normalized_of(counts, *, n_genes=200):
    """What `normalize` gives, with the most detected genes as the variable ones."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    from scpress.counts.sizes import library_sizes, size_factors

    library_size = library_sizes(counts.X)
    detected = np.asarray((counts.X > 0).sum(axis=0)).ravel()
    highly_variable = np.zeros(counts.n_vars, dtype=bool)
    highly_variable[np.argsort(-detected, kind="stable")[:n_genes]] = True
    obs = pd.DataFrame(
        {"library_size": library_size, "size_factor": size_factors(library_size)},
        index=counts.obs_names,
    )
    var = pd.DataFrame({"highly_variable": highly_variable}, index=counts.var_names)
    return ad.AnnData(obs=obs, var=var)


def write_zarr(adata, path, zarr_format):
    """Write an AnnData in one format of zarr, whichever anndata takes by itself."""
    import zarr
    from anndata import settings
    from anndata.io import write_elem

    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    with settings.override(auto_shard_zarr_v3=False):
        write_elem(group, "/", adata)


def explode_at_step(step, monkeypatch):
    """Gradients that are not numbers at one step of training; calls["n"] = 0 counts anew."""
    from scpress.training.stepper import CompiledStepper

    clip, calls = CompiledStepper._clip, {"n": 0}

    def explode(self):
        clip(self)
        calls["n"] += 1
        if calls["n"] == step:
            self._gradients.all.fill_(float("nan"))

    monkeypatch.setattr(CompiledStepper, "_clip", explode)
    return calls
