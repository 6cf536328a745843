# What the rules share: the checked configuration, the sample table, flags and resources.
# Nothing here imports scpress: with conda environments it is not installed beside Snakemake.
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

# `.venv/bin/snakemake` finds `.venv/bin/scpress` without activating the environment.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)
# HDF5's locks fail on many network file systems; no two jobs write the same file.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
# A training that comes to the time limit of the Slurm job it was submitted as, and no other, may
# put that job back into the queue; it goes on from its checkpoint (src/scpress/slurm.py).
if workflow.remote_exec:
    os.environ.update(SCPRESS_REQUEUE="1")


def load_module(path):
    """A module of this workflow, which may have been fetched to anywhere."""
    spec = importlib.util.spec_from_file_location(
        Path(path).stem, workflow.source_path(path)
    )
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def read_schema(name):
    """Schema of this workflow."""
    return inputs.read_schema(workflow.source_path(f"../schemas/{name}.schema.yaml"))


def is_there(path):
    """Whether a named file exists. A submitted job asks only about its own input.

    Every job reads the whole configuration; a file that vanished must not end all of them.
    """
    return workflow.remote_exec or os.path.exists(path)


def named_file(section, key):
    """File a key of the configuration names, as a list of inputs; empty when the key is null."""
    path = inputs.named_file(config, section, key)
    return [] if path is None else [path]


inputs, prediction = load_module("../inputs.py"), load_module("../prediction.py")
CONFIG_SCHEMA = read_schema("config")
SAMPLES, problems = inputs.check(
    config, CONFIG_SCHEMA, read_schema("samples"), exists=is_there
)
for problem in problems:
    # The first one, in one line; a WorkflowError would print a traceback around it.
    sys.exit(f"scpress: error: {problem}")

if config["stage_inputs"]:
    os.environ.update(SCPRESS_STAGE_INPUTS="1")

RESULTS = config["results"].rstrip("/")
MODELS = inputs.list_models(config)
SIZES = inputs.list_sizes(config)
# One model, or all where held-out molecules choose the primary one.
PRIMARY = inputs.primary_candidates(config)
RUNGS = {model: inputs.list_rungs(config, model) for model in MODELS}
SEARCHES = [
    f"{RESULTS}/models/{model}/all/search.json" for model in MODELS if RUNGS[model]
]
AUTO_LIKELIHOODS = [
    f"{RESULTS}/models/{model}/all/likelihood.json"
    for model in MODELS
    if inputs.has_auto_likelihood(config, model)
]
GENES = [f"{RESULTS}/genes.json"] if inputs.has_auto_genes(config) else []
CHOICE = [f"{RESULTS}/choice.json"] if config["thin"]["folds"] else []
LEARNING_CURVE = (
    [f"{RESULTS}/learning_curve.json"] if config["learning_curve"]["halvings"] else []
)
FALSE_SIGNALS = (
    [f"{RESULTS}/false_signals.json"] if config["false_signals"]["copies"] else []
)
# What is said of donors: nothing where the sheet names fewer than two.
DONOR_FILES = [f"{RESULTS}/{name}" for name in inputs.list_donor_files(config, SAMPLES)]
PROGRAMS = [f"{RESULTS}/programs.h5ad"] if config["programs"]["n_genes"] else []
# The flags by which assemble and the page are told of them, and what the page reads beside.
DONOR_RECORDS = {f"--{Path(path).stem.replace('_', '-')}": path for path in DONOR_FILES}
DONOR_TABLES = dict(DONOR_RECORDS)
if "--biomarkers" in DONOR_RECORDS:
    DONOR_TABLES["--biomarker-genes"] = f"{RESULTS}/biomarkers.tsv"
if "--classification" in DONOR_RECORDS:
    DONOR_TABLES["--weights"] = f"{RESULTS}/classification.tsv"
# What labelled cells, which the configuration names, call the cells.
NAMES = [f"{RESULTS}/reference.h5ad"] if config["annotate"]["reference"] else []
TRANSFER = [f"{RESULTS}/transfer.h5ad"] if config["transfer"]["query"] else []
ANOMALY = [f"{RESULTS}/anomaly.h5ad"] if config["anomaly"]["folds"] else []
# (sample, file) of the tables of receptor chains that the sample sheet names.
RECEPTOR_FILES = [
    (name, path) for name, row in SAMPLES.items() for path in inputs.list_receptors(row)
]
RECEPTORS = [f"{RESULTS}/receptors.h5ad"] if RECEPTOR_FILES else []
# Files the configuration names are inputs: they must exist, and a change of one counts.
GENE_LIST = named_file("normalize", "gene_list")
PANEL = named_file("annotate", "panel")
DRUG_TABLES = [
    path
    for key in ("responses", "drug_features")
    for path in named_file("drug_response", key)
]
REFERENCE = named_file("annotate", "reference")
QUERY = named_file("transfer", "query")
# The networks run in the GPU environment only when the configuration insists on a GPU.
NETWORK_ENV = (
    "../../envs/scpress-gpu.yaml"
    if config["device"] == "cuda"
    else "../../envs/scpress.yaml"
)


def flags(section, overrides=(), *, rule=None):
    """Section of the configuration as command-line words, with the threads of the rule."""
    known = CONFIG_SCHEMA["properties"][section]["properties"]
    words = []
    given = {**config[section], **dict(overrides)}
    # In the schema's order, so that the order of a user's file changes no command.
    for key, value in ((key, given[key]) for key in known if key in given):
        flag = f"--{key.replace('_', '-')}"
        if value is None and known[key].get("default") is None:
            continue
        if isinstance(value, bool):
            words += [flag if value else f"--no-{flag[2:]}"]
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        else:
            words += [flag, "null" if value is None else str(value)]
    return [*words, *threads_flag(rule or section)]


def options_of(section):
    """Section of the configuration as one word, for a verb that runs the step of another."""
    return json.dumps(config[section])


def threads_of(rule):
    """Threads of the verb of a rule. Not what Snakemake gives a job, which may be fewer."""
    threads = config["threads"]
    if isinstance(threads, dict):
        return threads.get(rule, threads["default"])
    return threads


def threads_flag(rule):
    """The flag that every verb has."""
    return ["--threads", str(threads_of(rule))]


def ingest_flags(wildcards):
    """Options of ingest for one sample: its columns of the sheet over the section."""
    row = SAMPLES[wildcards.sample]
    metadata = [
        f"{k}={v}"
        for k, v in row.items()
        if k not in ("sample", "path", inputs.RECEPTORS_COLUMN, *inputs.INGEST_COLUMNS)
    ]
    words = flags(
        "ingest", {key: row[key] for key in inputs.INGEST_COLUMNS if key in row}
    )
    return (["--metadata", *metadata] if metadata else []) + words


def train_flags(wildcards, *, rule="train"):
    """Options of train for one model, its overrides over the section; for a rule that trains."""
    overrides = {**MODELS, **SIZES}[wildcards.model]
    options = {**config["train"], **overrides}
    if options["preset"] == "pca" and options["likelihood"] == inputs.AUTO:
        # Of the section; PCA has one likelihood.
        overrides = {**overrides, "likelihood": None}
    return flags("train", overrides, rule=rule)


def likelihood_flags(wildcards):
    """The same for the choice of its likelihood."""
    return train_flags(wildcards, rule="likelihood")


def genes_flags(wildcards):
    """Options of genes, of the first network's training, and of the ranking, which normalize has."""
    model, ranking = inputs.first_network(config), config["normalize"]
    named = {
        "--model": model,
        "--n-top-genes": ranking["n_top_genes"],
        "--flavor": ranking["flavor"],
        "--rank-within": ranking["batch_key"],
        "--min-cells-per-batch": ranking["min_cells_per_batch"],
    }
    words = [
        one
        for flag, value in named.items()
        for one in (flag, "null" if value is None else str(value))
    ]
    return [*words, *flags("genes"), *flags("train", MODELS[model], rule="genes")]


def likelihoods_of(wildcards):
    """File that says what the likelihood of a model is, where held-out molecules choose it."""
    base = wildcards.model.partition("-")[0]
    if not inputs.has_auto_likelihood(config, base):
        return []
    return [f"{RESULTS}/models/{base}/{wildcards.split}/likelihood.json"]


def likelihoods_flag(wildcards, input):
    """The flag of that file."""
    return ["--likelihoods", *input.likelihoods] if input.likelihoods else []


def search_of(wildcards):
    """File that says which settings of a model were chosen, where they are searched for."""
    base = wildcards.model.partition("-")[0]
    if not RUNGS[base]:
        return []
    return [f"{RESULTS}/models/{base}/{wildcards.split}/search.json"]


def search_flag(wildcards, input):
    """The flag of that file."""
    return ["--search", *input.search] if input.search else []


def search_flags(wildcards):
    """Options of search and of its model; axes are for the models that are named."""
    named = config["search"]["models"] or []
    axes = inputs.list_axes(config) if wildcards.model in named else {}
    words = [f"{key}={json.dumps(values)}" for key, values in axes.items()]
    own = flags("search", {"axes": words, "models": None})
    return [*own, *train_flags(wildcards, rule="search")]


def rung_before(wildcards):
    """The rung that a file of a search comes after; the last one has no number."""
    number = wildcards.after.lstrip("_")
    return int(number or len(RUNGS[wildcards.model])) - 1


def standing_before(wildcards):
    """How far a search had come before a rung."""
    folder = f"{RESULTS}/models/{wildcards.model}/{wildcards.split}"
    return f"{folder}/search_{rung_before(wildcards)}.json"


def trials_of(wildcards):
    """What was found in each place of a rung."""
    rung = rung_before(wildcards)
    folder = f"{RESULTS}/models/{wildcards.model}/{wildcards.split}/search_{rung}"
    return [f"{folder}/{slot}.json" for slot in range(RUNGS[wildcards.model][rung])]


def primary_flag(wildcards, input):
    """The model that is built on, by its name or by the file that chooses it."""
    return ["--choice", *CHOICE] if len(PRIMARY) > 1 else ["--model", *PRIMARY]


def sizes_of(model):
    """Sizes of latent at which a model is trained once more."""
    wanted = dict.fromkeys(config["compress"]["n_latents"])
    return [n for n in wanted if f"{model}-{n}" in SIZES]


def compress_flags(wildcards):
    """Options of compress for one model; the rivals are the same for all models."""
    overrides = {"n_latents": sizes_of(wildcards.model)}
    if wildcards.model != PRIMARY[0]:
        overrides["rivals"] = False
    return flags("compress", overrides)


def seeds(model):
    """Seeds of a model; PCA is a closed form, which no seed changes, and runs once."""
    preset = {**config["train"], **MODELS[model]}["preset"]
    return config["seeds"][:1] if preset == "pca" else config["seeds"]


def model_files(name, models=None, *, every_seed=False):
    """Files, of one name or some, of the given models (default all): of every seed, or the first."""
    return [
        f"{RESULTS}/models/{model}/all/{seed}/{one}"
        for model in (models or MODELS)
        for seed in (seeds(model) if every_seed else seeds(model)[:1])
        for one in ([name] if isinstance(name, str) else name)
    ]


def first_model(wildcards):
    """The first seed of the first network, in whose latent cells are named."""
    return model_files("model.safetensors", [inputs.first_network(config)])


def reference_model(wildcards):
    """The model in whose latent cells are named; none where a model of genes names them."""
    is_of_genes = config["annotate"]["reference"].endswith(".pkl")
    return [] if is_of_genes else first_model(wildcards)


def names_flag(wildcards, input):
    """The flag of what labelled cells call the cells."""
    return ["--names", *input.names] if input.names else []


def anomaly_models(wildcards):
    """Every seed of the first network, which is trained again as they say."""
    return model_files(
        "model.safetensors", [inputs.first_network(config)], every_seed=True
    )


def sample_size(wildcards, input):
    """Size of a sample's raw file; the rules of a group know no other before they run."""
    return prediction.measure(SAMPLES[wildcards.sample]["path"])


def input_size(wildcards, input):
    """Size of the cells a job works on: every input is of the same ones."""
    files = [path for path in input if path.endswith(".h5ad")]
    return prediction.largest([prediction.measure(path) for path in files])


def merged_size(wildcards, input):
    """Size of all samples together."""
    return prediction.total([prediction.measure(path) for path in input.counts])


def joined_size(wildcards, input):
    """Size of the cells and of the labelled or new ones, whatever their format."""
    others = input.get("reference") or input.get("query")
    return prediction.total(
        [prediction.measure(path) for path in (input.counts, others)]
    )


def attempted(predict, limit, rule, size):
    """A prediction for a rule's jobs, doubled with every attempt, up to the limit.

    An input that is not there yet raises FileNotFoundError: Snakemake asks again when it is.
    """

    def amount(wildcards, input, attempt):
        wanted = predict(rule, size(wildcards, input)) * 2 ** (attempt - 1)
        return min(config[limit], wanted)

    return amount


def memory(rule, size=input_size):
    """MB to ask for."""
    return attempted(prediction.memory_mb, "max_mem_mb", rule, size)


def minutes(rule, size=input_size):
    """Minutes to ask for."""
    return attempted(prediction.runtime_minutes, "max_runtime", rule, size)


def say_primary():
    """Say which model `auto` is where nothing scores them."""
    if config["primary_model"] == inputs.AUTO and not CHOICE:
        print(
            f"scpress: primary_model is {PRIMARY[0]}, the first of the list, as there are no scores "
            "(thin: folds: 0)."
        )


def cancel_left_over_jobs():
    """Cancel the Slurm jobs of a driver that was killed in this folder, and wait for their end.

    They would write what this run is about to write; a training among them saves its state first.
    """
    if workflow.remote_exec or shutil.which("squeue") is None:
        return
    query = ["squeue", "--me", "--noheader", "--format=%i|%Z|%k"]

    def ours():
        done = subprocess.run(query, capture_output=True, text=True)
        rows = [line.split("|", 2) for line in done.stdout.splitlines()]
        # The executor plugin writes the rule into every job's comment.
        return [
            number
            for number, folder, comment in rows
            if folder == os.getcwd() and comment.startswith("rule_")
        ]

    jobs = ours()
    if jobs:
        print(f"scpress: cancelled job {' '.join(jobs)}, left by an earlier run here.")
        subprocess.run(["scancel", *jobs])
    while ours():
        time.sleep(1)
