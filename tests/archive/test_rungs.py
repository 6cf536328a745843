"""A latent and its weights are taken for what they save."""

import numpy as np
from scipy import sparse

from scpress.archive import fit, rungs, survey
from scpress.archive.costs import Costs


def test_genes_whose_weights_cost_more_than_they_save_have_none():
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(3.0, (60, 400)))
    seen = survey.look(lambda: iter([X]), 60, 400)
    b = survey.shares_of(seen.totals)
    costs = Costs(b, seen.level_table[0], reach=160)
    t, _ = fit._thetas(seen, b, costs)
    part = rungs._Part.of(seen, np.arange(400), (60, 60, 400), b, t, None)
    tried = rungs._try_latent(part, 2, costs, seed=0)
    # Of noise, every gene's counts fit the better to weights of its own.
    assert tried.w.any(axis=0).mean() > 0.5
    assert tried.kept.mean() < 0.1
