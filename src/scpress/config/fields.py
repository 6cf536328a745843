"""How a knob is declared and checked."""

import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from scpress.errors import InputError

# What numpy's and scanpy's generators take; torch's takes more.
MAX_SEED = 2**32 - 1


def option(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
    instead: str | None = None,
    words: tuple[str, ...] = (),
) -> Any:
    """One knob: its default, what it means (with its unit) and the values it may take.

    `instead` is what to do about a value that is not among the choices; `words` may stand where
    otherwise a number does.
    """
    return field(
        default=default,
        metadata={
            "help": text,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "instead": instead,
            "words": words,
        },
    )


def refused(instead: str) -> Any:
    """One name that is known from elsewhere and never taken, with what to do instead."""
    return option(None, "refused", choices=(), instead=instead)


class Options:
    """Base of the options of one verb; every subclass is a frozen dataclass that checks itself."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, item.name, value)
            if value == () and item.default:
                raise InputError(f"{item.name} is empty; give at least one value.")
            hint = hints[item.name]
            if not has_type(value, hint):
                _offer_instead(item, value)
                kind = hint.__name__ if isinstance(hint, type) else hint
                raise InputError(f"{item.name} must be of type {kind}; found {value!r}.")
            for one in value if isinstance(value, tuple) else (value,):
                _require_allowed(item, one)


def require_name(name: str, what: str) -> None:
    """Check that a name can be a key of an h5ad file.

    Raises
    ------
    InputError
        It cannot.
    """
    if not name or "/" in name or name == "_index" or any(ord(one) < 32 for one in name):
        raise InputError(
            f"{what} cannot be named {name!r}: the name becomes a key of an h5ad file, which is "
            "not empty, not '_index', and has neither '/' nor control characters. Rename it."
        )


def has_type(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, and all that is in it.

    A whole number is a float, too; true and false are no numbers.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(has_type(value, one) for one in arguments)
    if origin in (tuple, list):
        return isinstance(value, origin) and all(has_type(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(
            has_type(key, arguments[0]) and has_type(one, arguments[1])
            for key, one in value.items()
        )
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return isinstance(value, hint) and all(  # type: ignore[arg-type]
            has_type(getattr(value, item.name), hints[item.name])
            for item in dataclasses.fields(hint)
        )
    return isinstance(value, hint)


def _require_allowed(item: dataclasses.Field, value: Any) -> None:
    words = item.metadata["words"]
    if value is None or value in words:
        return
    if words and isinstance(value, str):
        raise InputError(f"{item.name} must be a number or {', '.join(words)}; found {value!r}.")
    low, high, choices = (item.metadata[key] for key in ("minimum", "maximum", "choices"))
    if choices is not None and value not in choices:
        _offer_instead(item, value)
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{item.name} must be one of {', '.join(choices)}; found {value!r}{hint}")
    if value == "":
        raise InputError(f"{item.name} is empty; give a value, or leave it out.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{item.name} must be a finite number; found {value}.")
    if low is not None and value < low:
        raise InputError(f"{item.name} must be at least {low}; found {value}.")
    if high is not None and value > high:
        raise InputError(f"{item.name} must be at most {high}; found {value}.")


def _offer_instead(item: dataclasses.Field, value: Any) -> None:
    if item.metadata["instead"]:
        raise InputError(f"{item.name} cannot be {value!r}: {item.metadata['instead']}")
