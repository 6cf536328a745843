"""How a table between two steps becomes plain values for JSON or h5ad, and a table again."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from scpress.errors import InputError


class Record:
    """Base of the tables: frozen dataclasses, made and read by field name on both sides.

    A record within a record that is None is an empty mapping, and what is missing where it may be
    None is None: h5ad has no word for it. What a file holds beyond the fields is passed over: it is
    of a newer scpress.
    """

    # Whether fields that are None are left out.
    omits_none: ClassVar[bool] = False

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
            A field is missing that has no default, or the values are no mapping.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{where} is not a table of named values; found {values!r:.60}.")
        hints = typing.get_type_hints(cls)
        found = {}
        for item in dataclasses.fields(cls):  # type: ignore[arg-type]
            if item.name in values:
                found[item.name] = _read(hints[item.name], values[item.name], where)
            elif type(None) in typing.get_args(hints[item.name]):
                found[item.name] = None  # h5ad has no word for it
            elif (
                item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
            ):
                has = ", ".join(map(str, values)) or "nothing"
                raise InputError(
                    f"{where} lacks {item.name!r}; it has {has}. "
                    "Was it written by another version of scpress? Run its step again."
                )
        return cls(**found)


def plain(value: Any) -> Any:
    """Numpy values, as an h5ad file gives them back, as Python's own."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


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
    if isinstance(hint, types.UnionType):
        return next(one for one in typing.get_args(hint) if one is not type(None))
    return hint


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Record)


def _read(hint: Any, value: Any, where: str) -> Any:
    """One value as the field's annotation says."""
    value = plain(value)
    kind = _of_value(hint)
    # An empty mapping is h5ad's word for no record.
    if kind is not hint and (value is None or (value == {} and _is_record(kind))):
        return None
    hint = kind
    if _is_record(hint):
        return hint.from_plain(value, where)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return tuple(_read(arguments[0], one, where) for one in value)
    if typing.get_origin(hint) is dict:
        return {str(key): _read(arguments[1], one, where) for key, one in value.items()}
    return value
