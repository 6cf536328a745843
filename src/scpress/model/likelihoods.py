"""How probable counts are under each distribution, elementwise and summed over a sparse batch.

Notation of the formulas: l = log-probability (natural log), sp = softplus, ls = logsigmoid,
d = log mu - log theta, o = logit of pi. NB has mean mu and variance mu + mu^2/theta.
"""

import importlib.util
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from scpress.model.batches import DenseBatch, SparseBatch

log = logging.getLogger("scpress")

# Outside this range a float32 NB is dominated by the cancellation of two lgammas: at theta = 1e6
# it is wrong by 0.66 nats. A gene whose theta sits on a bound is listed after training.
LOG_THETA_MIN, LOG_THETA_MAX = -6.907755, 9.210340  # theta in [1e-3, 1e4]
LOG_MU_MIN, LOG_MU_MAX = -18.0, 12.0
PI_LOGITS_MAX = 30.0
_HALF_LOG_2PI = 0.9189385332046727
_SERIES_FROM = 8.0
# 128 KiB of float32 per temporary; six of them fit the second-level cache of a current core.
_CACHED_ENTRIES = 2**15


class Parameters(NamedTuple):
    """What a decoder says about each entry; each tensor broadcasts to [cells, genes].

    A distribution without theta or pi has None there and never looks at it.
    """

    log_mu: Tensor
    log_theta: Tensor = None  # type: ignore[assignment]
    pi_logits: Tensor = None  # type: ignore[assignment]

    def at(self, rows: Tensor, columns: Tensor) -> "Parameters":
        """The parameters of single entries, [nonzeros]."""
        return Parameters._make(p if p is None else _at(p, rows, columns) for p in self)


def _at(parameter: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    if parameter.ndim == 1:
        return parameter[columns]
    if parameter.shape[0] == 1:
        return parameter[0, columns]
    return parameter[rows, columns]


def _stirling_error(z: Tensor) -> Tensor:
    """[...] lgamma(z+1) - (z + 1/2) log z + z - log(2 pi)/2, for z > 0.

    Above 8 by its series, in which nothing cancels; below, the terms are small enough to subtract.
    """
    large = torch.clamp(z, min=_SERIES_FROM)
    inverse = 1.0 / large
    square = inverse * inverse
    series = inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    )
    small = torch.clamp(z, max=_SERIES_FROM)
    direct = torch.lgamma(small + 1) - (small + 0.5) * torch.log(small) + small - _HALF_LOG_2PI
    return torch.where(z > _SERIES_FROM, series, direct)


def _poisson_positive(x: Tensor, p: Parameters) -> Tensor:
    # x log mu - mu - lgamma(x+1), written around its maximum mu = x (Loader 2000): every term is
    # small where l is, while the textbook's are 1e5 at x = 2e4, of which float32 keeps 0.01.
    gap = (torch.exp(p.log_mu) - x) / x
    near = torch.log1p(torch.clamp(gap, min=-0.5))
    log_ratio = torch.where(gap > -0.5, near, p.log_mu - torch.log(x))
    deviance = x * (gap - log_ratio)
    return -deviance - _stirling_error(x) - 0.5 * torch.log(x) - _HALF_LOG_2PI


def _nb_positive(x: Tensor, p: Parameters) -> Tensor:
    # The same for NB: half the deviance, and what is left of the lgammas at mu = x.
    mu, theta = torch.exp(p.log_mu), torch.exp(p.log_theta)
    total = x + theta
    gap = (mu - x) / total
    deviance = theta * torch.log1p(gap) + x * torch.log1p(-theta * gap / mu)
    stirling = _stirling_error(total) - _stirling_error(theta) - _stirling_error(x)
    return stirling - deviance + 0.5 * (p.log_theta - torch.log(total * x)) - _HALF_LOG_2PI


def log_poisson(x: Tensor, p: Parameters) -> Tensor:
    """x log mu - mu - lgamma(x+1)."""
    return torch.where(x > 0, _poisson_positive(torch.clamp(x, min=1), p), _poisson_zero(p))


def log_nb(x: Tensor, p: Parameters) -> Tensor:
    """lgamma(x+theta) - lgamma(theta) - lgamma(x+1) - theta sp(d) - x sp(-d)."""
    return torch.where(x > 0, _nb_positive(torch.clamp(x, min=1), p), _nb_zero(p))


def log_zinb(x: Tensor, p: Parameters) -> Tensor:
    """x = 0: logaddexp(ls(o), ls(-o) - theta sp(d)); x > 0: ls(-o) + NB(x)."""
    positive = _nb_positive(torch.clamp(x, min=1), p) - softplus(p.pi_logits)
    return torch.where(x > 0, positive, _zinb_zero(p))


def log_gaussian(x: Tensor, p: Parameters) -> Tensor:
    """-(x - mean)^2/(2 sd^2) - log sd - log(2 pi)/2; log_mu holds the mean, log_theta log sd^-2."""
    precision = torch.exp(p.log_theta)
    return -0.5 * precision * (x - p.log_mu) ** 2 + 0.5 * p.log_theta - _HALF_LOG_2PI


def log_bernoulli(x: Tensor, p: Parameters) -> Tensor:
    """Presence: x = 0: -mu; x > 0: log(1 - exp(-mu)), the binary cross-entropy at P(x > 0)."""
    return torch.where(x > 0, _bernoulli_positive(p), _poisson_zero(p))


def log_laplace(x: Tensor, p: Parameters) -> Tensor:
    """-|x - m|/b - log(2 b); log_mu holds the median m, log_theta -log b."""
    return -torch.exp(p.log_theta) * torch.abs(x - p.log_mu) + p.log_theta - math.log(2)


def _multinomial_rest(total: Tensor) -> Tensor:
    # With means that sum to the total n, a multinomial is a product of Poissons over the Poisson of
    # n at n: what is missing is -log of the latter, n + lgamma(n+1) - n log n. The softmax shares
    # out one molecule where there is none.
    positive = torch.clamp(total, min=1)
    rest = _stirling_error(positive) + 0.5 * torch.log(positive) + _HALF_LOG_2PI
    return torch.where(total > 0, rest, 1.0)


def _bernoulli_positive(p: Parameters) -> Tensor:
    return torch.log(-torch.expm1(-torch.exp(p.log_mu)))


def _bernoulli_correction(x: Tensor, p: Parameters) -> Tensor:
    return _bernoulli_positive(p) - _poisson_zero(p)


def _laplace_zero(p: Parameters) -> Tensor:
    return log_laplace(torch.zeros((), dtype=p.log_mu.dtype), p)


def _laplace_correction(x: Tensor, p: Parameters) -> Tensor:
    return torch.exp(p.log_theta) * (torch.abs(p.log_mu) - torch.abs(x - p.log_mu))


def _poisson_zero(p: Parameters) -> Tensor:
    return -torch.exp(p.log_mu)


def _poisson_correction(x: Tensor, p: Parameters) -> Tensor:
    return _poisson_positive(x, p) - _poisson_zero(p)


def _nb_zero(p: Parameters) -> Tensor:
    return -torch.exp(p.log_theta) * softplus(p.log_mu - p.log_theta)


def _nb_correction(x: Tensor, p: Parameters) -> Tensor:
    return _nb_positive(x, p) - _nb_zero(p)


def _zinb_zero(p: Parameters) -> Tensor:
    # logaddexp(ls(o), ls(-o) + n) with n = log NB(0) equals sp(o + log-odds form): both terms share
    # the factor 1/(1+e^o), so l = logaddexp(o, n) - sp(o): one exp and two log1p fewer per entry.
    return torch.logaddexp(p.pi_logits, _nb_zero(p)) - softplus(p.pi_logits)


def _zinb_correction(x: Tensor, p: Parameters) -> Tensor:
    return _nb_positive(x, p) - torch.logaddexp(p.pi_logits, _nb_zero(p))


def _gaussian_zero(p: Parameters) -> Tensor:
    return log_gaussian(torch.zeros((), dtype=p.log_mu.dtype), p)


def _gaussian_correction(x: Tensor, p: Parameters) -> Tensor:
    return 0.5 * torch.exp(p.log_theta) * x * (2 * p.log_mu - x)


@dataclass(frozen=True)
class Likelihood:
    """One distribution, split into a term of every entry and a correction of the nonzeros.

    `dense` is l(x); `zero` is l(0), which needs no lgamma; `correction` is l(x) - l(0). A batch
    that is 95 % zeros pays for lgamma at 5 % of its entries. `of_total` is what a cell's molecules
    add, whatever the parameters.
    """

    dense: Callable[[Tensor, Parameters], Tensor]
    zero: Callable[[Parameters], Tensor]
    correction: Callable[[Tensor, Parameters], Tensor]
    has_theta: bool
    has_pi: bool
    on_counts: bool = True
    of_total: Callable[[Tensor], Tensor] | None = None


LIKELIHOODS = {
    "zinb": Likelihood(log_zinb, _zinb_zero, _zinb_correction, has_theta=True, has_pi=True),
    "nb": Likelihood(log_nb, _nb_zero, _nb_correction, has_theta=True, has_pi=False),
    "poisson": Likelihood(
        log_poisson, _poisson_zero, _poisson_correction, has_theta=False, has_pi=False
    ),
    "multinomial": Likelihood(
        log_poisson,
        _poisson_zero,
        _poisson_correction,
        has_theta=False,
        has_pi=False,
        of_total=_multinomial_rest,
    ),
    "bernoulli": Likelihood(
        log_bernoulli, _poisson_zero, _bernoulli_correction, has_theta=False, has_pi=False
    ),
    "laplace": Likelihood(
        log_laplace,
        _laplace_zero,
        _laplace_correction,
        has_theta=True,
        has_pi=False,
        on_counts=False,
    ),
    "gaussian": Likelihood(
        log_gaussian,
        _gaussian_zero,
        _gaussian_correction,
        has_theta=True,
        has_pi=False,
        on_counts=False,
    ),
}


class _SumNb(torch.autograd.Function):
    """[cells] Sum over genes of log NB or log ZINB, with its gradient from the same pass.

    Zeros, with n = -theta sp(d) and q = sigmoid(o - n), the probability that a zero is an extra
    one: l = n + sp(o - n) - sp(o), dl/do = q - pi, dl/dlog mu = -(1-q) theta sigmoid(d),
    dl/dlog theta = (1-q) (n + theta sigmoid(d)). NB is q = 0.

    Nonzeros, with g = (x - mu)/(theta + mu) and s(z) = digamma(z) - log z: dl/dlog mu = theta g,
    dl/dlog theta = theta (log1p(g) - g + s(x + theta) - s(theta)), dl/do = -pi. They overwrite
    what the zeros' formula put there, so that no gather is differentiated into a full matrix.

    Rows are taken a few at a time so that the temporaries stay in the cache. Autograd on the plain
    formulas gives the same numbers and moves several times as many bytes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        log_mu: Tensor,
        log_theta: Tensor,
        pi_logits: Tensor | None,
        x: "SparseBatch",
        mask: Tensor | None,
    ) -> Tensor:
        n_cells, n_genes = log_mu.shape
        per_cell = log_theta.ndim == 2 and log_theta.shape[0] > 1
        total = torch.empty(n_cells, dtype=log_mu.dtype, device=log_mu.device)
        by_mu, by_theta = torch.empty_like(log_mu), torch.empty_like(log_mu)
        by_pi = None if pi_logits is None else torch.empty_like(log_mu)
        n_rows = max(1, _CACHED_ENTRIES // n_genes) if log_mu.device.type == "cpu" else n_cells
        for start in range(0, n_cells, n_rows):
            rows = slice(start, start + n_rows)
            log_theta_rows = log_theta[rows] if per_cell else log_theta.reshape(1, -1)
            theta = torch.exp(log_theta_rows)
            d = log_mu[rows] - log_theta_rows
            n = softplus(d).mul_(theta).neg_()
            slope = d.sigmoid_().mul_(theta)
            if mask is not None:
                slope.mul_(mask[rows])
            if pi_logits is None or by_pi is None:
                if mask is not None:
                    n.mul_(mask[rows])
                total[rows] = n.sum(dim=1)
                torch.neg(slope, out=by_mu[rows])
                torch.add(n, slope, out=by_theta[rows])
                continue
            o = pi_logits[rows]
            odds = o - n
            extra = torch.sigmoid(odds)
            torch.sub(extra, torch.sigmoid(o), out=by_pi[rows])
            zero = softplus(odds).sub_(softplus(o)).add_(n)
            if mask is not None:
                zero.mul_(mask[rows])
                n.mul_(mask[rows])
                by_pi[rows].mul_(mask[rows])
            total[rows] = zero.sum(dim=1)
            rest = extra.neg_().add_(1.0)
            torch.mul(n.add_(slope), rest, out=by_theta[rows])
            torch.mul(slope.neg_(), rest, out=by_mu[rows])

        p = Parameters(log_mu, log_theta, pi_logits).at(x.rows, x.columns)  # type: ignore[arg-type]
        correction = (_nb_correction if pi_logits is None else _zinb_correction)(x.values, p)
        total += x.sum_rows(correction)
        mu, theta = torch.exp(p.log_mu), torch.exp(p.log_theta)
        g = (x.values - mu) / (theta + mu)
        by_mu[x.rows, x.columns] = theta * g
        rest = _digamma_rest(x.values + theta) - _digamma_rest(theta)
        by_theta[x.rows, x.columns] = theta * (torch.log1p(g) - g + rest)
        if by_pi is not None:
            by_pi[x.rows, x.columns] = -torch.sigmoid(p.pi_logits)
        ctx.theta_shape = log_theta.shape
        ctx.save_for_backward(by_mu, by_theta, by_pi)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        by_mu, by_theta, by_pi = ctx.saved_tensors
        column = gradient[:, None]
        if len(ctx.theta_shape) == 2 and ctx.theta_shape[0] > 1:
            to_theta = by_theta * column
        else:
            to_theta = (gradient @ by_theta).reshape(ctx.theta_shape)
        return by_mu * column, to_theta, None if by_pi is None else by_pi * column, None, None


def dense_nb_terms(
    x: Tensor, log_mu: Tensor, log_theta: Tensor, pi_logits: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """[cells, genes] each: l and its derivatives by log mu, log theta and o, as in `_SumNb`."""
    theta, mu = torch.exp(log_theta), torch.exp(log_mu)
    ratio = mu / theta
    n = -theta * torch.log1p(ratio)
    slope = mu / (1 + ratio)
    is_zero = x == 0
    positive = torch.clamp(x, min=1)
    value = _nb_positive(positive, Parameters(log_mu, log_theta))
    g = (positive - mu) / (theta + mu)
    rest = _digamma_rest(positive + theta) - _digamma_rest(theta)
    by_mu, by_theta = theta * g, theta * (torch.log1p(g) - g + rest)
    if pi_logits is None:
        return (
            torch.where(is_zero, n, value),
            torch.where(is_zero, -slope, by_mu),
            torch.where(is_zero, n + slope, by_theta),
            None,
        )
    pi = torch.sigmoid(pi_logits)
    extra = torch.sigmoid(pi_logits - n)
    zero = n + softplus(pi_logits - n) - softplus(pi_logits)
    return (
        torch.where(is_zero, zero, value - softplus(pi_logits)),
        torch.where(is_zero, -(1 - extra) * slope, by_mu),
        torch.where(is_zero, (1 - extra) * (n + slope), by_theta),
        torch.where(is_zero, extra, 0.0) - pi,
    )


@cache
def _dense_terms_on(device: str) -> Callable[..., Any]:
    """The terms as one kernel where torch can compile for the GPU, which takes triton."""
    if device != "cuda" or importlib.util.find_spec("triton") is None:
        return dense_nb_terms
    compiled = torch.compile(dense_nb_terms, dynamic=False)
    try:
        # It wants a C compiler and a folder to write to; without them the same comes op by op.
        some = [torch.ones(2, 3, device=device) for _ in range(4)]
        compiled(*some)
    except Exception as error:
        log.warning("torch cannot compile for the GPU (%s): plain operations, slower", error)
        return dense_nb_terms
    return compiled


class _SumDenseNb(torch.autograd.Function):
    """[cells] As `_SumNb`, of a dense batch: shapes are fixed, and nothing waits for a value."""

    @staticmethod
    def forward(
        ctx: Any,
        log_mu: Tensor,
        log_theta: Tensor,
        pi_logits: Tensor | None,
        x: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        terms = _dense_terms_on(log_mu.device.type)
        value, by_mu, by_theta, by_pi = terms(x, log_mu, log_theta, pi_logits)
        if mask is not None:
            for one in (value, by_mu, by_theta, by_pi):
                if one is not None:
                    one.mul_(mask)
        ctx.theta_shape = log_theta.shape
        ctx.save_for_backward(by_mu, by_theta, by_pi)
        return value.sum(dim=1)

    backward = _SumNb.backward


def _digamma_rest(z: Tensor) -> Tensor:
    """[...] digamma(z) - log z, for z > 0; above 8 by its series, as `_stirling_error`."""
    large = torch.clamp(z, min=_SERIES_FROM)
    inverse = 1.0 / large
    square = inverse * inverse
    series = -inverse * 0.5 - square * (
        1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240))
    )
    small = torch.clamp(z, max=_SERIES_FROM)
    return torch.where(z > _SERIES_FROM, series, torch.digamma(small) - torch.log(small))


def sum_log_likelihood(
    name: str, parameters: Parameters, x: "SparseBatch | DenseBatch", mask: Tensor | None = None
) -> Tensor:
    """[cells] Log-likelihood of each cell, nats, summed over genes.

    Parameters
    ----------
    mask
        [cells, genes] Whether a cell was measured, where not all were; the others have no
        nonzeros.
    """
    likelihood = LIKELIHOODS[name]
    if isinstance(x, DenseBatch):
        if likelihood.has_theta and likelihood.on_counts:
            pi_logits = parameters.pi_logits if likelihood.has_pi else None
            log_mu, log_theta = parameters.log_mu, parameters.log_theta
            return _SumDenseNb.apply(log_mu, log_theta, pi_logits, x.values, mask)
        total = _measured(likelihood.dense(x.values, parameters), mask).sum(dim=1)
        molecules = x.values.sum(dim=1)
        return total if likelihood.of_total is None else total + likelihood.of_total(molecules)
    if likelihood.has_theta and likelihood.on_counts:
        pi_logits = parameters.pi_logits if likelihood.has_pi else None
        return _SumNb.apply(parameters.log_mu, parameters.log_theta, pi_logits, x, mask)
    total = _measured(likelihood.zero(parameters), mask).sum(dim=1)
    correction = likelihood.correction(x.values, parameters.at(x.rows, x.columns))
    total = total + x.sum_rows(correction)
    if likelihood.of_total is not None:
        total = total + likelihood.of_total(x.sum_rows(x.values))
    return total


def _measured(terms: Tensor, mask: Tensor | None) -> Tensor:
    """[cells, genes] Terms with nothing, and no gradient, where a cell was not measured."""
    return terms if mask is None else torch.where(mask, terms, 0.0)
