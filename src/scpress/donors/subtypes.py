"""Groups of donors in one view, what they are held against, and whether they are subtypes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.cohort import DonorSubtypesOptions
from scpress.donors.associations import adjust_all, associate_groups
from scpress.donors.design import as_numbers
from scpress.donors.features import Rotation, learn_rotation
from scpress.donors.groups import (
    GroupTest,
    agreement,
    compare_with_rotated,
    count_directions,
    draw_donors,
    group_donors,
    match_groups,
    smallest_group,
)
from scpress.donors.views import COMPOSITION, Cells, Redrawn, View
from scpress.tables.cohort import MOLECULES, N_CELLS, CohortRecord
from scpress.tables.donor_subtypes import Explanation, TriedNumber, TriedView

# Of the donors, how many a resample leaves out.
_LEFT_OUT = 0.2
# What goes with groups this surely is asked whether it makes them ...
_ASSOCIATED = 0.05
# ... which it does if they are not found again once it is taken off, or if it says most of them.
_GONE, _MOST = 0.5, 0.5
# Donors for each direction.
_DONORS_PER_DIRECTION = 3


@dataclass(frozen=True)
class Background:
    """What all views share.

    Attributes
    ----------
    batch, covariates
        [donors, columns] Numbers that are taken off the features.
    cells
        Those of the donors, where they are at hand.
    """

    cohort: ad.AnnData
    record: CohortRecord
    batch: np.ndarray
    covariates: np.ndarray
    cells: Cells | None


class Grouping:
    """Groups of donors in one view, and what they are held against.

    Attributes
    ----------
    points
        [donors, directions] Principal components in which donors are grouped.
    group, confidence
        [donors] Their groups after `attempt`, and the share of resamples that say the same.
    """

    def __init__(
        self,
        view: View,
        background: Background,
        options: DonorSubtypesOptions,
        rng: np.random.Generator,
    ):
        self.view, self._background, self._options, self._rng = view, background, options, rng
        self._nuisance = np.hstack([background.batch, background.covariates])
        self._learned = self._learn(view.matrix, self._nuisance)
        self.points = self._learned.apply(view.matrix, self._nuisance)
        n_donors = len(self.points)
        self.group = np.zeros(n_donors, dtype=np.int64)
        self.confidence = [0.0] * n_donors
        self._min_donors = smallest_group(n_donors, options.min_donors)
        most = max(2, min(options.max_subtypes, n_donors // self._min_donors))
        self._numbers = tuple(range(2, most + 1))

    @property
    def is_varied(self) -> bool:
        """Whether donors differ in this view."""
        return self.points.shape[1] > 0

    def attempt(self) -> TriedView:
        """Group, and hold against rotated donors, resamples and what is technical."""
        options, n_donors, background = self._options, len(self.points), self._background
        n_beyond, permutation_p = count_directions(
            self._learned.standardize(self.view.matrix, self._nuisance),
            self._nuisance,
            options.n_permutations,
            self._rng,
        )
        most = (n_donors - 1 - self._nuisance.shape[1]) // _DONORS_PER_DIRECTION
        n = max(1, min(n_beyond, options.n_components, most, self.points.shape[1]))
        self.points = self.points[:, :n]
        test = self._test(self.points, self._nuisance)
        groups = group_donors(self.points, self._numbers, self._min_donors)
        redrawn = Redrawn(
            background.cohort,
            background.record,
            background.cells,
            n_draws=options.n_resamples,
            rng=self._rng,
        )
        tried, confidences = self._resample(test, groups, redrawn)
        best = self._choose(tried)
        if best >= 0:
            self.group = groups[best]
            self.confidence = [float(one) for one in confidences[best]]
        x_y = np.hstack([self.points, np.zeros((n_donors, 1))])[:, :2]
        return TriedView(
            name=self.view.name,
            types=self.view.types,
            n_features=self.view.matrix.shape[1],
            n_directions=n,
            n_beyond_permuted=n_beyond,
            permutation_p=permutation_p,
            tried=tuple(tried),
            n_groups=tried[best].n_groups if best >= 0 else 0,
            p_value=tried[best].p_value if best >= 0 else 1.0,
            adjusted_p=tried[best].p_value if best >= 0 else 1.0,
            donors_stability=tried[best].donors_stability if best >= 0 else None,
            cells_stability=tried[best].cells_stability if best >= 0 else None,
            redrawn=redrawn.kind,
            explanations=tuple(self._explain(best, test)),
            is_supported=False,
            reason="",
            group=tuple(name_groups(self.group)),
            x=tuple(map(float, x_y[:, 0])),
            y=tuple(map(float, x_y[:, 1])),
        )

    def describe(self) -> list[tuple[str, np.ndarray]]:
        """[donors] Features with names: frequencies of types, or principal components."""
        if self.view.name == COMPOSITION:
            values = self._learned.standardize(self.view.matrix, self._nuisance)
            names = [self.view.features[one] for one in self._learned.columns]
        else:
            values = self.points
            names = [f"component {number + 1}" for number in range(values.shape[1])]
        return [
            (f"{self.view.name}: {name}", column)
            for name, column in zip(names, values.T, strict=True)
        ]

    def _learn(self, values: sparse.csr_matrix, nuisance: np.ndarray) -> Rotation:
        return learn_rotation(
            values, nuisance, n_features=self._options.n_features, is_scaled=self.view.is_scaled
        )

    def _locate(self, values: sparse.csr_matrix, nuisance: np.ndarray) -> np.ndarray:
        """[donors, directions] As many directions as the view has, learned of these donors."""
        return self._learn(values, nuisance).apply(values, nuisance)[:, : self.points.shape[1]]

    def _test(self, points: np.ndarray, nuisance: np.ndarray) -> GroupTest:
        return compare_with_rotated(
            points,
            nuisance,
            numbers=self._numbers,
            min_donors=self._min_donors,
            n_rotations=self._options.n_rotations,
            rng=self._rng,
        )

    def _resample(
        self, test: GroupTest, groups: list[np.ndarray], redrawn: Redrawn
    ) -> tuple[list[TriedNumber], np.ndarray]:
        """Group without some donors, and with their cells drawn anew.

        Returns
        -------
        tried, confidence
            [numbers], [numbers, donors] The share of these in which a donor is in its group.
        """
        n_numbers, n_donors = len(groups), len(groups[0])
        sizes = [
            np.bincount(group, minlength=number)
            for number, group in zip(self._numbers, groups, strict=True)
        ]
        is_large = np.array([n.min() >= self._min_donors for n in sizes]) & np.isfinite(test.z)
        p_value = np.where(is_large, test.p_value, 1.0)
        # Of the others nothing more is asked; of the furthest it is, to say what was found.
        places = np.flatnonzero(p_value <= self._options.max_p)
        if not len(places) and is_large.any():
            places = np.array([np.argmax(np.where(is_large, test.z, -np.inf))])
        chosen = [self._numbers[place] for place in places]

        same, asked = np.zeros((n_numbers, n_donors)), np.zeros(n_donors)
        of_donors: list[list[float]] = []
        of_cells: list[list[float]] = []
        drawn = draw_donors(n_donors, self._options.n_resamples, _LEFT_OUT, self._rng)
        cases = [(rows, self.view.matrix[rows], of_donors) for rows in drawn]
        again = redrawn.redraw(self.view, self._learned.columns)
        cases += [(np.arange(n_donors), values, of_cells) for values in again]
        for rows, values, found in cases if chosen else ():
            points = self._locate(values, self._nuisance[rows])
            least = max(2, self._min_donors * len(rows) // n_donors)
            others = group_donors(points, chosen, least)
            found.append([])
            for place, other in zip(places, others, strict=True):
                was = groups[place][rows]
                found[-1].append(agreement(other, was))
                same[place, rows] += match_groups(other, was, self._numbers[place]) == was
            asked[rows] += 1
        stability = np.full((2, n_numbers), np.nan)
        for row, found in enumerate((of_donors, of_cells)):
            if found:
                stability[row, places] = np.mean(found, axis=0)
        tried = [
            TriedNumber(
                n_groups=number,
                sizes=tuple(map(int, sizes[place])),
                within=float(test.within[place]),
                expected=float(test.expected[place]),
                z=float(test.z[place]) if is_large[place] else None,
                p_value=float(p_value[place]),
                donors_stability=_known(stability[0, place]),
                cells_stability=_known(stability[1, place]),
            )
            for place, number in enumerate(self._numbers)
        ]
        # A donor that was never drawn is in its own group.
        return tried, (same + (asked == 0)) / np.maximum(asked, 1)

    def _choose(self, tried: Sequence[TriedNumber]) -> int:
        """Place of the number furthest from chance: of those that are kept, else of all."""
        options = self._options
        distance = np.array([-np.inf if one.z is None else one.z for one in tried])
        stable = [
            one.p_value <= options.max_p
            and all(
                x is not None and x >= options.min_stability
                for x in (one.donors_stability, one.cells_stability)
            )
            for one in tried
        ]
        if any(stable):
            distance[~np.array(stable)] = -np.inf
        best = int(np.argmax(distance))
        return best if np.isfinite(distance[best]) else -1

    def _explain(self, best: int, test: GroupTest) -> list[Explanation]:
        """What is technical of the donors, and whether groups go with it."""
        obs, options, background = self._background.cohort.obs, self._options, self._background
        made: list[Explanation] = []
        if best >= 0:
            off = [
                *([str(options.batch_key)] if background.batch.size else ()),
                *options.covariates,
            ]
            made += [self._held_against(name, obs[name], self.group, self.group) for name in off]
            for name in (MOLECULES, N_CELLS):
                if obs[name].min() < obs[name].max():
                    made.append(self._held_against_size(name, obs[name], best))
        if background.batch.size and test.p_value.min() > options.max_p:
            made += self._found_in_batches()
        return made

    def _held_against_size(self, name: str, column: pd.Series, best: int) -> Explanation:
        """Groups beside molecules or cells of a donor, and once these are taken off.

        What they add is told from donors of one group, as in an analysis of covariance: of all
        donors together a size that goes with the groups by chance would take these with it.
        """
        found = self._held_against(name, column, self.group, self.group)
        if found.p_value >= _ASSOCIATED:
            return found
        size = as_numbers(pd.Series(np.log1p(column.to_numpy(dtype=float))), name).to_numpy()
        known = np.hstack([size, self._nuisance, np.eye(self.group.max() + 1)[self.group]])
        slope = np.linalg.lstsq(known, self.points, rcond=None)[0][:1]
        number = self._numbers[best : best + 1]
        again = group_donors(self.points - size * slope, number, self._min_donors)[0]
        return replace(found, agreement=agreement(self.group, again))

    def _held_against(
        self, name: str, column: pd.Series, group: np.ndarray, other: np.ndarray
    ) -> Explanation:
        tested = associate_groups(group, column, self._rng)
        share = tested.effect**2 if tested.test == "chi-square" else tested.effect
        return Explanation(
            name=name,
            share=float(np.clip(share, 0, 1)),
            p_value=tested.p_value,
            agreement=agreement(group, other),
        )

    def _found_in_batches(self) -> list[Explanation]:
        """Groups that are there before the batch is taken off, and not afterwards."""
        covariates = self._background.covariates
        points = self._locate(self.view.matrix, covariates)
        test = self._test(points, covariates)
        place = test.furthest
        if place < 0 or test.p_value[place] > self._options.max_p:
            return []
        name = str(self._options.batch_key)
        number = self._numbers[place : place + 1]
        groups = (group_donors(one, number, self._min_donors)[0] for one in (points, self.points))
        return [self._held_against(name, self._background.cohort.obs[name], *groups)]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def name_groups(group: np.ndarray) -> list[str]:
    """[donors] S1 for the largest group, and so on."""
    return [f"S{number + 1}" for number in group]


def judge(views: Sequence[TriedView], options: DonorSubtypesOptions) -> list[TriedView]:
    """Which views' groups are subtypes, and why the others' are not."""
    adjusted = adjust_all([one.p_value for one in views])
    made = []
    for view, p_value in zip(views, adjusted, strict=True):
        problem = _problem_of(view, p_value, options)
        reason = problem or (
            f"{view.n_groups} groups, fewer than one in {1 / p_value:.0f} cohorts of one group has "
            "the like, and stable"
        )
        made.append(replace(view, adjusted_p=p_value, is_supported=not problem, reason=reason))
    return made


def _problem_of(view: TriedView, p_value: float, options: DonorSubtypesOptions) -> str:
    """Why groups are no subtypes; '' where they are."""
    explained = next((one for one in view.explanations if explains(one)), None)
    if not view.n_groups:
        return "any division sets apart fewer donors than a subtype has"
    if p_value > options.max_p:
        with_batch = ""
        if explained is not None and explained.name == options.batch_key:
            with_batch = f"; before {explained.name!r} was taken off there were groups of it"
        return (
            f"{view.n_groups} groups are no better than those of donors of one group "
            f"(p {p_value:.3f}){with_batch}"
        )
    # A single type can make groups, and permuting types over donors keeps them.
    if view.name != COMPOSITION and view.permutation_p > options.max_p:
        return f"features go together no more than permuted ones (p {view.permutation_p:.3f})"
    if view.donors_stability is None or view.donors_stability < options.min_stability:
        return f"groups change where donors are left out (stability {view.donors_stability:.2f})"
    if view.cells_stability is None:
        return "cells could not be drawn anew; give the counts and latents of the cells"
    if view.cells_stability < options.min_stability:
        return (
            f"groups change where {view.redrawn} are drawn anew "
            f"(stability {view.cells_stability:.2f})"
        )
    if explained is not None:
        return f"{explained.name!r} explains the groups ({explained.share:.2f} of its variance)"
    return ""


def explains(one: Explanation) -> bool:
    """Whether groups are no more than those of something technical."""
    return one.p_value < _ASSOCIATED and (one.agreement < _GONE or one.share > _MOST)


def choose(views: Sequence[TriedView]) -> int | None:
    """The view whose groups are the subtypes: the least likely by chance, then the most stable."""
    kept = [number for number, view in enumerate(views) if view.is_supported]
    if not kept:
        return None

    def merit(number: int) -> tuple[float, float]:
        view = views[number]
        found = [one for one in (view.donors_stability, view.cells_stability) if one is not None]
        return -view.adjusted_p, min(found)

    return max(kept, key=merit)
