"""Slow, obvious twins of our formulas: mpmath at 50 digits."""

import mpmath as mp

mp.mp.dps = 50


def poisson(x, log_mu):
    mu = mp.exp(log_mu)
    return x * mp.log(mu) - mu - mp.loggamma(x + 1)


def nb(x, log_mu, log_theta):
    mu, theta = mp.exp(log_mu), mp.exp(log_theta)
    return (
        mp.loggamma(x + theta)
        - mp.loggamma(theta)
        - mp.loggamma(x + 1)
        + theta * mp.log(theta / (theta + mu))
        + x * mp.log(mu / (theta + mu))
    )


def zinb(x, log_mu, log_theta, pi_logits):
    pi = 1 / (1 + mp.exp(-pi_logits))
    density = (1 - pi) * mp.exp(nb(x, log_mu, log_theta))
    return mp.log(density + pi) if x == 0 else mp.log(1 - pi) + nb(x, log_mu, log_theta)


def bernoulli(x, log_mu):
    absent = mp.exp(-mp.exp(log_mu))
    return mp.log(absent if x == 0 else 1 - absent)


def laplace(x, median, minus_log_b):
    b = mp.exp(-mp.mpf(minus_log_b))
    return -abs(x - mp.mpf(median)) / b - mp.log(2 * b)


def gaussian(x, mean, log_precision):
    sd = mp.exp(-mp.mpf(log_precision) / 2)
    return -((x - mp.mpf(mean)) ** 2) / (2 * sd**2) - mp.log(sd) - mp.log(2 * mp.pi) / 2
