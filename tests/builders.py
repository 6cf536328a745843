"""What many tests start from: places, counts as the network reads them, a training that fails."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
# Real data beside the checkout, where there are any.
SHARED = ROOT.parent / "shared"
# Sections of a configuration that keep a whole run on a few hundred cells quick.
QUICK_RUN = {
    "qc": {"min_genes": 10, "doublets": False},
    "normalize": {"n_top_genes": 200},
    "cluster": {"resolutions": [0.4, 0.8], "n_subsamples": 2},
    "evaluate": {"resolutions": [0.4]},
    "thin": {"folds": 1},
    "baselines": {"pca_ranks": [2], "nmf_ranks": [2]},
    "subtype": {"n_subsamples": 2},
    "compress": {"pca_ranks": [2, 5], "nmf_ranks": [2]},
}


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


def two_programs(n_obs=400, n_vars=60, *, seed=0):
    """Poisson counts of cells that mix two programs of genes, and their true means."""
    import numpy as np
    from scipy import sparse

    from scpress.model.modelled import ModelledCounts

    rng = np.random.default_rng(seed)
    programs = np.zeros((2, n_vars))
    programs[0, : n_vars // 2] = programs[1, n_vars // 2 :] = 2 / n_vars
    share = rng.uniform(size=n_obs)
    depth = rng.integers(100, 800, size=n_obs)
    mu = depth[:, None] * (np.column_stack([share, 1 - share]) @ programs)
    X = sparse.csr_matrix(rng.poisson(mu).astype(np.int32))
    return ModelledCounts(X, depth / np.median(depth)), mu


def with_gaps(data, *, n_sets=3, seed=0):
    """The same counts as if two of three sets of cells had not been measured for some genes."""
    import dataclasses

    import numpy as np
    from scipy import sparse

    from scpress.counts.measured import Measured

    rng = np.random.default_rng(seed)
    genes = rng.random((n_sets, data.X.shape[1])) < 0.6
    genes[0], genes[:, :8] = True, True
    measured = Measured(genes, np.arange(len(data)) % n_sets)
    X = sparse.csr_matrix(data.X.multiply(measured.mask()), dtype=data.X.dtype)
    return dataclasses.replace(data, X=X, measured=measured)


def panels_of(counts, n_hidden=60, *, n_genes=200, seed=0):
    """(counts, normalized) of two samples, of which the second lacks some of the modelled genes.

    Parameters
    ----------
    counts
        [cells, genes] An AnnData; every other cell is of the second sample.
    """
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scipy import sparse

    from scpress.config.options import NormalizeOptions
    from scpress.steps.normalize import normalize

    detected = np.asarray((counts.X > 0).sum(axis=0)).ravel()
    columns = np.sort(np.argsort(-detected, kind="stable")[:n_genes])
    measured = np.ones((n_genes, 2), dtype=bool)
    measured[np.random.default_rng(seed).permutation(n_genes)[:n_hidden], 1] = False
    sample = np.arange(counts.n_obs) % 2
    X = sparse.csr_matrix(counts.X[:, columns].multiply(measured.T[sample]), dtype=np.int32)
    X.eliminate_zeros()
    obs = pd.DataFrame(
        {"sample": pd.Categorical(np.array(["whole", "panel"])[sample])}, index=counts.obs_names
    )
    merged = ad.AnnData(X, obs=obs, var=counts.var.iloc[columns].copy())
    merged.varm["measured"] = measured
    merged.uns["scpress"] = {"sample_names": np.array(["whole", "panel"])}
    return merged, normalize(merged, NormalizeOptions(n_top_genes=None, min_cells_per_batch=3))


def untrained(data, options, batches=()):
    """A model of the options for these counts, its network as it is drawn."""
    import torch

    from scpress.model.axes import resolve_config
    from scpress.model.fitted import TrainedModel
    from scpress.model.network import CountAutoencoder

    torch.manual_seed(0)
    masked = data.measured is not None
    config = resolve_config(options, n_genes=data.X.shape[1], batches=batches, masked=masked)
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


def brief_options(**changes):
    """Options of a training that takes a quarter of a second."""
    from scpress.config.options import TrainOptions

    brief = {"max_steps": 60, "validate_every": 20, "kl_warmup_steps": 20, "batch_size": 64}
    return TrainOptions(**brief | {"batch_key": None} | changes)


def briefly_trained(counts, *, seed=0, **changes):
    """A model of the most detected genes, trained on the CPU for a few steps."""
    from scpress.steps.train import train

    # So few steps may not beat the gene means.
    options = brief_options(allow_failed_fit=True, **changes)
    return train(counts, normalized_of(counts), options, seed=seed, device="cpu")[0]


def brief_fit(counts, *, device="cpu", checkpoint=None, **changes):
    """(model, Fit, history as a table) of the loop alone, without what judges the result."""
    import pandas as pd

    from scpress.training.loop import fit

    options, data = brief_options(**changes), modelled(counts)
    n_training = len(data) * 9 // 10
    parts = [data.take(slice(n_training)), data.take(slice(n_training, None))]
    model = untrained(data, options)
    model.network.to(device)
    fitted = fit(model, *parts, options, seed=0, checkpoint=checkpoint)
    return model, fitted, pd.DataFrame(fitted.history)


def script_validation(monkeypatch, losses):
    """Make validation report these losses; returns the weights it saw at each of them."""
    from scpress.training import loop
    from scpress.training.validation import HeldOutLoss

    seen = []

    def scripted(model, validation, *, seed):
        seen.append({name: t.clone() for name, t in model.network.state_dict().items()})
        loss = losses[len(seen) - 1] if len(seen) <= len(losses) else 200.0
        return HeldOutLoss(loss, loss, 0.0)

    monkeypatch.setattr(loop, "validate", scripted)
    return seen


def explode_at_step(step, monkeypatch):
    """Weights that are not numbers after one step of training; calls["n"] = 0 counts anew.

    They are overwritten where they lie, between two steps: a captured graph reads them from there.
    """
    import torch

    from scpress.training.cuda_graph import GraphStepper
    from scpress.training.fused.stepper import FusedStepper
    from scpress.training.stepper import Stepper

    calls = {"n": 0}

    def exploding(call):
        def explode(self, rows, **keywords):
            loss = call(self, rows, **keywords)
            calls["n"] += 1
            if calls["n"] == step:
                with torch.no_grad():
                    for parameter in self.network.parameters():
                        parameter.fill_(float("nan"))
            return loss

        return explode

    for kind in (Stepper, GraphStepper, FusedStepper):
        monkeypatch.setattr(kind, "__call__", exploding(kind.__call__))
    return calls


def celltypist_model(genes, *, n_types=3):
    """What a model file of CellTypist holds, of a few genes."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, len(genes)))
    scaler = StandardScaler().fit(values)
    labels = np.array(["T", "B", "NK"], dtype=object)[rng.permutation(60) % n_types]
    model = LogisticRegression().fit(scaler.transform(values), labels)
    model.features = np.array(genes, dtype=object)
    return {"Model": model, "Scaler_": scaler, "description": {"date": "2026"}}
