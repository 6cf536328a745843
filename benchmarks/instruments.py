"""What the training benchmark measures with: counts of any size, peak memory, scores on the way."""

import bisect
import math
import threading
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
from scale import write_counts
from scipy import sparse


def resample(source: Path, n_cells: int, n_genes: int, *, seed: int = 0) -> sparse.csr_matrix:
    """[n_cells, n_genes] New cells from old: 2,000 variable genes, or the most detected ones."""
    import anndata as ad

    from scpress.config.options import NormalizeOptions
    from scpress.steps.ingest import ingest
    from scpress.steps.normalize import normalize

    raw = ad.read_h5ad(source)
    if n_genes <= 2000:
        counts = ingest(raw, sample="all")
        normalized = normalize(counts, NormalizeOptions(n_top_genes=n_genes))
        columns = np.flatnonzero(normalized.var["highly_variable"].to_numpy())
        X = counts.X[:, columns]
    else:
        X = raw.X.tocsr()
        detected = np.asarray((X > 0).sum(axis=0)).ravel()
        X = X[:, np.sort(np.argsort(-detected, kind="stable")[:n_genes])]
    types = raw.obs["cell_type"].astype(str).to_numpy()
    rng = np.random.default_rng(seed)
    first = rng.integers(0, X.shape[0], n_cells)
    second = np.empty_like(first)
    for one in np.unique(types[first]):
        members = types[first] == one
        second[members] = rng.choice(np.flatnonzero(types == one), members.sum())
    halves = [X[rows].astype(np.int32) for rows in (first, second)]
    for half in halves:
        half.data = rng.binomial(half.data, 0.5).astype(np.int32)
    mixed = sparse.csr_matrix(halves[0] + halves[1])
    mixed.eliminate_zeros()
    mixed.sort_indices()
    return mixed


class Peak(threading.Thread):
    """Peak of the anonymous memory of this process, MB, by looking every 100 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb, self.running = 0.0, True
        self.start()

    def run(self) -> None:
        """Look until stopped."""
        while self.running:
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            self.mb = max(self.mb, int(line.split()[1]) / 1000)
            time.sleep(0.1)


class Watch:
    """The weights at every validation that was the best so far, and the seconds until then."""

    def __init__(self) -> None:
        from scpress.training import loop as training
        from scpress.training import scvi_tools

        self.seen: list[tuple[float, Any]] = []
        self.start = time.perf_counter()
        note, keep_best = training.TrainingState.note, scvi_tools._keep_best

        def noted(state: Any, row: Any) -> None:
            note(state, row)
            if state.schedule.best_step == row.step:
                self._add(state.best)

        def keeping() -> Any:
            keeper = keep_best()
            end = keeper.on_validation_epoch_end

            def ended(*arguments: Any) -> None:
                before = keeper.loss
                end(*arguments)
                if keeper.loss < before:
                    self._add(types.SimpleNamespace(state_dict=lambda best=keeper.best: best))

            keeper.on_validation_epoch_end = ended
            return keeper

        training.TrainingState.note = noted  # type: ignore[assignment,method-assign]
        scvi_tools._keep_best = keeping

    def _add(self, weights: Any) -> None:
        self.seen.append((time.perf_counter() - self.start, weights))

    def seconds_to(self, target: float, model: Any, test: Any) -> float:
        """Seconds until the held-out NLL was at most the target; infinite if it never was."""
        from scpress.model.scoring import importance_weighted_nll
        from scpress.training.scvi_tools import from_scvi_module

        def reached(weights: Any) -> bool:
            if isinstance(weights, dict):
                model.network.load_state_dict(weights)
            else:
                from_scvi_module(weights, model.network)
            return float(importance_weighted_nll(model, test).mean()) <= target

        at = bisect.bisect_left(self.seen, True, key=lambda one: reached(one[1]))
        return self.seen[at][0] if at < len(self.seen) else math.inf


def scale_files(folder: Path, n_cells: int) -> dict[str, str]:
    import anndata as ad
    import pandas as pd

    from scpress.counts.sizes import library_sizes, size_factors
    from scpress.io.h5ad import read_h5ad, write_h5ad

    folder.mkdir()
    paths = {"counts": folder / "scale.h5ad", "normalized": folder / "scale_normalized.h5ad"}
    write_counts(paths["counts"], n_cells)
    counts = read_h5ad(paths["counts"], backed=True)
    library_size = library_sizes(counts.X)
    obs = pd.DataFrame(
        {"library_size": library_size, "size_factor": size_factors(library_size)},
        index=counts.obs_names,
    )
    var = pd.DataFrame({"highly_variable": True}, index=counts.var_names)
    write_h5ad(ad.AnnData(obs=obs, var=var), paths["normalized"])
    return {name: str(path) for name, path in paths.items()}
