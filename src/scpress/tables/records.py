"""How a table between two steps becomes plain values for JSON or h5ad, and a table again."""

import contextlib
import dataclasses
import functools
import math
import re
import sys
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from scpress.errors import InputError

_MOST = sys.float_info.max


@dataclasses.dataclass(frozen=True)
class Range:
    """What a number of a field can be; NaN stands for none where a field may lack one."""

    low: float = -_MOST
    high: float = _MOST
    may_lack: bool = False

    def holds(self, value: float) -> bool:
        """Whether the number is one of these."""
        return self.low <= value <= self.high or (self.may_lack and math.isnan(value))


# Without one, whole numbers are not negative, as nearly all of them count something.
_DEFAULTS = {int: Range(low=0), float: Range()}
AnyInt = Annotated[int, Range()]
NotNegative = Annotated[float, Range(low=0)]
Positive = Annotated[float, Range(low=sys.float_info.min)]
Share = Annotated[float, Range(0, 1)]
Agreement = Annotated[float, Range(-1, 1)]
MayLack = Annotated[float, Range(low=0, may_lack=True)]


class Record:
    """Base of the tables: frozen dataclasses, made and read by field name on both sides.

    A record within a record that is None is an empty mapping. What a file holds beyond the fields
    is passed over: it is of a newer scpress.
    """

    # Whether fields that are None are left out.
    omits_none: ClassVar[bool] = False
    # Groups of fields that are columns of one table, and so of one length.
    columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    made_by: ClassVar[str] = "its step"

    @classmethod
    def refusal(cls, problem: str) -> InputError:
        """The error of a table that cannot be read, with what to do about it."""
        return InputError(
            f"{problem}. Is it damaged, or of another version of scpress? Then run {cls.made_by} "
            "again."
        )

    def as_plain(self) -> dict[str, Any]:
        """Fields as plain values, sorted: the same table is the same file."""
        values: dict[str, Any] = {}
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if value is None and _is_record(_of_value(hints[item.name])):
                value = {}
            if value is None and self.omits_none:
                continue
            values[item.name] = _plain_of(value)
        return dict(sorted(values.items()))

    @classmethod
    def part_of(cls, wider: "Record") -> Self:
        """The fields of this table out of one that has them and more."""
        return cls(**{f.name: getattr(wider, f.name) for f in dataclasses.fields(cls)})  # type: ignore[arg-type]

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read what `as_plain` gave, from JSON or from the `uns` of an h5ad file.

        Parameters
        ----------
        where
            What the values are of, for the message.

        Raises
        ------
        InputError
            A field is missing that has no default, a value is not of its field's type or range,
            columns are of unlike lengths, or the values are no mapping.
        """
        if not isinstance(values, Mapping):
            raise cls.refusal(
                f"{where} is not a table of named values; found {plain(values)!r:.60}"
            )
        hints = _hints(cls)  # type: ignore[arg-type]
        found = {}
        for item in dataclasses.fields(cls):  # type: ignore[arg-type]
            if item.name in values:
                held = plain(values[item.name])
                found[item.name] = _read(hints[item.name], held, item.name, where)
            elif not _has_default(item, hints[item.name]):
                has = ", ".join(map(str, values)) or "nothing"
                raise cls.refusal(f"{where} lacks {item.name!r}; it has {has:.200}")
        for group in cls.columns:
            lengths = {name: len(found[name]) for name in group if found.get(name) is not None}
            if len(set(lengths.values())) > 1:
                raise cls.refusal(f"{where} has columns of unlike lengths: {lengths}")
        return cls(**found)

    @classmethod
    def from_texts(cls, values: Mapping[str, str], where: str) -> Self:
        """Read the fields of one row of a table of text.

        Raises
        ------
        InputError
            As `from_plain`.
        """
        hints = _hints(cls)  # type: ignore[arg-type]
        return cls.from_plain(
            {name: _number_in(text, hints.get(name, str)) for name, text in values.items()}, where
        )


def plain(value: Any) -> Any:
    """Numpy values, as an h5ad file gives them back, as Python's own."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@functools.cache
def _hints(cls: type[Record]) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _number_in(text: str, hint: Any) -> Any:
    """The number that a text is, where the field wants one; else the text, which is none."""
    if hint is str or not re.fullmatch(r"[-+.0-9eE]+", text):
        return text
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _plain_of(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_plain()
    if isinstance(value, Mapping):
        return {key: _plain_of(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain_of(item) for item in value]
    return value


def _of_value(hint: Any) -> Any:
    """What a field holds where it is not None."""
    if type(None) in typing.get_args(hint):
        return next(one for one in typing.get_args(hint) if one is not type(None))
    return hint


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Record)


def _has_default(item: dataclasses.Field, hint: Any) -> bool:
    # A field that may not be None has none, though the class it is inherited from may give it one.
    if item.default is None:
        return type(None) in typing.get_args(hint)
    return item.default is not item.default_factory  # both are MISSING where there is none


def _read(hint: Any, value: Any, name: str, where: str) -> Any:
    """One value as the field's annotation says."""
    kind = _of_value(hint)
    # An empty mapping is h5ad's word for no record.
    if kind is not hint and (value is None or (value == {} and _is_record(kind))):
        return None
    if _is_record(kind):
        return kind.from_plain(value, f"{name!r} in {where}")
    arguments, origin = typing.get_args(kind), typing.get_origin(kind)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], one, name, where) for one in value)
    if origin is dict and isinstance(value, Mapping):
        return {
            str(key): _read(arguments[1], one, f"{name}.{key}", where) for key, one in value.items()
        }
    if origin in (tuple, dict) or not _fits(kind, value):
        raise Record.refusal(f"{name!r} in {where} is {value!r:.60}, which it cannot be")
    return value


def _fits(kind: Any, value: Any) -> bool:
    if kind is Any:  # an option: a value, or a list of them
        if isinstance(value, list):
            return all(_fits(Any, one) for one in value)
        is_finite = not isinstance(value, float) or math.isfinite(value)
        return is_finite and not isinstance(value, dict)
    allowed = _DEFAULTS.get(kind)
    if typing.get_origin(kind) is Annotated:
        kind, allowed = typing.get_args(kind)
    if allowed is None:
        return isinstance(value, kind)
    is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    return is_number and allowed.holds(value)
