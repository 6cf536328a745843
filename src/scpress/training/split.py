"""Which cells are held out, and which make up each step."""

import numpy as np

from scpress.errors import InputError


class Order:
    """Which cells make up each step: a fresh permutation per epoch, batches always full."""

    def __init__(self, n_obs: int, batch_size: int, seed: int):
        self.n_obs, self.batch_size, self.seed = n_obs, batch_size, seed
        self._epoch = -1
        self._permutation = np.zeros(0, dtype=np.int64)

    def rows(self, step: int) -> np.ndarray:
        """[batch_size] Rows of a step; a batch may reach into the next epoch."""
        start = step * self.batch_size
        epoch, offset = divmod(start, self.n_obs)
        rows = self._of_epoch(epoch)[offset : offset + self.batch_size]
        if len(rows) < self.batch_size:
            rest = self.batch_size - len(rows)
            rows = np.concatenate([rows, self._of_epoch(epoch + 1)[:rest]])
        return np.sort(rows)

    def _of_epoch(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.n_obs)
            self._epoch = epoch
        return self._permutation


def split_validation(strata: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """([training cells], [validation cells]) Rows drawn at random within each stratum.

    The draw does not depend on the model's seed: every model and every seed is scored on the
    same held-out cells.

    Raises
    ------
    InputError
        Too few cells to hold any out.
    """
    n_obs = len(strata)
    if n_obs < 10:
        raise InputError(f"training needs at least 10 cells; found {n_obs}. Loosen `qc`.")
    rng = np.random.default_rng(20_180_515)
    # Ranks of a random order within each stratum, as fractions: the lowest are held out.
    order = rng.permutation(n_obs)
    ranks = np.empty(n_obs)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        ranks[members] = (np.arange(len(members)) + rng.random()) / len(members)
    held_out = np.zeros(n_obs, dtype=bool)
    held_out[np.argsort(ranks, kind="stable")[: max(2, round(fraction * n_obs))]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
