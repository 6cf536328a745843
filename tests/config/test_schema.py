"""The configuration: its schema, the shipped file and the options say the same."""

import jsonschema
import pytest
import yaml
from builders import ROOT

from scpress.config.options import VERBS
from scpress.config.schema import config_schema, schema_text

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
            defaults = {name: one["default"] for name, one in schema["properties"].items()}
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
        {"seeds": []},
        {"threads": 0},
    ],
)
def test_the_schema_refuses(change):
    jsonschema.validate(SHIPPED, config_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SHIPPED | change, config_schema())
