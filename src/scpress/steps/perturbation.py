"""How cells of donors respond to a treatment: whether donors agree, and what a new one would do."""

import logging
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse, stats

from scpress import slots
from scpress.config.cohort import ComparisonOptions
from scpress.config.response import PerturbationOptions
from scpress.donors.design import Comparison, compare
from scpress.donors.features import log_counts
from scpress.donors.performance import permutation_p
from scpress.donors.perturbation import (
    Pairs,
    Profiles,
    cosines,
    draw_donors,
    exchanges,
    in_latent,
    learn_latent,
    mean_cosine,
    score_held_out,
)
from scpress.errors import InputError
from scpress.tables.cohort import TYPE_CELLS, CohortRecord, cohort_record, latent_of, layer_of
from scpress.tables.response import (
    CELL_TYPE,
    DONOR,
    Perturbation,
    ResponseAgreement,
    ResponsePrediction,
    Treatment,
)

log = logging.getLogger("scpress")

GENES, COMPONENTS = "genes", "components"
# Exchanges through which predictions are made again.
_PREDICTED_AGAIN = 10


def perturbation(
    cohort: ad.AnnData, options: PerturbationOptions | None = None
) -> tuple[ad.AnnData, Perturbation]:
    """Compare the responses of donors' types, and predict those of donors held out.

    Parameters
    ----------
    cohort
        Of donors that are divided into control and treated (`scpress cohort --split-by`).

    Returns
    -------
    responses, record
        [donors and types, genes] `X` difference of log counts; `obs`: donor, cell_type;
        `obsm["X_{model}"]` that of the mean latents, where there are any.

    Raises
    ------
    InputError
        As `donors.design.compare`; donors with both conditions are fewer than two, a donor has a
        condition twice or in another batch, or no type is there in two donors.
    """
    options = options or PerturbationOptions()
    record = cohort_record(cohort)
    comparison = compare(
        cohort.obs,
        record,
        ComparisonOptions(
            condition_key=options.condition_key, levels=options.levels, batch_key=None
        ),
        min_donors=2,
    )
    places, names, left_out = _pair(comparison, cohort.obs_names)
    _require_one_batch(cohort.obs, places, names, options)
    rows, number, types, too_few = _pairs_of_types(cohort, record, places, names)
    left_out += too_few
    if left_out:
        log.info("perturbation: not compared: %s.", ", ".join(left_out))

    parts = [
        [log_counts(cohort.layers[layer_of(types[t])][side]) for side in places[d]]
        for d, t in zip(rows, number, strict=True)
    ]
    logs = [sparse.vstack([one[side] for one in parts], format="csr") for side in (0, 1)]
    profiles = Profiles(sparse.vstack(logs, format="csr"), rows, number)
    every = np.arange(len(rows))
    of_genes = profiles.take(every, profiles.choose_genes(every, options.n_features))
    views = {
        GENES: of_genes,
        COMPONENTS: in_latent(of_genes, learn_latent(of_genes, options.n_components)),
    }
    if record.model:
        views[latent_of(record.model)] = _latents(cohort, record, places, rows, number, types)
    found = ad.AnnData(
        sparse.csr_matrix(logs[1] - logs[0]).astype(np.float32),
        obs=pd.DataFrame(
            {DONOR: names[rows], CELL_TYPE: types[number]},
            index=[f"{names[d]}|{types[t]}" for d, t in zip(rows, number, strict=True)],
        ),
        var=cohort.var.copy(),
    )
    if record.model:
        key = latent_of(record.model)
        found.obsm[key] = views[key].response
    result = Perturbation(
        condition_key=str(options.condition_key),
        levels=comparison.levels,
        donors=tuple(map(str, names)),
        left_out=tuple(left_out),
        latent_model=record.model,
        agreement=tuple(
            one for view, of_view in views.items() for one in _agree(view, of_view, types, options)
        ),
        prediction=tuple(_predict(profiles, types, options)),
    )
    for one in result.agreement:
        log.info(
            "perturbation: %s, %s: cosine of %d donors %.2f, with other types %.2f, p %.3f.",
            one.cell_type,
            one.view,
            one.n_donors,
            one.cosine,
            one.other_types,
            one.p_value,
        )
    found.uns[slots.RECORD.name] = {"perturbation": Treatment.part_of(result).as_plain()}
    return found, result


# who is compared ----------------------------------------------------------------------------------


def _pair(comparison: Comparison, units: pd.Index) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """[donors, 2] Rows of control and treated, names of the donors, and those that lack one."""
    places, names, left_out = [], [], []
    for name in np.unique(comparison.donor):
        sides = []
        for case, level in enumerate(comparison.levels):
            inside = (comparison.donor == name) & (comparison.is_case == bool(case))
            sides.append(comparison.rows[inside])
            if inside.sum() > 1:
                first, second = units[sides[-1]][:2]
                raise InputError(
                    f"donor {str(name)!r} has {level!r} twice, {first!r} and {second!r}. Divide "
                    "donors by the treatment alone."
                )
            if not inside.any():
                left_out.append(f"{name} (no {level})")
        if all(map(len, sides)):
            places.append([int(one[0]) for one in sides])
            names.append(str(name))
    if len(names) < 2:
        raise InputError(
            f"donors with both {' and '.join(map(repr, comparison.levels))}: {len(names)}, and two "
            "are the fewest that can agree. Is the donor the same for both samples of a donor, and "
            "the cohort made with `--split-by`?"
        )
    return np.array(places), np.array(names, dtype=object), left_out


def _require_one_batch(
    obs: pd.DataFrame, places: np.ndarray, names: np.ndarray, options: PerturbationOptions
) -> None:
    key = options.batch_key
    if key is None or key not in obs:
        return
    batch = obs[key].astype(str).to_numpy()
    for name, (control, treated) in zip(names, places, strict=True):
        if batch[control] != batch[treated]:
            raise InputError(
                f"control and treated of donor {str(name)!r} are of {key!r} {batch[control]!r} and "
                f"{batch[treated]!r}: nothing tells the batch from the treatment. Set batch_key to "
                "null if this is no batch."
            )


def _pairs_of_types(
    cohort: ad.AnnData, record: CohortRecord, places: np.ndarray, names: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Donor and type of every pair of profiles, the types, and what has too few cells."""
    n_cells = cohort.obsm[TYPE_CELLS].to_numpy()
    is_there = (n_cells[places] >= record.min_type_cells).all(axis=1)
    kept, left_out = [], []
    for number, name in enumerate(record.types):
        if name == slots.UNASSIGNED:
            continue
        if is_there[:, number].sum() < 2:
            left_out.append(f"{name} (in {is_there[:, number].sum()} donors)")
            continue
        kept.append(number)
        left_out += [f"{one}: {name}" for one in names[~is_there[:, number]]]
    if not kept:
        raise InputError(
            f"no type has {record.min_type_cells} control and treated cells in each of two donors: "
            f"{', '.join(left_out):.200}. Give more cells, or lower `min_type_cells` of the cohort."
        )
    rows, columns = np.nonzero(is_there[:, kept])
    return rows, columns, np.array(record.types, dtype=object)[kept], left_out


def _latents(
    cohort: ad.AnnData,
    record: CohortRecord,
    places: np.ndarray,
    rows: np.ndarray,
    number: np.ndarray,
    types: np.ndarray,
) -> Pairs:
    """Mean latents of the pairs."""
    points = [np.asarray(cohort.obsm[latent_of(record.model, name)]) for name in types]
    control, treated = (
        np.array([points[t][places[d, side]] for d, t in zip(rows, number, strict=True)])
        for side in (0, 1)
    )
    return Pairs(control, treated, rows, number)


# what is measured ---------------------------------------------------------------------------------


def _agree(
    view: str, pairs: Pairs, types: np.ndarray, options: PerturbationOptions
) -> list[ResponseAgreement]:
    """Cosines between donors' responses, type by type."""
    response = pairs.response
    found = []
    for number, name in enumerate(types):
        rng = np.random.default_rng([options.seed, number])
        rows = np.flatnonzero(pairs.cell_type == number)
        n = len(rows)
        cosine = cosines(response[rows], response[rows])
        mean = float(mean_cosine(cosine, np.ones((1, n)))[0])
        signs = exchanges(n, options.n_permutations, rng)
        permuted = mean_cosine(cosine, signs)
        low, high = -1.0, 1.0
        if n > 2:
            low, high = np.quantile(mean_cosine(cosine, draw_donors(n, rng)), [0.025, 0.975])
        others = (pairs.cell_type != number) & (pairs.donor != pairs.donor[rows][:, None])
        elsewhere = cosines(response[rows], response)[others]
        found.append(
            ResponseAgreement(
                cell_type=str(name),
                view=view,
                n_donors=n,
                size=float(np.linalg.norm(response[rows], axis=1).mean()),
                cosine=mean,
                cosine_low=float(low),
                cosine_high=float(high),
                other_types=float(elsewhere.mean()) if len(elsewhere) else 0.0,
                permuted_cosine=float(permuted.mean()),
                p_value=permutation_p(mean, permuted),
                least_p=1 / (1 + len(permuted)),
                fdr=1.0,
            )
        )
    fdr = stats.false_discovery_control([one.p_value for one in found])
    return [replace(one, fdr=float(least)) for one, least in zip(found, fdr, strict=True)]


def _predict(
    profiles: Profiles, types: np.ndarray, options: PerturbationOptions
) -> list[ResponsePrediction]:
    """How near responses of donors held out are predicted, of all types together and of each."""
    words = {"n_features": options.n_features, "n_components": options.n_components}
    scores = score_held_out(profiles, **words)
    rng = np.random.default_rng([options.seed, len(types)])
    signs = exchanges(int(profiles.donor.max()) + 1, _PREDICTED_AGAIN, rng)
    again = [score_held_out(profiles.exchange(one < 0), **words) for one in signs]
    found = []
    for (model, view), whole in scores.items():
        for number, name in [(None, ""), *enumerate(types)]:
            one, *permuted = (
                made if number is None else made.of_type(number)
                for made in (whole, *(tried[model, view] for tried in again))
            )
            if not len(one.donor):
                continue
            low, high = one.interval(rng)
            found.append(
                ResponsePrediction(
                    cell_type=str(name),
                    model=model,
                    view=view,
                    n_donors=len(set(one.donor)),
                    explained=one.explained(),
                    explained_low=low,
                    explained_high=high,
                    cosine=float(one.cosine.mean()),
                    permuted_explained=float(np.mean([tried.explained() for tried in permuted])),
                )
            )
    return found
