"""How donors' cells respond to a treatment, how alike, and what is told of donors held out."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

# Donors that are drawn with replacement for an interval, so many times.
_N_DRAWS = 400
# Ridges that are tried, in units of the mean squared length of a state. The strongest is the mean.
_RIDGES = np.array([0.1, 1.0, 1e4])
_INNER_FOLDS = 3


@dataclass(frozen=True)
class Pairs:
    """Control and treated profiles of donors, in types that some of them have.

    Attributes
    ----------
    control, treated
        [pairs, features]
    donor, cell_type
        [pairs] Number of each; no donor has a type twice.
    """

    control: np.ndarray
    treated: np.ndarray
    donor: np.ndarray
    cell_type: np.ndarray

    @property
    def response(self) -> np.ndarray:
        """[pairs, features] What treatment adds."""
        return self.treated - self.control

    def rows(self, rows: np.ndarray) -> "Pairs":
        """Some of them."""
        return Pairs(*(one[rows] for one in vars(self).values()))


@dataclass(frozen=True)
class Profiles:
    """The same of all genes, sparse.

    Attributes
    ----------
    stacked
        [2 pairs, genes] Log expression, control above treated.
    donor, cell_type
        [pairs] As of `Pairs`.
    """

    stacked: sparse.csr_matrix
    donor: np.ndarray
    cell_type: np.ndarray

    def exchange(self, swapped: np.ndarray) -> "Profiles":
        """Control and treated of some donors, [donors], taken for each other."""
        n = len(self.donor)
        of_control = np.arange(n) + n * swapped[self.donor]
        order = np.concatenate([of_control, (of_control + n) % (2 * n)])
        return Profiles(self.stacked[order], self.donor, self.cell_type)

    def choose_genes(self, rows: np.ndarray, n_features: int) -> np.ndarray:
        """[chosen] Genes whose profiles vary most in some pairs, which no label is asked for."""
        values = self.stacked[np.concatenate([rows, rows + len(self.donor)])]
        mean = np.asarray(values.mean(axis=0)).ravel()
        variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
        return np.sort(np.argsort(-variance, kind="stable")[:n_features])

    def take(self, rows: np.ndarray, genes: np.ndarray) -> Pairs:
        """Some pairs, in some genes."""
        control, treated = (
            self.stacked[rows + side * len(self.donor)][:, genes].toarray() for side in (0, 1)
        )
        return Pairs(control, treated, self.donor[rows], self.cell_type[rows])


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[first, second] Cosine of each with each, 0 of a vector of zeros."""
    lengths = (np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second))
    units = [
        one / np.maximum(length, 1e-300)
        for one, length in zip((first, second), lengths, strict=True)
    ]
    return np.clip(units[0] @ units[1].T, -1, 1)


def mean_cosine(cosine: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[draws] Mean cosine over pairs of donors.

    Parameters
    ----------
    cosine
        [donors, donors]
    weights
        [draws, donors] How often a donor counts, or its sign; a donor is no pair with itself.
    """
    apart = cosine - np.diag(np.diag(cosine))
    n_pairs = np.abs(weights).sum(axis=1) ** 2 - np.square(weights).sum(axis=1)
    return np.einsum("ki,ij,kj->k", weights, apart, weights) / n_pairs


def exchanges(n_donors: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """[exchanges, donors] 1 or -1 for donors whose control and treated change places.

    All that there are, where these are no more than `most`: exchanging all donors changes no
    cosine, so the first stays. Else drawn at random.
    """
    if 2 ** (n_donors - 1) <= most:
        rest = itertools.product((1.0, -1.0), repeat=n_donors - 1)
        return np.array([(1.0, *one) for one in rest][1:])
    return rng.choice([1.0, -1.0], size=(most, n_donors))


def draw_donors(n_donors: int, rng: np.random.Generator) -> np.ndarray:
    """[draws, donors] How often each is drawn, two different ones at least."""
    drawn = rng.multinomial(n_donors, np.full(n_donors, 1 / n_donors), _N_DRAWS)
    return drawn[(drawn > 0).sum(axis=1) > 1].astype(float)


def learn_latent(pairs: Pairs, n_components: int) -> PCA:
    """Principal components of all profiles, control and treated."""
    profiles = np.concatenate([pairs.control, pairs.treated])
    n = min(n_components, len(profiles) - 1, profiles.shape[1])
    return PCA(n, svd_solver="full").fit(profiles)


def in_latent(pairs: Pairs, latent: PCA) -> Pairs:
    """The pairs as points of the latent."""
    control, treated = latent.transform(pairs.control), latent.transform(pairs.treated)
    return Pairs(control, treated, pairs.donor, pairs.cell_type)


@dataclass(frozen=True)
class Scores:
    """How near predictions of held-out donors are, [pairs] each.

    Attributes
    ----------
    left, whole
        Squared length of the response's part that was not predicted, and of the response.
    cosine
        Of the predicted and the true response.
    """

    donor: np.ndarray
    cell_type: np.ndarray
    left: np.ndarray
    whole: np.ndarray
    cosine: np.ndarray

    def of_type(self, number: int) -> "Scores":
        """Those of one type."""
        rows = self.cell_type == number
        return Scores(*(one[rows] for one in vars(self).values()))

    def explained(self) -> float:
        """Share of the squared response that is predicted; 0 where there is none."""
        total = self.whole.sum()
        return float(1 - self.left.sum() / total) if total > 0 else 0.0

    def interval(self, rng: np.random.Generator) -> tuple[float, float]:
        """95 % interval of it, by donors drawn with replacement; of two, what each has."""
        donors, of_pair = np.unique(self.donor, return_inverse=True)
        left, whole = (np.bincount(of_pair, one) for one in (self.left, self.whole))
        drawn = rng.multinomial(len(donors), np.full(len(donors), 1 / len(donors)), _N_DRAWS)
        shares = 1 - (drawn @ left) / np.maximum(drawn @ whole, 1e-300)
        low, high = np.quantile(shares, [0.025, 0.975])
        return float(low), float(high)


def score_held_out(
    profiles: Profiles, *, n_features: int, n_components: int
) -> dict[tuple[str, str], Scores]:
    """Hold out each donor in turn, and predict how its types respond from their control.

    Genes and components are chosen without the donor. Responses are compared in the space of the
    genes whatever they are predicted in. A control that is high by chance is followed by a
    response that is low, without any treatment: what reads the donor's control, `ridge` and
    `mean_treated`, explains that, too, so that the former is held against the latter.

    Returns
    -------
    {(model, view): scores}
        Of the pairs whose type another donor has, too.
    """
    rows, made = [], []
    for donor in np.unique(profiles.donor):
        train = np.flatnonzero(profiles.donor != donor)
        is_known = np.isin(profiles.cell_type, profiles.cell_type[train])
        test = np.flatnonzero((profiles.donor == donor) & is_known)
        if len(test):
            rows.append(test)
            made.append(_score(profiles, train, test, n_features, n_components))
    order = np.concatenate(rows)
    return {
        name: Scores(
            profiles.donor[order],
            profiles.cell_type[order],
            *np.concatenate([one[name] for one in made], axis=1),
        )
        for name in made[0]
    }


def _score(
    profiles: Profiles, train: np.ndarray, test: np.ndarray, n_features: int, n_components: int
) -> dict[tuple[str, str], np.ndarray]:
    """{(model, view): [3, pairs]} Left, whole and cosine of one donor's pairs."""
    genes = profiles.choose_genes(train, n_features)
    known, asked = profiles.take(train, genes), profiles.take(test, genes)
    latent = learn_latent(known, n_components)
    points, places = in_latent(known, latent), in_latent(asked, latent)
    back = latent.components_
    predicted = {
        ("no_response", ""): np.zeros_like(asked.control),
        ("mean_response", "genes"): _means(known.response, known, asked),
        ("mean_response", "components"): _means(points.response, points, asked) @ back,
        ("mean_treated", "genes"): _means(known.treated, known, asked) - asked.control,
        ("ridge", "genes"): _by_ridge(known, asked),
        ("ridge", "components"): _by_ridge(points, places) @ back,
    }
    truth = asked.response
    whole = np.square(truth).sum(axis=1)
    return {
        name: np.array(
            [
                np.square(truth - values).sum(axis=1),
                whole,
                np.diag(cosines(truth, values)),
            ]
        )
        for name, values in predicted.items()
    }


def _means(values: np.ndarray, known: Pairs, asked: Pairs) -> np.ndarray:
    """[asked, features] Mean over the known donors in each type."""
    return np.array([values[known.cell_type == one].mean(axis=0) for one in asked.cell_type])


class DeviationRidge:
    """Mean response of a type, and what a donor's control says of how it differs from that."""

    def __init__(self, alpha: float, known: Pairs):
        self._types = np.unique(known.cell_type)
        both = np.column_stack([known.control, known.response])
        self._means = np.array([both[known.cell_type == one].mean(axis=0) for one in self._types])
        self._overall = both.mean(axis=0)
        control, response = self._of_type(known)
        self._ridge = Ridge(alpha=alpha, fit_intercept=False)
        self._ridge.fit(known.control - control, known.response - response)

    def predict(self, asked: Pairs) -> np.ndarray:
        """[pairs, features] From their control; a type that was not there has the mean of all."""
        control, response = self._of_type(asked)
        return response + self._ridge.predict(asked.control - control)

    def _of_type(self, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """[pairs, features] Mean control, and mean response, of each pair's type."""
        place = np.minimum(np.searchsorted(self._types, pairs.cell_type), len(self._types) - 1)
        is_known = self._types[place] == pairs.cell_type
        means = np.where(is_known[:, None], self._means[place], self._overall)
        control, response = np.split(means, 2, axis=1)
        return control, response


def _by_ridge(known: Pairs, asked: Pairs) -> np.ndarray:
    """[asked, features] By a ridge whose strength leaving out some donors after others says."""
    unit = float(np.square(known.control - known.control.mean(axis=0)).sum(axis=1).mean())
    # The strongest first, which is taken where none is better: that of two donors, for one.
    strengths = _RIDGES[::-1] * max(unit, 1e-9)
    errors = np.zeros(len(strengths))
    n_donors = len(np.unique(known.donor))
    if n_donors > 1:
        folds = GroupKFold(min(_INNER_FOLDS, n_donors))
        for train, test in folds.split(known.control, groups=known.donor):
            held_out = known.rows(test)
            for place, alpha in enumerate(strengths):
                predicted = DeviationRidge(alpha, known.rows(train)).predict(held_out)
                errors[place] += np.square(predicted - held_out.response).sum()
    return DeviationRidge(strengths[int(errors.argmin())], known).predict(asked)
