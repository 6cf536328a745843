"""The compiled loops of the posterior: draws, KL and their gradients."""

import numpy as np

from scpress.model.compiled.arithmetic import exp, f32, log, serial


@serial
def posterior(mean, log_variance, noise, floor, z, variance):  # type: ignore[no-untyped-def]
    """Write draws z = m + s noise and s^2 = exp(log_variance) + floor, all [cells, n_latent].

    Returns
    -------
    Sum over the cells of KL(N(m, s^2) || N(0, 1)), nats
    """
    n_cells, n_latent = mean.shape
    kl = 0.0
    for i in range(n_cells):
        for j in range(n_latent):
            m = mean[i, j]
            v = exp(log_variance[i, j]) + floor
            variance[i, j] = v
            z[i, j] = m + np.sqrt(v) * noise[i, j]
            kl += 0.5 * np.float64(m * m + v - f32(1.0) - log(v))
    return kl


@serial
def posterior_gradient(  # type: ignore[no-untyped-def]
    by_z, by_kl, mean, variance, noise, floor, by_mean, by_log_variance
):
    """Write the gradients of `posterior` by mean and log-variance; by_kl is of the sum."""
    for i in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            v = variance[i, j]
            by_mean[i, j] = by_z[i, j] + by_kl * mean[i, j]
            by_v = by_z[i, j] * noise[i, j] / np.sqrt(v) + by_kl * (f32(1.0) - f32(1.0) / v)
            by_log_variance[i, j] = f32(0.5) * by_v * (v - floor)
