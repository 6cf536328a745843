"""What a configuration may say: the JSON schema of config/config.yaml, written from the options."""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from scpress.config import dca, scvi
from scpress.config.fields import MAX_SEED, Options
from scpress.config.flags import options_schema
from scpress.config.options import VERBS
from scpress.settings import DEVICES

# Verbs that no target of the workflow runs by itself; `denoise` is a rule on request.
_NOT_IN_WORKFLOW = ("generate", "simulate")
# Rules of the workflow whose verbs have no options of their own.
_WITHOUT_SECTION = ("ensemble", "likelihood", "rank", "score", "trial")

HEADER = "# Written by `make schema` from src/scpress/config; edit options.py or schema.py there.\n"

_MODEL_NAME = "^[A-Za-z][A-Za-z0-9_]*$"

# The models every comparison starts from: variational, deterministic and linear.
_MODELS = {
    "zinb_vae": {"preset": "scvi"},
    "zinb_ae": {"preset": "dca"},
    "pca": {"preset": "pca"},
}
# What was found to matter on 1,000 cells (docs/choices.md).
_SEARCH_AXES = {
    "hidden": [[64], [128]],
    "gene_mask": [0, 0.5],
    "epsilon": [0.03, 0.3],
    "decoder": ["mlp", "linear"],
}


def config_schema() -> dict[str, Any]:
    """JSON schema of the configuration: the workflow's own keys, then one section per verb."""
    sections = {
        verb: options_schema(options) | {"default": {}}
        for verb, options in VERBS.items()
        if verb not in _NOT_IN_WORKFLOW
    }
    sections["search"]["properties"] |= _search_keys(sections["train"]["properties"])
    for preset, names, means in (
        ("dca", dca.DcaOptions, dca.MEANS),
        ("scvi", scvi.ScviOptions, scvi.MEANS),
    ):
        sections["train"]["properties"] |= _foreign_names(preset, names, means)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of scpress",
        "type": "object",
        "properties": _workflow_keys(sections) | sections,
        "additionalProperties": False,
    }


def _search_keys(train: dict[str, Any]) -> dict[str, Any]:
    """Keys of a search that are no flags as they stand: its models, and the axes as a mapping."""
    one_value = {
        name: {key: value for key, value in schema.items() if key not in ("default", "description")}
        for name, schema in train.items()
    }
    axes = {
        # null is left out, so that a second file can drop one.
        name: {"type": ["array", "null"], "items": schema, "minItems": 1}
        for name, schema in one_value.items()
    }
    return {
        "axes": {
            "type": "object",
            "description": "options of training, and the values of each that are tried",
            "default": _SEARCH_AXES,
            "properties": axes,
            "additionalProperties": False,
        },
        "models": {
            "type": ["array", "null"],
            "description": "models whose settings are searched for",
            "items": {"type": "string"},
            "uniqueItems": True,
            "default": None,
        },
    }


def _foreign_names(
    preset: str, names: type[Options], means: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Names of another package, without defaults: a section has those alone that were given."""
    return {
        name: {key: value for key, value in schema.items() if key != "default"}
        | {"preset": preset, "means": list(means.get(name, ()))}
        for name, schema in options_schema(names)["properties"].items()
    }


def _workflow_keys(sections: dict[str, Any]) -> dict[str, Any]:
    train = sections["train"]
    # A default inside the overrides would be filled in and hide the train section.
    overrides = {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in train["properties"].items()
    }
    return {
        "samples": _key("string", "config/samples.tsv", "sample sheet, TSV", minLength=1),
        "results": _key("string", "results", "folder of everything that is written", minLength=1),
        "models": {
            "type": "object",
            "description": "models to train: name -> options that differ from the train section",
            "default": _MODELS,
            "propertyNames": {
                "pattern": _MODEL_NAME,
                # Their obsm keys would be those of the layout and of another model's deviations.
                "not": {"pattern": "^umap$|_sd$"},
                "description": "letters, digits and '_' only, a letter first, not 'umap' and not "
                "ending in '_sd', as it becomes part of file names and keys",
            },
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": overrides,
                "additionalProperties": False,
            },
        },
        "primary_model": _key(
            "string",
            "auto",
            "model that is clustered and annotated; auto: the one that `choose` finds best",
        ),
        "seeds": {
            "type": "array",
            "description": "seeds each model is trained with",
            "items": {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
            "minItems": 1,
            "uniqueItems": True,
            "default": [0, 1],
        },
        "threads": {
            "type": ["integer", "object"],
            "description": "threads of every verb, or of some of them by name and of the others as "
            "'default' says",
            "default": 1,
            "minimum": 1,
            "properties": {
                "default": {"type": "integer", "minimum": 1, "default": 1},
                **{
                    rule: {"type": "integer", "minimum": 1}
                    for rule in sorted({*sections, *_WITHOUT_SECTION})
                },
            },
            "additionalProperties": False,
        },
        "device": _key("string", "auto", "where models are trained", enum=list(DEVICES)),
        "stage_inputs": _key(
            "boolean", False, "copy counts to the job's temporary directory before reading them"
        ),
        "max_mem_mb": _key("integer", 256_000, "most memory a job asks for, MB", minimum=1000),
        "max_runtime": _key("integer", 1440, "longest time a job asks for, minutes", minimum=1),
    }


def _key(kind: str, default: Any, description: str, **limits: Any) -> dict[str, Any]:
    return {"type": kind, "default": default, "description": description, **limits}


def schema_text() -> str:
    """Format the schema as the YAML file that is committed."""
    return HEADER + yaml.safe_dump(config_schema(), sort_keys=False, width=100)


if __name__ == "__main__":
    sys.stdout.write(schema_text())
