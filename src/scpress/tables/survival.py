"""How well donors' features tell who lives longer, on donors held out."""

from dataclasses import dataclass

from scpress.tables.records import NotNegative, Record, Share


@dataclass(frozen=True, kw_only=True)
class Curve(Record):
    """Kaplan and Meier's curve of one half of the donors."""

    columns = (("time", "alive"),)

    name: str
    n_donors: int
    n_events: int
    time: tuple[NotNegative, ...]
    alive: tuple[Share, ...]


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
