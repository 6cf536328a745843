"""Configuration and sample sheet: defaults, and every mistake in one line that helps."""

import copy
import csv
import io
import re

import pytest
import yaml
from builders import ROOT
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from scpress.config.options import VERBS
from scpress.steps.doctor import load_module
from scpress.steps.search import N_LATENT_FACTORS

inputs = load_module(ROOT / "workflow/inputs.py")
CONFIG_SCHEMA, SAMPLE_SCHEMA = (
    inputs.read_schema(ROOT / f"workflow/schemas/{name}.schema.yaml")
    for name in ("config", "samples")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one raw file, which nothing here reads, and room for a sheet."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "raw.h5ad").touch()
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def read(sheet, **options):
    """(samples, problems) of a sheet in the current folder."""
    with open("samples.tsv", "wb") as file:
        file.write(sheet if isinstance(sheet, bytes) else sheet.encode())
    return inputs.read_samples("samples.tsv", SAMPLE_SCHEMA, **options)


def is_one_line(problem):
    return len(problem.splitlines()) == 1 and problem.endswith((".", "?"))


# the configuration --------------------------------------------------------------------------------


def test_an_empty_configuration_becomes_the_defaults_of_every_option():
    config = {}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    assert config["samples"] == "config/samples.tsv"
    assert set(config["models"]) == {"zinb_vae", "zinb_ae", "pca"}
    for verb in set(VERBS) & set(config):
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in config[verb].items()}
        if verb == "search":
            # Not as a flag has them: axes of no model, and those that were found to matter.
            assert given["models"] is None
            flags = {k: v for k, v in given.items() if k != "models"} | {"axes": ()}
        else:
            flags = given
        assert VERBS[verb](**flags) == VERBS[verb](), verb
        known = CONFIG_SCHEMA["properties"][verb]["properties"].values()
        assert len(given) == len([one for one in known if "preset" not in one])
    # Two runs of one process do not share what one of them changes.
    config["seeds"].append(9)
    again = {}
    inputs.complete_config(again, CONFIG_SCHEMA)
    assert 9 not in again["seeds"]


def test_what_is_given_stays_and_the_rest_of_its_section_is_filled():
    config = {"train": {"max_steps": 5}, "models": {"vae": {}}, "primary_model": "vae"}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    assert config["train"]["max_steps"] == 5
    assert config["train"]["preset"] == "scvi"
    # A default among a model's own options would hide the train section.
    assert config["models"] == {"vae": {}}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"trian": {}}, "unknown key 'trian' in the configuration; did you mean 'train'?"),
        ({"xyz": {}}, "unknown key 'xyz' in the configuration; known: samples, results, "),
        ({"train": {"max_step": 1}}, "unknown key 'max_step' in 'train' in .* mean 'max_steps'?"),
        ({"models": {"a": {"n_latnt": 1}}}, "'n_latnt' in 'models.a' in .* mean 'n_latent'?"),
        ({"train": {"max_steps": "x"}}, "'train.max_steps' .* of type integer; found 'x'"),
        (
            {"train": {"learning_rate": "1e-3"}},
            "found '1e-3'. YAML reads 1e-3 as text: write 0.001",
        ),
        # As --config a={b: 4} gives it.
        (
            {"donor_subtypes": {"max_subtypes": "4"}},
            "found '4'. It is text: write 4 without quotes. .* with --configfile",
        ),
        ({"qc": {"doublets": "true"}}, "found 'true'. It is text: write true without quotes"),
        ({"train": {"preset": "scvii"}}, "one of scvi, .*; found 'scvii'; did you mean 'scvi'?"),
        ({"train": {"dropout_rate": 2}}, "'train.dropout_rate' .* 2 is greater than the maximum"),
        ({"qc": None}, "'qc' in the configuration must be of type mapping; found None"),
        ({"seeds": []}, "'seeds' in the configuration is empty"),
        ({"seeds": [2**32]}, "4294967296 is greater than the maximum of 4294967295"),
        ({"results": ""}, "'results' in the configuration is empty; give a value"),
        ({"results": "-r"}, "'results' in the configuration is '-r'; what begins with '-' is read"),
        ({"results": "r{x}"}, "'results' in .* is 'r{x}'; Snakemake reads braces in a path"),
        ({"report": {"title": "a\0b"}}, "'report.title' in .* which has a control character"),
        (
            {"models": {"vae": {"batch_key": "-x"}}},
            "'models.vae.batch_key' in the configuration is '-x'; what begins with '-'",
        ),
        (
            {"train": {"continuous_covariates": ["age", "-x"]}},
            "'train.continuous_covariates' in the configuration is '-x'; what begins",
        ),
        ({"models": {}}, "'models' in the configuration is empty"),
        ({"models": {"vae": None, "pca": None}}, "'models' in the configuration is empty"),
        ({"models": {"a b": {}}}, "'a b' is not a possible name"),
        ({"models": {"umap": {}}}, "'umap' is not a possible name"),
        ({"models": {"auto": {}}}, "a model of the configuration is named 'auto', which means"),
        (
            {"thin": {"folds": 0}, "models": {"vae": {"likelihood": "auto"}}},
            "the likelihood of model 'vae' is auto, which needs folds; set folds in 'thin'",
        ),
        (
            {"thin": {"folds": 0}, "learning_curve": {"halvings": 3}},
            "'learning_curve' needs folds; set folds in 'thin', or halvings to 0.",
        ),
        ({"train": {"n_latent": "atuo"}}, "'train.n_latent' in .* a number or auto; found 'atuo'."),
        (
            {"thin": {"folds": 0}, "models": {"vae": {"n_latent": "auto"}}},
            "the settings of model 'vae' are searched for, or its n_latent is auto, which needs",
        ),
        ({"search": {"models": ["vea"]}}, "'search.models' has 'vea', .* did you mean 'vae'?"),
        ({"search": {"axes": {"hiden": [1]}}}, "'hiden' in 'search.axes' in .* mean 'hidden'?"),
        ({"search": {"axes": {"hidden": [64]}}}, "'search.axes.hidden.0' in .* found 64"),
        ({"search": {"models": ["vae"], "axes": {}}}, "'search.axes' is empty; give options"),
        (
            {
                "models": {"vae": {"n_latent": "auto"}},
                "search": {"models": ["vae"], "axes": {"n_latent": [2]}},
            },
            "n_latent of model 'vae' is auto and an axis of 'search', too; keep one of them.",
        ),
        ({"anomaly": {"folds": 1}}, "'anomaly.folds' is 1, which scores no cell"),
        (
            {"anomaly": {"folds": 2}, "models": {"a": {"preset": "pca"}}, "primary_model": "a"},
            "'anomaly' needs a network",
        ),
        (
            {
                "transfer": {"query": "raw.h5ad"},
                "models": {"a": {"preset": "pca"}},
                "primary_model": "a",
            },
            "'transfer.query' needs a network",
        ),
        (
            {"annotate": {"reference": "raw.h5ad", "labels_column": "own"}},
            "'annotate' has a reference and a labels_column; keep one of them.",
        ),
        ({"learning_curve": {"halvings": 1}}, "'learning_curve.halvings' is 1, which is no curve"),
        ({"primary_model": "va"}, "'primary_model' is 'va', .*did you mean 'vae'?"),
        ({"samples": "no.tsv"}, "no sample sheet 'no.tsv'"),
        ({"annotate": {"panel": "no.tsv"}}, "no such file: 'no.tsv', which 'annotate.panel'"),
        ({"normalize": {"gene_list": "no"}}, "no such file: 'no', which 'normalize.gene_list'"),
        ({"drug_response": {"responses": "no"}}, "no such file: 'no', which 'drug_response.resp"),
        (
            {"drug_response": {"obs_prefix": "r|"}},
            "'drug_response.obs_prefix' compares donors, and",
        ),
        ({"perturbation": {"condition_key": "c"}}, "'perturbation.condition_key' compares donors"),
    ],
)
def test_a_bad_configuration_is_one_line(here, change, line):
    read("sample\tpath\ns1\traw.h5ad\n")
    config = {
        "samples": "samples.tsv",
        "models": {"vae": {}, "pca": {"preset": "pca"}},
        "primary_model": "vae",
    }
    samples, problems = inputs.check(config | change, CONFIG_SCHEMA, SAMPLE_SCHEMA)
    (problem,) = problems
    assert re.search(re.escape(line).replace(r"\.\*", ".*"), problem)
    assert is_one_line(problem)
    assert list(samples) == ([] if "samples" in change else ["s1"])


def test_every_problem_is_found_and_what_is_wrong_counts_as_not_given(here):
    read("sample\tpath\ns1\traw.h5ad\ns2\tno.h5ad\n")
    config = {"samples": "samples.tsv", "trian": {}, "seeds": "1", "threads": 0}
    samples, problems = inputs.check(config, CONFIG_SCHEMA, SAMPLE_SCHEMA)
    assert [problem.split(";")[0] for problem in problems] == [
        "unknown key 'trian' in the configuration",
        "'seeds' in the configuration must be of type list",
        "'threads' in the configuration: 0 is less than the minimum of 1.",
        "no such file: 'no.h5ad' (row 2 of 'samples.tsv')",
    ]
    assert (config["seeds"], config["threads"]) == ([0, 1], 1)
    assert list(samples) == ["s1"]


@pytest.mark.parametrize("section", inputs.FILE_KEYS, ids=".".join)
def test_a_file_of_the_configuration_has_no_braces(section):
    config = {section[0]: {section[1]: "a}b"}}
    (problem,) = inputs.complete_config(config, CONFIG_SCHEMA)
    assert f"'{'.'.join(section)}' in the configuration is 'a}}b'; Snakemake reads" in problem
    # A title is no path.
    assert inputs.complete_config({"report": {"title": "a}b"}}, CONFIG_SCHEMA) == []


def test_the_panels_that_need_no_file_are_those_that_come_with_the_package():
    from scpress.cells.panels import SHIPPED_PANELS

    assert tuple(SHIPPED_PANELS) == inputs.SHIPPED_PANELS


def test_a_value_of_metadata_may_begin_as_a_flag_does(here):
    samples, problems = read("sample\tpath\tdonor\ns1\traw.h5ad\t-1\n")
    assert (samples["s1"]["donor"], problems) == ("-1", [])


def test_a_model_set_to_null_is_dropped():
    config = {"models": {"vae": {}, "pca": None}, "primary_model": "pca"}
    (problem,) = inputs.complete_config(config, CONFIG_SCHEMA)
    assert inputs.list_models(config) == {"vae": {}}
    assert problem == "'primary_model' is 'pca', which is not under 'models'; known: vae."


@pytest.mark.parametrize(
    ("changes", "models"),
    [
        ({"primary_model": "pca"}, ["pca"]),
        ({"primary_model": "auto"}, ["vae", "pca"]),
        ({}, ["vae", "pca"]),
        ({"thin": {"folds": 0}}, ["vae"]),
        ({"thin": {"folds": 0}, "primary_model": "pca"}, ["pca"]),
    ],
)
def test_the_primary_model_is_named_or_one_of_all_that_are_scored(changes, models):
    config = {"models": {"vae": {}, "gone": None, "pca": {}}, **changes}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    assert inputs.primary_candidates(config) == models


def test_pca_has_one_likelihood_whatever_the_section_says():
    config = {"train": {"likelihood": "auto"}, "thin": {"folds": 1}}
    config["models"] = {"vae": {}, "pca": {"preset": "pca"}, "named": {"likelihood": "nb"}}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    found = [name for name in config["models"] if inputs.has_auto_likelihood(config, name)]
    assert found == ["vae"]


def test_a_search_has_room_for_all_it_may_draw_and_a_third_of_that_in_each_next_rung():
    config = {
        "models": {"vae": {}, "sized": {"n_latent": "auto"}, "both": {"n_latent": "auto"}},
        "search": {
            "models": ["vae", "both"],
            "axes": {"epsilon": [0.1, 0.2], "decoder": ["linear"], "hidden": None},
            "steps": [10, 20, 30],
        },
    }
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    rungs = {name: inputs.list_rungs(config, name) for name in config["models"]}
    # Two settings and the model's own; five sizes; of ten and the own one all are drawn.
    assert rungs == {"vae": [3, 2, 2], "sized": [5], "both": [11, 4, 2]}
    config["search"] |= {"trials": 8, "models": None}
    assert inputs.list_rungs(config, "vae") == []
    config["search"]["models"] = ["both"]
    assert inputs.list_rungs(config, "both") == [8, 3, 2]
    assert len(N_LATENT_FACTORS) == inputs.N_SIZES


def test_each_model_of_counts_is_trained_at_each_size_of_the_curve():
    models = {
        "vae": {"preset": "scvi", "n_latent": 4},
        "pca": {"preset": "pca"},
        "log": {"likelihood": "gaussian"},
        "dropped": None,
    }
    config = {"models": models, "primary_model": "vae"}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    assert inputs.list_sizes(config) == {}
    config["compress"]["n_latents"] = [2, 10]
    assert inputs.list_sizes(config) == {
        "vae-2": {"preset": "scvi", "n_latent": 2},
        "vae-10": {"preset": "scvi", "n_latent": 10},
    }


def test_the_size_of_a_model_in_dcas_names_is_its_middle_width():
    models = {
        "wide": {"preset": "dca", "hidden_size": [64, 32, 64]},
        "log": {"preset": "dca", "ae_type": "normal"},
    }
    config = {"models": models, "primary_model": "wide", "compress": {"n_latents": [2]}}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    assert inputs.list_sizes(config) == {"wide-2": {"preset": "dca", "hidden_size": [64, 2, 64]}}


@pytest.mark.parametrize(
    ("models", "line"),
    [
        (
            {"m": {"epochs": 3}},
            "'epochs' goes with preset dca, and model 'm' in the configuration has preset scvi; ",
        ),
        (
            {"m": {"preset": "dca", "lr": 0.1}},
            "'lr' goes with preset scvi, and model 'm' in the configuration has preset dca; ",
        ),
        (
            {"m": {"n_layers": 2, "hidden": [9]}},
            "'n_layers' and 'hidden' are two names of one thing, and model 'm' in the configur",
        ),
        (
            {"m": {"gene_likelihood": "normal"}},
            "'models.m.gene_likelihood' in the configuration cannot be 'normal': it is zinb, ",
        ),
        (
            {"m": {"preset": "dca", "hidden_size": [9, 3, 9], "n_latent": 3}},
            "'hidden_size' and 'n_latent' are two names of one thing, and model 'm' in the confi",
        ),
        (
            {"m": {"preset": "dca", "ae_type": "nb-fork"}},
            "'models.m.ae_type' in the configuration cannot be 'nb-fork': it is normal, poisson, ",
        ),
        (
            {"m": {"preset": "dca", "scale": False}},
            "'models.m.scale' in the configuration cannot be False: set input: log1p, ",
        ),
        (
            {"m": {"preset": "dca", "random_state": 3}},
            "'models.m.random_state' in the configuration cannot be 3: set seeds of ",
        ),
        (
            {"m": {"preset": "dca", "hidden_sizes": [3]}},
            "unknown key 'hidden_sizes' in 'models.m' in the configuration; did you mean 'hid",
        ),
    ],
)
def test_names_of_other_packages_that_cannot_be_are_told_before_anything_runs(models, line):
    config = {"models": models, "primary_model": "m"}
    (problem,) = inputs.complete_config(config, CONFIG_SCHEMA)
    assert problem.startswith(line)
    assert is_one_line(problem)


def test_keys_of_a_preset_that_no_model_has_are_told_before_anything_runs():
    config = {"models": {"m": {"preset": "dca"}}, "primary_model": "m"}
    asked = {"dca_keys": True, "scvi_keys": True}
    (problem,) = inputs.complete_config(config | {"assemble": asked}, CONFIG_SCHEMA)
    assert problem == (
        "'assemble.scvi_keys' needs a model of preset scvi, and there is none under 'models'."
    )
    of_section = {"models": {"m": {}}, "primary_model": "m", "train": {"preset": "dca"}}
    of_section["assemble"] = {"dca_keys": True}
    assert inputs.complete_config(of_section, CONFIG_SCHEMA) == []


def test_names_of_other_packages_are_for_all_models_of_a_preset_or_for_one():
    for config in (
        {"models": {"m": {"preset": "dca", "ae_type": "nb", "epochs": 3}}},
        {"models": {"m": {}}, "train": {"preset": "dca", "log1p": True}},
        {"models": {"m": {"ae_type": None}}},
        {"models": {"m": {"n_hidden": 9, "n_layers": 2, "lr": 0.001, "early_stopping": True}}},
    ):
        assert inputs.complete_config(config | {"primary_model": "m"}, CONFIG_SCHEMA) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"normalize": {"n_top_genes": "auto"}}, None),
        ({"normalize": {"flavor": "auto"}}, None),
        (
            {"normalize": {"n_top_genes": "atuo"}},
            "'normalize.n_top_genes' in the configuration must",
        ),
        ({"normalize": {"flavor": "auto", "gene_list": "g"}}, "'normalize' has a gene_list, and"),
        (
            {"normalize": {"flavor": "auto"}, "train": {"preset": "pca"}},
            "'normalize' has n_top_genes or flavor auto, which a network chooses, and all 'models'",
        ),
    ],
)
def test_genes_are_left_to_the_molecules_where_a_network_can_choose(changes, line):
    config = {"models": {"m": {}}, "primary_model": "m"} | changes
    problems = inputs.complete_config(config, CONFIG_SCHEMA)
    assert [is_one_line(one) for one in problems] == [True] * (line is not None)
    assert line is None or problems[0].startswith(line)


def test_the_first_network_chooses_the_genes():
    models = {"pca": {"preset": "pca"}, "gone": None, "b": {}, "a": {}}
    config = {"models": models, "primary_model": "a"}
    assert inputs.complete_config(config, CONFIG_SCHEMA) == []
    assert inputs.first_network(config) == "b"
    assert not inputs.has_auto_genes(config)


_VALUES = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_CONFIGS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


@given(_CONFIGS, _CONFIGS)
def test_a_second_file_lies_over_the_first_as_snakemake_joins_them(below, above):
    expected, before = copy.deepcopy(below), copy.deepcopy(below)
    update_config(expected, copy.deepcopy(above))
    assert inputs.lay_over(below, above) == expected
    assert below == before


# the sample sheet ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sheet", "line"),
    [
        ("", "column 'sample' is missing in 'samples.tsv'; found nothing"),
        ("sample,path\ns1,raw.h5ad\n", "found sample,path. Columns are separated by tabs"),
        ("sample\tfile\ns1\traw.h5ad\n", "column 'path' is missing in 'samples.tsv'"),
        ("sample\tpath\ta/b\ns1\traw.h5ad\t1\n", "column 'a/b' of 'samples.tsv' cannot be"),
        ("sample\tpath\ta=b\ns1\traw.h5ad\t1\n", "column 'a=b' of 'samples.tsv' cannot be"),
        ("sample\tpath\t_index\ns1\traw.h5ad\t1\n", "column '_index' of 'samples.tsv' cannot"),
        ("sample\tpath\ns1\t-raw\n", "'path' in row 1 of 'samples.tsv' is '-raw'; what begins"),
        ("sample\tpath\ns1\t{a}\n", "'path' in row 1 of 'samples.tsv' is '{a}'; Snakemake reads"),
        ("sample\tpath\tlayer\ns1\traw.h5ad\t-x\n", "'layer' in row 1 of 'samples.tsv' is '-x'"),
        (
            "sample\tpath\tdonor\ns1\traw.h5ad\ta\x01\n",
            "'donor' in row 1 of 'samples.tsv' is",
        ),
        ("sample\tpath\n", "lists no samples"),
        ("sample\tpath\ns1\n", "row 1 of 'samples.tsv' has not as many columns"),
        ("sample\tpath\ns1\traw.h5ad\tx\n", "row 1 of 'samples.tsv' has not as many columns"),
        ("sample\tpath\ns1\t\n", "column 'path' is missing or empty in row 1"),
        ("sample\tpath\n\traw.h5ad\n", "column 'sample' is missing or empty in row 1"),
        ("sample\tpath\ns1\tno.h5ad\n", "no such file: 'no.h5ad' (row 1 of 'samples.tsv')"),
        (
            "sample\tpath\treceptors\ns1\traw.h5ad\traw.h5ad; no.csv\n",
            "no such file: 'no.csv' (row 1 of 'samples.tsv')",
        ),
        (
            "sample\tpath\treceptors\ns1\traw.h5ad\t{a}\n",
            "'receptors' in row 1 of 'samples.tsv' is '{a}'; Snakemake reads",
        ),
        ("sample\tpath\ns1\traw.h5ad\ns1\traw.h5ad\n", "sample 's1' is twice"),
        ("sample\tpath\ns/1\traw.h5ad\n", "'s/1' is not a possible name"),
        ("sample\tpath\tformat\ns1\traw.h5ad\tcvs\n", "did you mean 'csv'?"),
        ("sample\tpath\tage\tage\ns1\traw.h5ad\t1\t2\n", "column 'age' is twice"),
        ("sample\tpath\t\ns1\traw.h5ad\told\n", "row 1 of 'samples.tsv' has 'old' in a column wit"),
        ('sample\tpath\ns1\t"raw.h5ad\ns2\traw.h5ad\n', "a quotation mark that is not closed"),
        ('"sample\tpath\ns1\traw.h5ad\n', "the header of 'samples.tsv' has a quotation mark"),
        ("sample\tpath\ns1\traw.h5ad\n".encode("utf-16"), "is not text in UTF-8"),
        ("sample\tpath\ns1\t" + "x" * 200_000, "'samples.tsv' cannot be read (field larger than"),
    ],
)
def test_a_bad_sample_sheet_is_one_line(here, sheet, line):
    _, (problem,) = read(sheet)
    assert line in problem
    assert is_one_line(problem)


def test_a_sheet_from_a_spreadsheet_is_read(here):
    """A mark before the text, line ends of Windows, empty rows and columns behind the last one."""
    text = (
        '# mine\n\nsample \tpath\tage\t\t\ns1\t raw.h5ad\t34\t\t\n"s,2"\traw.h5ad\t\t\t\n\t\t\t\t\n'
    )
    sheet = text.replace('"s,2"', '"s2"').replace("\n", "\r\n").encode("utf-8-sig")
    samples, problems = read(sheet)
    assert problems == []
    assert samples == {
        "s1": {"sample": "s1", "path": "raw.h5ad", "age": "34"},
        "s2": {"sample": "s2", "path": "raw.h5ad"},
    }


def test_each_bad_row_is_named_and_the_others_are_read(here):
    rows = ("s1\traw.h5ad", "s 2\traw.h5ad", "s3", "s4\tno.h5ad", "s1\traw.h5ad", "s6\traw.h5ad")
    samples, problems = read("sample\tpath\n" + "\n".join(rows))
    assert list(samples) == ["s1", "s6"]
    says = (
        "'s 2' is not a possible name",
        "row 3 of",
        "no such file: 'no.h5ad' (row 4",
        "'s1' is tw",
    )
    assert len(problems) == len(says)
    for problem, words in zip(problems, says, strict=True):
        assert words in problem
    # A submitted job of s1 does not ask whether the others' files are still there.
    assert "s4" in read("sample\tpath\ns4\tno.h5ad\n", exists=lambda _: True)[0]


# Cells of every kind: names, a path that is there, what a schema knows, and what nobody wants.
_CELL = st.sampled_from(["s1", "s2", "raw.h5ad", "csv", "", " ", "#", '"', '"a', "s 1", "é"]) | (
    st.text(max_size=5)
)
_NAMES = st.sampled_from(["sample", "path", "format", "age", "", "sample ", "Sample"]) | _CELL
_END = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def sheets(draw):
    """Bytes of a sheet that somebody might have saved, most of them with a mistake."""
    end, separator = draw(_END), draw(st.sampled_from(["\t"] * 9 + [",", " "]))
    header = draw(st.just(["sample", "path"]) | st.lists(_NAMES, max_size=4))
    good = st.tuples(st.sampled_from(["s1", "s2", "s3"]), st.just("raw.h5ad")).map(list)
    rows = draw(st.lists(good | st.lists(_CELL, max_size=4), max_size=4))
    lines = [separator.join(row) for row in [header, *rows]]
    for _ in range(draw(st.integers(0, 2))):
        extra = draw(st.sampled_from(["", "\t\t", "# a comment", "#\t\t"]))
        lines.insert(draw(st.integers(0, len(lines))), extra)
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    # A lone surrogate is in no file.
    assume(text.encode("utf-8", "ignore").decode() == text)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-8", "utf-16"])))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sheets())
def test_any_sheet_gives_samples_or_clear_lines(here, sheet):
    samples, problems = read(sheet)
    assert samples or problems
    for problem in problems:
        assert is_one_line(problem), problem
        assert "samples.tsv" in problem
    for name, row in samples.items():
        assert row["sample"] == name
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        assert row["path"] == "raw.h5ad" or (here / row["path"]).exists()
        for key, value in row.items():
            assert key.strip() == key != ""
            assert value.strip() == value != ""


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=5),
        min_size=1,
        max_size=4,
    ),
    _END,
    st.booleans(),
)
def test_a_sound_sheet_comes_back_as_it_was_written(here, donors, end, is_marked):
    """Any name and any text, written by the csv module, which quotes what has to be."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator=end)
    writer.writerow(["sample", "path", "donor"])
    writer.writerows([name, "raw.h5ad", donor] for name, donor in donors.items())
    samples, problems = read(file.getvalue().encode("utf-8-sig" if is_marked else "utf-8"))
    assert problems == []
    assert {name: row.get("donor", "") for name, row in samples.items()} == donors


def test_the_shipped_configuration_and_sheet_have_no_problem(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    samples, problems = inputs.check(config, CONFIG_SCHEMA, SAMPLE_SCHEMA, exists=lambda _: True)
    assert problems == []
    assert list(samples) == ["demo"]
