"""Knobs as command-line flags and back, and as a JSON schema."""

import argparse
import dataclasses
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scpress.config.dca import DcaOptions, translate_dca
from scpress.config.fields import Options
from scpress.config.options import TrainOptions
from scpress.config.scvi import ScviOptions, translate_scvi
from scpress.errors import InputError
from scpress.settings import DEVICES


def _value_type(annotation: Any) -> tuple[type, bool, bool]:
    """(type of one value, is a list, may be null) of a field's annotation."""
    optional = False
    if isinstance(annotation, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        annotation, optional = inner[0], True
    if typing.get_origin(annotation) is tuple:
        return typing.get_args(annotation)[0], True, optional
    return annotation, False, optional


def add_flags(parser: argparse._ActionsContainer, options: type[Options]) -> None:
    """Add one long flag per field of the options to the parser."""
    hints = typing.get_type_hints(options)
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        one, is_list, optional = _value_type(hints[item.name])
        flag = "--" + item.name.replace("_", "-")
        shown = "from the preset" if optional and options is TrainOptions else item.default
        text = f"{item.metadata['help']} [{'none' if shown is None else shown}]".replace("%", "%%")
        if item.metadata["choices"] == ():
            # A name that is always refused, with what to use instead, and in no list of names.
            parser.add_argument(flag, nargs="?", const=True, help=argparse.SUPPRESS)
        elif one is bool:
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=item.default, help=text
            )
        else:
            choices = item.metadata["choices"]
            parser.add_argument(
                flag,
                type=_or_null(one, item.metadata["words"]) if optional else one,
                default=item.default,
                nargs="*" if is_list else None,
                metavar="{" + ",".join(choices) + "}" if choices else one.__name__.upper(),
                help=text,
            )


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Add where a verb trains, and where what it has not finished is kept."""
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to train [auto]")
    parser.add_argument(
        "--checkpoints",
        type=Path,
        help="folder of unfinished trainings [checkpoints beside the output]",
    )


def checkpoints_folder(arguments: argparse.Namespace) -> Path:
    """Folder that the flags name, or the one beside the output."""
    return arguments.checkpoints or arguments.output.parent / "checkpoints"


def _or_null(one: type, words: tuple[str, ...]) -> Callable[[str], Any]:
    # `null`, as the configuration spells it, is how a flag says "none" against a default.
    def parse(text: str) -> Any:
        return None if text == "null" else text if text in words else one(text)

    parse.__name__ = one.__name__  # argparse names the type in its message
    return parse


def options_from(arguments: argparse.Namespace, options: type[Options]) -> Any:
    """The options of a verb from parsed flags.

    Raises
    ------
    InputError
        A value outside its limits.
    """
    values = {}
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(arguments, item.name)
        values[item.name] = tuple(value) if isinstance(value, list) else value
    return options(**values)


def options_from_json(text: str, options: type[Options]) -> Any:
    """The options of a verb from a JSON object; what it does not name is at its default.

    Raises
    ------
    InputError
        No JSON object, an option that is not known, or a value outside its limits.
    """
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise InputError(f'options are a JSON object, {{"name": value}}; found {text!r:.60}.')
    known = [item.name for item in dataclasses.fields(options)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise InputError(f"unknown option {name!r}; known: {', '.join(known)}.")
    return options(**values)


def add_foreign_flags(parser: argparse.ArgumentParser) -> None:
    """Add DCA's and scvi-tools' names for options of a training."""
    add_flags(parser.add_argument_group("DCA's names, with preset dca"), DcaOptions)
    add_flags(parser.add_argument_group("scvi-tools' names, with preset scvi"), ScviOptions)


def translate_foreign(
    options: TrainOptions, arguments: argparse.Namespace, *, n_cells: int
) -> TrainOptions:
    """The options of a training with what was said in those names.

    Raises
    ------
    InputError
        As `translate_dca` and `translate_scvi`.
    """
    options = translate_dca(options, options_from(arguments, DcaOptions), n_cells=n_cells)
    return translate_scvi(options, options_from(arguments, ScviOptions), n_cells=n_cells)


def options_schema(options: type[Options]) -> dict[str, Any]:
    """JSON schema of one verb's section of the configuration."""
    hints = typing.get_type_hints(options)
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    properties = {}
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        one, is_list, optional = _value_type(hints[item.name])
        if item.metadata["choices"] == ():
            properties[item.name] = {"enum": [None], "instead": item.metadata["instead"]}
            continue
        schema: dict[str, Any] = {"type": names[one]}
        for key in ("minimum", "maximum"):
            if item.metadata[key] is not None:
                schema[key] = item.metadata[key]
        if item.metadata["choices"]:
            schema["enum"] = list(item.metadata["choices"])
            if item.metadata["instead"]:
                schema["instead"] = item.metadata["instead"]
        elif one is str:
            schema["minLength"] = 1
        if is_list:
            schema = {"type": "array", "items": schema}
            if item.default:
                schema["minItems"] = 1
        if words := item.metadata["words"]:
            schema |= {"type": [schema["type"], "string"], "pattern": f"^({'|'.join(words)})$"}
            schema["words"] = list(words)
        if optional:
            kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            schema["type"] = [*kinds, "null"]
            if "enum" in schema:
                schema["enum"].append(None)
        default = item.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
        schema["description"] = item.metadata["help"]
        properties[item.name] = schema
    return {
        "type": "object",
        "description": (options.__doc__ or "").splitlines()[0],
        "properties": properties,
        "additionalProperties": False,
    }
