"""What the user wrote: the configuration with its defaults and the sample sheet, checked.

The rules end with the first problem, `scpress doctor` lists all of them, in the same words. Nothing
here needs scpress, which with conda environments is not installed beside Snakemake; `yaml` and
`jsonschema` are requirements of Snakemake itself.
"""

import copy
import csv
import difflib
import math
import os
import re

import jsonschema
import yaml

# Columns of the sheet that are options of ingest; beside the sample and its path, the others are
# metadata.
INGEST_COLUMNS = ("format", "layer", "orientation", "genome", "rounding", "label_key")
# What leaves a choice to held-out molecules.
AUTO = "auto"
# Sizes of latent that are tried where one is `auto`; as many as `steps/search.py` has.
N_SIZES = 5
# Column that names tables of receptor chains, joined by this.
RECEPTORS_COLUMN, BETWEEN_FILES = "receptors", ";"
_VERB_COLUMNS = ("sample", "path", RECEPTORS_COLUMN, *INGEST_COLUMNS)
# Verbs that compare donors where one of these keys is given and not 0, and what they write.
COMPARISONS = {
    "biomarkers": (("condition_key",), "biomarkers.json"),
    "classify": (("condition_key",), "classification.json"),
    "survival": (("time_key",), "survival.json"),
    "drug_response": (("responses", "obs_prefix"), "drug_response.json"),
    "perturbation": (("condition_key",), "perturbation.json"),
    "donor_subtypes": (("max_subtypes",), "donor_subtypes.json"),
}
# Keys of the configuration that may name a file.
FILE_KEYS = (
    ("normalize", "gene_list"),
    ("annotate", "panel"),
    ("drug_response", "responses"),
    ("drug_response", "drug_features"),
    ("annotate", "reference"),
    ("transfer", "query"),
)
# Panels that come with the package, as `cells/panels.py` has them: names, not files.
SHIPPED_PANELS = ("immune", "pancreas", "brain", "lung", "gut")


def check(config, config_schema, sample_schema, *, exists=os.path.exists):
    """Complete a configuration in place and read its sample sheet.

    `exists` says whether a file is there.

    Returns
    -------
    dict, list
        {sample: {column: value}} of the rows without a problem; the problems, one line each.
    """
    problems = complete_config(config, config_schema)
    samples, of_sheet = read_samples(config["samples"], sample_schema, exists=exists)
    problems += [*of_sheet, *find_missing_files(config, exists=exists)]
    return samples, problems or _check_donors(config, samples)


def read_schema(path):
    """One of workflow/schemas."""
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def nearest(word, words):
    """The hint that ends a problem with a mistyped word."""
    found = difflib.get_close_matches(str(word), [str(one) for one in words], n=1)
    if found:
        return f"did you mean '{found[0]}'?"
    return f"known: {', '.join(map(str, words))}."


def hint_of_text(found):
    """What to do where a number, true or false came as text; '' where it is none."""
    if re.fullmatch(r"-?\d+e-?\d+", found):
        return f" YAML reads {found} as text: write {float(found)}."
    if re.fullmatch(r"[-+]?\d+(\.\d+)?|true|false", found):
        return (
            f" It is text: write {found} without quotes. What is in braces after --config is "
            "text, too: write it in a file and name that with --configfile."
        )
    return ""


# What YAML calls two of JSON's types.
_YAML_NAMES = {"object": "mapping", "array": "list"}


def explain(error, where):
    """One line for one violation of a schema: where, what was found, what to do."""
    key = ".".join(str(part) for part in error.absolute_path)
    place = f"'{key}' in {where}" if key else where
    found, rule = error.instance, error.validator_value
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        name = next(name for name in found if name not in known)
        return f"unknown key '{name}' in {place}; {nearest(name, known)}"
    if error.validator == "required":
        name = next(name for name in rule if name not in found)
        return f"column '{name}' is missing or empty in {place}; give every sample a {name}."
    if error.validator == "type":
        names = [rule] if isinstance(rule, str) else rule
        wanted = " or ".join(_YAML_NAMES.get(name, name) for name in names)
        hint = hint_of_text(found) if isinstance(found, str) else ""
        return f"{place} must be of type {wanted}; found {found!r}.{hint}"
    if error.validator == "enum" and "instead" in error.schema:
        return f"{place} cannot be {found!r}: {error.schema['instead']}"
    if error.validator == "enum":
        choices = [one for one in rule if one is not None]
        return (
            f"{place} must be one of {', '.join(choices)}; found {found!r}; "
            f"{nearest(found, choices)}"
        )
    if error.validator == "pattern" and "words" in error.schema:
        words = ", ".join(error.schema["words"])
        return f"{place} must be a number or {words}; found {found!r}."
    if error.validator in ("pattern", "not"):
        return f"{place}: {found!r} is not a possible name; {error.schema['description']}."
    if error.validator == "minLength":
        return f"{place} is empty; give a value, or leave it out."
    if error.validator == "minItems":
        return f"{place} is empty; give at least one."
    return f"{place}: {error.message}."


def find_violations(data, schema):
    """Violations of a schema, in the order of their keys."""
    errors = jsonschema.Draft202012Validator(schema).iter_errors(data)
    return sorted(errors, key=lambda error: error.json_path)


# the configuration --------------------------------------------------------------------------------


def lay_over(config, changes):
    """A configuration with the keys of a second file over its own, as Snakemake joins them."""
    if not changes:
        return config
    joined = dict(config) if isinstance(config, dict) else {}
    for key, value in changes.items():
        joined[key] = lay_over(joined.get(key, {}), value) if isinstance(value, dict) else value
    return joined


def fill_defaults(data, schema):
    """Give data the schema's default of every key it lacks, section by section."""
    for key, one in schema["properties"].items():
        if "default" in one:
            data.setdefault(key, copy.deepcopy(one["default"]))
        if "properties" in one and isinstance(data[key], dict):
            fill_defaults(data[key], one)


def complete_config(config, schema):
    """Fill the defaults into a configuration, in place; its problems, one line each.

    A key with a problem is replaced by its default, so that the rest can be looked at.
    """
    violations = find_violations(config, schema)
    problems = [explain(error, "the configuration") for error in violations]
    for error in violations:
        if error.absolute_path:
            config.pop(error.absolute_path[0], None)
    fill_defaults(config, schema)
    return problems or [
        *_check_texts(config),
        *_check_models(config),
        *_check_presets(config, schema["properties"]["train"]["properties"]),
        *_check_search(config),
        *_check_folds(config),
        *_check_genes(config),
        *_check_curve(config),
        *_check_anomaly(config),
        *_check_naming(config),
    ]


def _check_texts(config):
    """What no command line, or no path of Snakemake's, can hold; one line each."""
    paths = {"samples", "results", *(f"{section}.{key}" for section, key in FILE_KEYS)}
    found = ((place, _explain_text(text, place in paths)) for place, text in _iter_texts(config))
    return [f"'{place}' in the configuration {why}" for place, why in found if why]


def _iter_texts(value, place=""):
    """(keys joined by dots, text) of every text in a configuration."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _iter_texts(one, f"{place}.{key}".strip("."))
    elif isinstance(value, list):
        for one in value:
            yield from _iter_texts(one, place)


def _explain_text(text, is_path):
    """Why a text cannot be handed to a verb, or None."""
    if text.startswith("-"):
        return f"is {text!r}; what begins with '-' is read as a flag. Rename it."
    if any(ord(one) < 32 for one in text):
        return f"is {text!r}, which has a control character; remove it."
    if is_path and set(text) & set("{}"):
        return f"is {text!r}; Snakemake reads braces in a path as a wildcard. Rename it."
    return None


def _check_models(config):
    """What a schema cannot say: that there are models and the primary one is among them."""
    models, primary = list_models(config), config["primary_model"]
    if not models:
        return ["'models' in the configuration is empty; name at least one."]
    if AUTO in models:
        return [f"a model of the configuration is named '{AUTO}', which means a choice; rename it."]
    if primary != AUTO and primary not in models:
        return [
            f"'primary_model' is '{primary}', which is not under 'models'; "
            f"{nearest(primary, models)}"
        ]
    presets = {{**config["train"], **options}["preset"] for options in models.values()}
    return [
        f"'assemble.{key}' needs a model of preset {preset}, and there is none under 'models'."
        for key, preset in (("dca_keys", "dca"), ("scvi_keys", "scvi"))
        if config["assemble"][key] and preset not in presets
    ]


def _check_presets(config, known):
    """One line for each name of another package that cannot be, given the others of its model.

    Such a name has a `preset` in the schema, and `means` says which of our options it stands for.
    """
    problems = []
    for name, options in list_models(config).items():
        train = {**config["train"], **options}
        for key in train:
            preset = known[key].get("preset")
            if preset is None or train[key] is None:
                continue
            where = f"model '{name}' in the configuration"
            if train["preset"] != preset:
                problems.append(
                    f"'{key}' goes with preset {preset}, and {where} has preset "
                    f"{train['preset']}; say so under the models that it is for."
                )
            problems += [
                f"'{key}' and '{ours}' are two names of one thing, and {where} has both; keep one."
                for ours in known[key]["means"]
                if train[ours] != known[ours]["default"]
            ]
    return problems


def _check_search(config):
    """What a schema cannot say: that the models are there, and have something to be searched."""
    models, axes = list_models(config), list_axes(config)
    searched = config["search"]["models"] or []
    problems = [
        f"'search.models' has '{model}', which is not under 'models'; {nearest(model, models)}"
        for model in searched
        if model not in models
    ]
    if searched and not axes:
        problems.append("'search.axes' is empty; give options of training and their values.")
    return problems + [
        f"n_latent of model '{model}' is auto and an axis of 'search', too; keep one of them."
        for model in searched
        if model in models and has_auto_latent(config, model) and "n_latent" in axes
    ]


def _check_folds(config):
    """What cannot be chosen without folds of the molecules."""
    if config["thin"]["folds"]:
        return []
    searched = [
        f"the settings of model '{model}' are searched for, or its n_latent is auto, which needs "
        "folds; set folds in 'thin', or name settings."
        for model in list_models(config)
        if list_rungs(config, model)
    ]
    return searched + [
        f"the likelihood of model '{model}' is auto, which needs folds; set folds in 'thin', or "
        "name a likelihood."
        for model in list_models(config)
        if has_auto_likelihood(config, model)
    ]


def _check_genes(config):
    """Why held-out molecules cannot choose the genes."""
    if not has_auto_genes(config):
        return []
    if config["normalize"]["gene_list"] is not None:
        return ["'normalize' has a gene_list, and n_top_genes or flavor is auto; keep one of them."]
    if first_network(config) is None:
        return [
            "'normalize' has n_top_genes or flavor auto, which a network chooses, and all 'models' "
            "are of preset pca; add one, or name a number and a ranking."
        ]
    return []


def has_auto_genes(config):
    """Whether held-out molecules choose the genes that are modelled."""
    return AUTO in (config["normalize"]["n_top_genes"], config["normalize"]["flavor"])


def first_network(config):
    """The first model that is trained, which chooses the genes; None where all are PCA."""
    presets = {
        model: {**config["train"], **options}["preset"]
        for model, options in list_models(config).items()
    }
    return next((model for model, preset in presets.items() if preset != "pca"), None)


def _check_anomaly(config):
    """Why there can be no search for anomalies where one is asked for."""
    folds = config["anomaly"]["folds"]
    if folds == 1:
        return ["'anomaly.folds' is 1, which scores no cell; set it to 2 or more, or to 0."]
    if folds and first_network(config) is None:
        return ["'anomaly' needs a network, and all 'models' are of preset pca; add one."]
    return []


def _check_naming(config):
    """Why labelled cells cannot name others where they are asked to."""
    reference, query = config["annotate"]["reference"], config["transfer"]["query"]
    problems = []
    if reference is not None and config["annotate"]["labels_column"] is not None:
        problems.append("'annotate' has a reference and a labels_column; keep one of them.")
    for key, path in (("annotate.reference", reference), ("transfer.query", query)):
        needs_model = path is not None and not path.endswith(".pkl")
        if needs_model and first_network(config) is None:
            problems.append(
                f"'{key}' needs a network, and all 'models' are of preset pca; add one."
            )
    return problems


def _check_curve(config):
    """Why there can be no learning curve where one is asked for."""
    halvings = config["learning_curve"]["halvings"]
    if halvings and not config["thin"]["folds"]:
        return ["'learning_curve' needs folds; set folds in 'thin', or halvings to 0."]
    if halvings == 1:
        return ["'learning_curve.halvings' is 1, which is no curve; set it to 2 or more, or to 0."]
    return []


def count_donors(samples):
    """How many donors a sheet names."""
    return len({row["donor"] for row in samples.values() if "donor" in row})


def list_donor_files(config, samples):
    """Files of donors that a run makes; none where the sheet names fewer than two of them."""
    if count_donors(samples) < 2:
        return []
    asked = [name for verb, (_, name) in COMPARISONS.items() if find_request(config, verb)]
    return ["cohort.h5ad", *asked]


def find_request(config, verb):
    """The key with which a verb that compares donors is asked for, or None."""
    keys, _ = COMPARISONS[verb]
    return next((key for key in keys if config[verb][key]), None)


def _check_donors(config, samples):
    """Why donors cannot be compared where that is asked for."""
    n = count_donors(samples)
    return [
        f"'{verb}.{key}' compares donors, and the sample sheet names {n}; give it a column "
        "'donor' with two or more, or leave the key out."
        for verb in COMPARISONS
        if (key := find_request(config, verb)) and n < 2
    ]


def primary_candidates(config):
    """Models of which the primary one is chosen by held-out molecules; one where it is known.

    Without scores `auto` is the first of the list.
    """
    models, primary = list(list_models(config)), config["primary_model"]
    if primary != AUTO:
        return [primary]
    return models if config["thin"]["folds"] else models[:1]


def list_models(config):
    """{model: its options}; one set to null is left out, so that a second file can drop it."""
    return {name: options for name, options in config["models"].items() if options is not None}


def has_auto_likelihood(config, model):
    """Whether held-out molecules choose the likelihood of a model; PCA has one only."""
    train = {**config["train"], **list_models(config)[model]}
    return train["likelihood"] == AUTO and train["preset"] != "pca"


def has_auto_latent(config, model):
    """Whether held-out molecules choose the size of a model's latent."""
    return {**config["train"], **list_models(config)[model]}["n_latent"] == AUTO


def list_axes(config):
    """{option: values to try} of the searches; one set to null is left out."""
    axes = config["search"]["axes"]
    return {name: values for name, values in axes.items() if values is not None}


def list_rungs(config, model):
    """How many settings of a model each rung of its search has room for; none without a search."""
    search, n_sizes = config["search"], N_SIZES if has_auto_latent(config, model) else 1
    if model not in (search["models"] or []):
        return [n_sizes] if n_sizes > 1 else []
    n_settings = n_sizes * math.prod(map(len, list_axes(config).values()))
    rungs = [min(n_settings + 1, search["trials"])]
    for _ in search["steps"][1:]:
        rungs.append(max(-(-rungs[-1] // search["eta"]), 2))
    return rungs


def list_sizes(config):
    """{model-n: its options} of the models at the sizes of latent that `compress` compares.

    No model is named with a `-`. A model of log-values has none: as a code it is PCA.
    """
    sizes = {}
    for name, options in list_models(config).items():
        train = {**config["train"], **options}
        of_values = {train["likelihood"], train.get("ae_type")} & {"gaussian", "normal"}
        if train["preset"] != "pca" and not of_values:
            for n in config["compress"]["n_latents"]:
                sizes[f"{name}-{n}"] = {**options, **_at_size(train, n)}
    return sizes


def _at_size(train, n):
    """The latent's size in the name that the model has it in: DCA's is the middle width."""
    widths = train.get("hidden_size")
    if widths is None:
        return {"n_latent": n}
    middle = len(widths) // 2
    return {"hidden_size": [*widths[:middle], n, *widths[middle + 1 :]]}


def find_missing_files(config, *, exists=os.path.exists):
    """One line for each file that the configuration names and that is not there."""
    named = {key: named_file(config, *key) for key in FILE_KEYS}
    return [
        f"no such file: '{path}', which '{'.'.join(key)}' in the configuration names."
        for key, path in named.items()
        if path is not None and not exists(path)
    ]


def named_file(config, section, key):
    """File that a key of the configuration names, or None."""
    path = config[section][key]
    return None if key == "panel" and path in SHIPPED_PANELS else path


# the sample sheet ---------------------------------------------------------------------------------


def read_samples(path, schema, *, exists=os.path.exists):
    """Sample sheet as {name: {column: value}}, without the empty cells, and its problems.

    A row with a problem is left out. `exists` says whether a sample's file is there.
    """
    header, rows, problem = _read_table(path)
    if problem:
        return {}, [problem]
    samples, problems, names = {}, [], set()
    for number, cells in enumerate(rows, start=1):
        where = f"row {number} of '{path}'"
        row = {key: value for key, value in zip(header, cells, strict=False) if value}
        problem = (
            _check_cells(header, cells, where)
            or _check_row(row, where, schema)
            or _check_row_texts(row, where)
        )
        if not problem and row["sample"] in names:
            problem = (
                f"sample '{row['sample']}' is twice in '{path}'; give every sample its own name."
            )
        files = [row.get("path"), *list_receptors(row)]
        missing = [file for file in files if not problem and not exists(file)]
        if missing:
            problem = (
                f"no such file: '{missing[0]}' ({where}); paths are relative to the directory "
                f"snakemake runs in, {os.getcwd()}."
            )
        if problem:
            problems.append(problem)
        else:
            samples[row["sample"]] = row
        names.add(row.get("sample"))
    if not rows:
        problems.append(f"'{path}' lists no samples; add a line per sample.")
    return samples, problems


def list_receptors(row):
    """Tables of receptor chains of one sample."""
    words = row.get(RECEPTORS_COLUMN, "").split(BETWEEN_FILES)
    return [word.strip() for word in words if word.strip()]


def _read_table(path):
    """(header, rows, None), or (None, None, problem); lines that are empty or begin with # are not.

    Written by a spreadsheet, a sheet may begin with a byte order mark, end its lines in any way and
    have empty lines and columns behind the last one.
    """
    if not os.path.isfile(path):
        return None, None, f"no sample sheet '{path}'; 'samples' in the configuration names it."
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
        table = [[one.strip() for one in row] for row in csv.reader(lines, delimiter="\t")]
    except UnicodeDecodeError:
        problem = f"'{path}' is not text in UTF-8; save it as such, columns separated by tabs."
        return None, None, problem
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        return None, None, f"'{path}' cannot be read ({reason}); is it a table in plain text?"
    header, *rows = table or [[]]
    return header, rows, _check_header(header, path)


def _check_header(header, path):
    if any(_has_line_break(name) for name in header):
        return f"the header of '{path}' has a quotation mark that is not closed on its line."
    for column in ("sample", "path"):
        if column not in header:
            return (
                f"column '{column}' is missing in '{path}'; found "
                f"{', '.join(header) or 'nothing'}. Columns are separated by tabs."
            )
    for name in header:
        if "/" in name or "=" in name or name == "_index" or any(ord(one) < 32 for one in name):
            return (
                f"column {name!r} of '{path}' cannot be a column of the cells: such a name is not "
                "'_index' and has no '/', '=' or control character. Rename it."
            )
    twice = [name for name in header if name and header.count(name) > 1]
    return f"column '{twice[0]}' is twice in '{path}'; keep one of them." if twice else None


def _check_cells(header, cells, where):
    if any(_has_line_break(cell) for cell in cells):
        return f"{where} has a quotation mark that is not closed on its line."
    if len(cells) != len(header):
        return f"{where} has not as many columns as the header; separate columns by one tab."
    unnamed = [cell for name, cell in zip(header, cells, strict=True) if cell and not name]
    return f"{where} has {unnamed[0]!r} in a column without a name; name it." if unnamed else None


def _check_row(row, where, schema):
    violations = find_violations(row, schema)
    return explain(violations[0], where) if violations else None


def _check_row_texts(row, where):
    for key, text in row.items():
        why = _explain_text(text, key in ("path", RECEPTORS_COLUMN))
        # Metadata are KEY=VALUE words, which begin with the key.
        if why and (key in _VERB_COLUMNS or not text.startswith("-")):
            return f"'{key}' in {where} {why}"
    return None


def _has_line_break(cell):
    return len(cell.splitlines()) > 1
