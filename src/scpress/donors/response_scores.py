"""How near predicted responses to drugs are, beside a rival, and how sure that is."""

from dataclasses import dataclass

import numpy as np

# Lines, or drugs, that are drawn with replacement, so many times.
_N_DRAWS = 200
# A variance below this share of the mean square is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Predictions of every pair in several divisions into folds.

    Attributes
    ----------
    responses
        [lines, drugs] NaN where there is none.
    predicted
        [repeats, lines, drugs]
    line_fold
        [repeats, lines] Of which only lines of one are compared with each other: their drugs' means
        are of the same lines. Had all been pooled, a drug's mean would correlate negatively.
    """

    responses: np.ndarray
    predicted: np.ndarray
    line_fold: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """[lines, drugs] Whether there is a response."""
        return ~np.isnan(self.responses)

    def squared_errors(self) -> np.ndarray:
        """[repeats, lines, drugs] 0 where there is no response."""
        return np.where(self.known, np.square(self.predicted - self.responses), 0.0)

    def rmse(self) -> float:
        """Root of the mean squared error of all pairs."""
        return float(np.sqrt(self.squared_errors().sum(axis=(1, 2)).mean() / self.known.sum()))

    def pooled_correlation(self) -> float:
        """Of all pairs, the mean of the repeats; 0 where all predictions are one."""
        y = self.responses[self.known]
        found = [_correlation(one[self.known], y) for one in self.predicted]
        return float(np.mean(found))

    def correlations(self, weights: np.ndarray) -> np.ndarray:
        """[draws, drugs] Over the lines of a fold; the mean of the repeats, 0 of constants.

        Parameters
        ----------
        weights
            [draws, lines] How often a line counts.
        """
        known = self.known.astype(float)
        y = np.where(self.known, self.responses, 0.0)
        result = np.zeros((len(weights), y.shape[1]))
        for predicted, fold in zip(self.predicted, self.line_fold, strict=True):
            p = np.where(self.known, predicted, 0.0)
            shared = var_p = var_y = square_p = square_y = 0.0
            for number in np.unique(fold):
                rows = fold == number
                w = weights[:, rows]
                n = np.maximum(w @ known[rows], 1e-9)
                sum_p, sum_y = w @ p[rows], w @ y[rows]
                pp, yy = w @ np.square(p[rows]), w @ np.square(y[rows])
                shared = shared + w @ (p * y)[rows] - sum_p * sum_y / n
                var_p, var_y = var_p + pp - sum_p**2 / n, var_y + yy - sum_y**2 / n
                square_p, square_y = square_p + pp, square_y + yy
            varies = (var_p > _ROUNDING * square_p) & (var_y > _ROUNDING * square_y)
            scale = np.sqrt(np.where(varies, var_p * var_y, 1.0))
            result += np.where(varies, shared / scale, 0.0)
        return np.clip(result / len(self.predicted), -1, 1)

    def correlation(self) -> np.ndarray:
        """[drugs] Where every line counts once."""
        return self.correlations(np.ones((1, len(self.responses))))[0]


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def draw_weights(
    split: str, group: np.ndarray, n_drugs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """[draws, lines] and [draws, drugs] How often each counts in draws of what is held out.

    Lines are drawn by groups. Of both, each is drawn by itself (Owen 2007, the pigeonhole
    bootstrap).
    """
    lines, drugs = np.ones((_N_DRAWS, len(group)), int), np.ones((_N_DRAWS, n_drugs), int)
    if split != "drug":
        lines = _draw(int(group.max()) + 1, rng)[:, group]
    if split != "line":
        drugs = _draw(n_drugs, rng)
    return lines, drugs


def _draw(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(n, np.full(n, 1 / n), _N_DRAWS)


def skill(errors: np.ndarray, of_rival: np.ndarray) -> float:
    """Share of the rival's squared error that is saved; 0 where it makes none."""
    return float(1 - errors.sum() / of_rival.sum()) if of_rival.sum() > 0 else 0.0


def skill_interval(
    errors: np.ndarray, of_rival: np.ndarray, lines: np.ndarray, drugs: np.ndarray
) -> tuple[float, float]:
    """95 % interval of it, over draws; [lines, drugs] errors, draws as of `draw_weights`."""
    ours, theirs = (((lines @ one) * drugs).sum(axis=1) for one in (errors, of_rival))
    drawn = 1 - ours / np.maximum(theirs, 1e-300)
    low, high = np.quantile(drawn[theirs > 0], [0.025, 0.975]) if (theirs > 0).any() else (0, 0)
    return float(low), float(high)


def median_interval(correlations: np.ndarray, drugs: np.ndarray) -> tuple[float, float]:
    """95 % interval of the median of the drugs, over draws of lines and of drugs.

    Parameters
    ----------
    correlations
        [draws, drugs]
    """
    drawn = [np.median(np.repeat(r, n)) for r, n in zip(correlations, drugs, strict=True)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
