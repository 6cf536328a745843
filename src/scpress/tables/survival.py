"""How well donors' features tell who lives longer, on donors held out."""

from dataclasses import dataclass

from scpress.tables.records import NotNegative, Record, Share


@dataclass(frozen=True, kw_only=True)
class Curve(Record):
    """Kaplan and Meier's curve of one half of the donors.

    Attributes
    ----------
    time, n_at_risk, alive, low, high
        [events] When donors died, how many lived until then, the share that lives on and its 95 %
        interval.
    censored
        Times at which donors were last seen alive.
    """

    columns = (("time", "n_at_risk", "alive", "low", "high"),)

    name: str
    n_donors: int
    n_events: int
    time: tuple[NotNegative, ...]
    n_at_risk: tuple[int, ...]
    alive: tuple[Share, ...]
    low: tuple[Share, ...]
    high: tuple[Share, ...]
    censored: tuple[NotNegative, ...]


@dataclass(frozen=True, kw_only=True)
class Hazard(Record):
    """What a Cox regression says of the predicted risk: its hazard ratio's logarithm and error."""

    name: str
    log_ratio: float
    error: NotNegative
    p_value: Share


@dataclass(frozen=True, kw_only=True)
class Survival(Record):
    """The record of `survival.json`.

    Attributes
    ----------
    concordance, concordance_low, concordance_high
        Harrell's C of donors of one fold by models of the others, 0.5 being chance; 95 % interval.
    permuted
        Its mean where times are permuted.
    log_rank_p
        Of the halves of higher and lower risk, each donor's by a model that had not seen it.
    hazards
        Of the higher half against the lower, and of one standard deviation of the risk; none where
        one side has no event.
    """

    made_by = "`scpress survival`"

    time_key: str
    event_key: str
    n_donors: int
    n_events: int
    n_folds: int
    concordance: Share
    concordance_low: Share
    concordance_high: Share
    p_value: Share
    permuted: Share
    log_rank_chi2: NotNegative
    log_rank_p: Share
    curves: tuple[Curve, ...]
    hazards: tuple[Hazard, ...]
