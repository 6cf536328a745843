"""The configuration: its schema, the shipped file and the options say the same."""

import jsonschema
import pytest
import yaml
from builders import ROOT

from scpress.config.options import VERBS
from scpress.config.schema import config_schema, schema_text
from scpress.steps.doctor import load_module

SHIPPED = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_the_committed_schema_is_current():
    committed = (ROOT / "workflow/schemas/config.schema.yaml").read_text()
    assert committed == schema_text(), "run `make schema`"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(config_schema())


def test_the_shipped_configuration_has_every_key_at_its_default():
    properties = config_schema()["properties"]
    assert set(SHIPPED) == set(properties)
    for key, schema in properties.items():
        if key in VERBS:
            known = schema["properties"].items()
            # DCA's names have no defaults: they are there for those who bring them.
            defaults = {name: one["default"] for name, one in known if "preset" not in one}
            assert SHIPPED[key] == defaults, key
        else:
            assert SHIPPED[key] == schema["default"], key


def test_every_key_of_the_shipped_configuration_has_a_comment():
    lines = (ROOT / "config/config.yaml").read_text().splitlines()
    # Keys that belong together share the comment above the first of them.
    shared = {"max_runtime", "max_counts", "max_genes", "plateau_factor", "subsample_fraction"}
    shared |= {"umap_min_dist", "max_fdr", "min_subtype_cells", "min_log2_fold_change"}
    for above, line in zip(["", *lines], lines, strict=False):
        key = line.split(":")[0].strip()
        if line.strip() and not line.strip().startswith("#") and key not in shared:
            assert above.strip().startswith("#") or " #" in line, line


@pytest.mark.parametrize(
    "change",
    [
        {"trian": {}},
        {"train": {"max_step": 1}},
        {"train": {"max_steps": "many"}},
        {"train": {"dropout_rate": 2}},
        {"models": {"a": {"n_latnt": 3}}},
        {"models": {"umap": {}}},
        {"models": {"vae_sd": {}}},
        {"models": {"a/b": {}}},
        {"models": {"1a": {}}},
        {"models": {"a": {"n_latent": 0}}},
        {"seeds": []},
        {"seeds": [-1]},
        {"seeds": [2**32]},
        {"qc": {"seed": 2**32}},
        {"results": ""},
        {"ingest": {"layer": ""}},
        {"seeds": [1, 1]},
        {"max_mem_mb": 999},
        {"device": "gpu"},
        {"threads": 0},
        {"threads": {"train": 0}},
        {"threads": {"trian": 2}},
        {"threads": {"generate": 2}},
    ],
)
def test_the_schema_refuses(change):
    jsonschema.validate(SHIPPED, config_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SHIPPED | change, config_schema())


@pytest.mark.parametrize(
    "change",
    [
        {"models": {"a": None}},
        {"models": {"A_1": {"n_latent": 3, "batch_key": None}}},
        {"models": {"my_umap": {}}},
        {"seeds": [0]},
        {"seeds": [2**32 - 1]},
        {"threads": 1},
        {"threads": {"train": 4}},
        {"threads": {"default": 2, "score": 4}},
        {"max_mem_mb": 1000},
        {"train": {}},
    ],
)
def test_the_schema_accepts(change):
    jsonschema.validate(SHIPPED | change, config_schema())


def test_a_model_states_only_what_differs():
    """A default inside the overrides would be filled in, and hide the train section's value."""
    properties = config_schema()["properties"]
    overrides = properties["models"]["additionalProperties"]["properties"]
    assert set(overrides) == set(properties["train"]["properties"])
    for name, one in overrides.items():
        assert one == {
            key: value
            for key, value in properties["train"]["properties"][name].items()
            if key != "default"
        }


def test_threads_are_named_by_the_rules_of_the_workflow():
    costs = load_module(ROOT / "workflow/prediction.py").COSTS
    assert set(config_schema()["properties"]["threads"]["properties"]) == {"default", *costs}


def test_verbs_that_no_target_runs_have_no_section():
    assert set(VERBS) - set(config_schema()["properties"]) == {"generate", "simulate"}


def test_what_is_written_is_yaml_of_the_schema_under_a_line_on_its_origin():
    text = schema_text()
    assert text.startswith("# Written by `make schema`")
    assert yaml.safe_load(text) == config_schema()
