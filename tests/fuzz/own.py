"""Files between steps, one of them damaged by chance, and what the verb that reads it does.

Run as a program it is the process that runs the verbs: commands come on its input.
"""

import contextlib
import hashlib
import io
import json
import shutil
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import h5py
import numpy as np
from fuzz.damage import Worker, damage_bytes, damage_text

# Verb -> the files it reads, by their flags; what else it is told; its outputs but for "made".
DATA = {"--counts": "counts.h5ad", "--normalized": "normalized.h5ad"}
LATENT, MODEL = {"--latent": "latent.h5ad"}, {"--model-file": "model.safetensors"}
CLUSTERS, ANNOTATION = {"--clusters": "clusters.h5ad"}, {"--annotation": "annotation.h5ad"}
HISTORY = "models/pca/all/0/history.tsv"
REPORT = {
    "--input": "scpress.h5ad",
    "--samples-qc": "sample_qc.h5ad",
    "--histories": HISTORY,
    "--evaluations": "evaluation.json",
    "--compressions": "compression.json",
    "--markers": "markers.tsv",
    "--subtype-markers": "subtype_markers.tsv",
}
ALL = DATA | {"--latents": "latent.h5ad", "--subtypes": "subtypes.h5ad"} | CLUSTERS | ANNOTATION
NAMED = ("--model", "pca")
BATCHLESS = ("--batch-key", "null")
QUICK = ("--resolutions", "0.5")
HALVES = ("--groupby", "leiden", "--n-subsamples", "2", "--min-cells", "20")
VERBS = {
    "qc": ({"--counts": "sample.h5ad"}, ("--min-genes", "1", "--no-doublets"), {}),
    "merge": ({"--counts": "sample.h5ad", "--qc": "sample_qc.h5ad"}, (), {}),
    "normalize": ({"--counts": "counts.h5ad"}, ("--n-top-genes", "30"), {}),
    "train": (
        DATA,
        (*NAMED, "--preset", "pca", "--n-latent", "4", *BATCHLESS),
        {"--history": "made.tsv"},
    ),
    "embed": (DATA | MODEL, NAMED, {}),
    "cluster": (LATENT, (*NAMED, *QUICK, "--n-subsamples", "2"), {}),
    "annotate": (DATA | CLUSTERS, (), {"--markers": "made.tsv"}),
    "subtype": (DATA | CLUSTERS | ANNOTATION, HALVES, {"--markers": "made.tsv"}),
    "compress": (DATA | LATENT | MODEL, (*NAMED, "--pca-ranks", "2"), {}),
    "assemble": (ALL, (), {}),
    "denoise": (DATA | MODEL, (), {}),
    "evaluate": ({"--counts": "counts.h5ad"} | LATENT, (*NAMED, *BATCHLESS, *QUICK), {}),
    "report": (REPORT, (), {"--metrics": "made.json"}),
}
MADE_BY = {
    "qc": ("sample_qc.h5ad",),
    "merge": ("counts.h5ad",),
    "normalize": ("normalized.h5ad",),
    "train": ("model.safetensors", HISTORY),
    "embed": ("latent.h5ad",),
    "cluster": ("clusters.h5ad",),
    "annotate": ("annotation.h5ad", "markers.tsv"),
    "subtype": ("subtypes.h5ad", "subtype_markers.tsv"),
    "compress": ("compression.json",),
    "assemble": ("scpress.h5ad",),
}
# Two seeds, as `evaluate` says of them; to run it takes longer than all others together.
SEEDS = {"0": {"ari_best": 0.5, "best_resolution": 0.4}, "1": {"ari_best": 0.25}}

# Numbers that may be negative: such damage may be what was measured.
SIGNED = (  # noqa: SIM905
    "nll_pca X_pca X_umap scores loss score best_loss gene_mean_nll reconstruction nll ari "
    "nmi silhouette variances_norm log2 z residual_variances fewest_markers kl deviance "
    "limits options validation min_stability median low high correlation codes train_loss "
    "kind"
).split()
# What may have no value, and what a file may be without: it may be of another run, or a user's.
LACKING = (  # noqa: SIM905
    "theta pi_mean doublet_score variable_rank chosen_resolution label kind"
).split()
OPTIONAL = (  # noqa: SIM905
    "label kind gene_id gene_symbol n_cells theta pi_mean variances_norm rank nbatches "
    "is_validation X_umap uns obsm varm obsp varp layers raw scpress sample_names samples "
    "sample source n_molecules n_cells_input n_genes_undetected options versions limits failures "
    "device_name threads log1p models n_training_cells n_validation_cells cell_types parents "
    "n_genes_found n_genes_listed candidates groups nll seed format_version messages"
).split()
# Some libraries take a quarter of a minute to start, and a machine may do other work, too.
TIMEOUT = 120.0
# Tables of names that differ from run to run.
OPEN = ("options", "versions", "limits", "failures", "samples")


def words(verb, folder, made):
    """A command on the files of a folder, with its outputs in another."""
    files, options, outputs = VERBS[verb]
    named = {flag: folder / name for flag, name in files.items()}
    named |= {flag: made / name for flag, name in ({"--output": "made"} | outputs).items()}
    return [verb, *(str(one) for pair in named.items() for one in pair), *options]


def write_run(folder, adata, worker, verbs):
    """The files of a whole small run of one sample; verb -> what its outputs hold.

    `obs["kind"]` of the counts becomes their label, and stays as a column of the user's.
    """
    from scpress.tables.evaluation import Evaluation, SeedScores, summarize_seeds

    made = folder / "made"
    (folder / HISTORY).parent.mkdir(parents=True)
    made.mkdir()
    adata.write_h5ad(folder / "raw.h5ad")
    begin = ["ingest", folder / "raw.h5ad", "--sample", "s", "--label-key", "kind"]
    begin += ["--output", folder / "sample.h5ad"]
    assert worker.ask([[str(one) for one in begin], str(made)], timeout=TIMEOUT)[0] == 0
    seeds = {seed: SeedScores(**scores) for seed, scores in SEEDS.items()}
    facts = {"n_cells": adata.n_obs, "n_scored_cells": 9, "has_labels": True, "has_batches": False}
    evaluation = Evaluation(
        model="pca", message="", seeds=seeds, summary=summarize_seeds(seeds), **facts
    )
    (folder / "evaluation.json").write_text(json.dumps(evaluation.as_plain(), indent=2))
    right = {}
    for verb in VERBS:
        if verb not in verbs and verb == "cluster":
            write_clusters(folder)
        if verb not in verbs and verb in ("cluster", "evaluate"):
            continue
        code, said, right[verb] = worker.ask(
            [words(verb, folder, made), str(made)], timeout=TIMEOUT
        )
        assert code == 0, (verb, said)
        for name, place in zip(("made", "made.tsv"), MADE_BY.get(verb, ()), strict=False):
            shutil.copy(made / name, folder / place)
    return right


def write_clusters(folder):
    """Two clusters as `cluster` writes them, whose libraries take long to start."""
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    latent = ad.read_h5ad(folder / "latent.h5ad")
    points = latent.obsm["X_pca"]
    leiden = pd.Categorical((points[:, 0] > 0).astype(int).astype(str))
    graph = sparse.csr_matrix(np.exp(-np.square(points[:, None] - points[None]).sum(axis=2)))
    keys = {f"{key}_key": key for key in ("distances", "connectivities")}
    how = {"n_neighbors": 15, "method": "umap", "metric": "euclidean", "random_state": 0}
    n = len(points)
    record = {"model": "pca", "seed": 0, "chosen_resolution": 0.5, "min_stability": 0.7}
    record |= {"n_subsampled": n, "n_stability_cells": n}
    columns = ("resolution", "n_leiden", "n_clusters", "ari_mean", "ari_low", "ari_high")
    record["stability"] = {name: np.array([2 if name[0] == "n" else 0.5]) for name in columns}
    ad.AnnData(
        obs=pd.DataFrame({"leiden": leiden}, index=latent.obs_names),
        obsm={"X_umap": points[:, :2]},
        obsp={"distances": graph, "connectivities": graph},
        uns={
            "neighbors": keys | {"params": how | {"use_rep": "X_pca"}},
            "scpress": {"cluster": record},
        },
    ).write_h5ad(folder / "clusters.h5ad")


# damage ------------------------------------------------------------------------------------------


def _is_any(names, path):
    parts = path.replace(".", "/").split("/")
    return any(part == name or part.startswith(f"{name}_") for name in names for part in parts)


def damage_inside(path, rng):
    """One thing of an HDF5 file is wrong; what it is, and whether no file of ours is like that."""
    with h5py.File(path, "a") as file:
        found = []
        file.visititems(lambda name, _: found.append(name))
        found = [name for name in found if "/" in name or name == "X"]
        name = found[rng.integers(len(found))]
        held = file[name]
        is_name = name in ("obs/_index", "var/_index")
        kind = rng.integers(10)
        if kind == 0:
            last = name.rsplit("/")[-1]
            del file[name]
            top = name.split("/")[0]
            order = None if top == name else file[top].attrs.get("column-order")
            if order is not None and last in order and rng.integers(2):
                file[top].attrs["column-order"] = [one for one in order if one != last]
            # The joined file says what each step did; any may have been left out.
            is_step = path.name == "scpress.h5ad" and name == f"uns/scpress/{last}"
            may_be = is_step or _is_any(OPTIONAL, last) or _is_any(OPEN, name)
            return f"{name} is gone", not may_be
        if kind == 1:
            key = list(held.attrs)[rng.integers(len(held.attrs))] if len(held.attrs) else ""
            if key == "shape":
                held.attrs["shape"] = held.attrs["shape"] + [0, 1]
            elif key:
                held.attrs[key] = "nothing" if rng.integers(2) else 3
            return f"{key} of {name}", False
        if kind == 2 or isinstance(held, h5py.Group) or held.shape is None:
            attributes = {} if rng.integers(2) else dict(held.attrs)
            del file[name]
            if isinstance(held, h5py.Group):
                file[name] = np.arange(3)
            else:
                file.create_group(name)
            file[name].attrs.update(attributes)
            return f"{name} is of another kind", not _is_any(OPTIONAL, name)
        values = held[()]
        is_text = held.dtype.kind == "O"
        array = np.atleast_1d(np.array(values, dtype=object if is_text else None))
        at = int(rng.integers(array.size)) if array.size else -1
        told, impossible = damage_array(array, at, is_text, is_name, name, rng, kind)
        if told is None:
            return "nothing", False
        told, array = told
        if held.shape == () and array.size == 1:
            array = array.reshape(())
        attributes = dict(held.attrs)
        del file[name]
        dtype = h5py.string_dtype() if array.dtype.kind == "O" else None
        file.create_dataset(name, data=array, dtype=dtype)
        file[name].attrs.update(attributes)
        return f"{name}: {told}", impossible


def damage_array(array, at, is_text, is_name, name, rng, kind):
    """((what, the values), whether no file of ours has such), or (None, False)."""
    signed, lacking = _is_any(SIGNED, name), _is_any(LACKING, name)
    users = _is_any(("kind", "options", "versions"), name)
    is_map = name.rsplit("/")[-1] == "codes"
    if kind == 3:
        longer = np.concatenate([array, array[-1:]]) if rng.integers(2) else array[:-1]
        return ("another length", longer), array.ndim < 2 and not _is_any(OPTIONAL, name)
    if kind == 4 or at < 0:
        if is_text:
            return ("numbers for text", np.arange(array.size) + 0.5), not users and name != "ann"
        texts = np.array([f"x{i}" for i in range(array.size)], dtype=object).reshape(array.shape)
        return ("text for numbers", texts), not users and array.size > 0
    flat = array.copy()
    if is_text:
        if is_name:
            flat[at] = flat[at - 1]
            return ("a name twice", flat), array.size > 1
        flat[at] = b"another"
        return ("another word", flat), False
    if array.dtype.kind == "b":
        if rng.integers(2):
            flat.ravel()[at] = not flat.ravel()[at]
            return ("the other", flat), False
        return ("0 and 1 for true and false", array.astype(np.float64)), not users
    if is_map:
        flat.ravel()[at] = [-1, 99][rng.integers(2)]
        return (f"code {flat.ravel()[at]}", flat), not lacking
    if kind in (5, 6) and array.dtype.kind == "f":
        odd = [np.nan, np.inf, -np.inf][rng.integers(3)]
        flat.ravel()[at] = odd
        return (f"{odd}", flat), not users and not (lacking and np.isnan(odd))
    if kind in (7, 8):
        flat.ravel()[at] = -3 if array.dtype.kind in "if" else 3
        return ("-3", flat), not signed and not users and array.dtype.kind in "if"
    if array.dtype.kind in "iu" and kind != 9:
        whole = name.endswith(("data", "indices", "indptr"))
        return ("fractions", array + 0.5), not users or whole
    flat.ravel()[at] = flat.ravel()[at] + 1
    return ("one more", flat), False


def damage_json(text, rng):
    """One value is another, or is gone, or the text is damaged."""
    if rng.integers(4) == 0:
        return damage_whole(text, rng)
    value = json.loads(text)
    places = []

    def walk(node, path):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key, f"{path}/{key}"))
            if isinstance(node[key], dict | list):
                walk(node[key], f"{path}/{key}")

    walk(value, "")
    node, key, path = places[rng.integers(len(places))]
    old = node[key]
    if rng.integers(4) == 0:
        del node[key]
        return (
            json.dumps(value),
            f"{path} is gone",
            not _is_any(("tensors", "curve", "rivals"), path),
        )
    others = [float("nan"), float("inf"), "word", -3, None, [], {}, True, "3"]
    new = others[rng.integers(len(others))]
    node[key] = new
    number = isinstance(old, int | float) and not isinstance(old, bool)
    same_kind = type(new) is type(old) or (new is None and old is None)
    impossible = not same_kind and not (number and new == -3 and _is_any(SIGNED, path))
    if new is None or old is None or new in ([], {}):
        impossible = False
    return json.dumps(value), f"{path}: {new!r} for {old!r}", impossible


def damage_table(text, rng):
    """One field of a table is another, or is gone, or the text is damaged."""
    kind = rng.integers(6)
    if kind == 0:
        return damage_whole(text, rng)
    rows = [line.split("\t") for line in text.splitlines()]
    at = int(rng.integers(len(rows)))
    column = int(rng.integers(len(rows[0])))
    name = rows[0][column]
    if kind == 1:
        del rows[at][column]
        told = "a field is gone"
    elif kind == 2:
        rows[at].insert(column, rows[at][column])
        told = "a field twice"
    elif kind == 3:
        for row in rows:
            del row[column]
        told = "a column is gone"
    else:
        is_text = name in ("group", "gene", "gene_symbol")
        new = ["word", "nan", "", "inf", "-3", "1_0", "0x3", "None"][rng.integers(8)]
        rows[at][column], old = new, rows[at][column]
        impossible = at == 0 or not (is_text or (new == "-3" and _is_any(SIGNED, name)))
        return _joined(rows), f"{name}: {new!r} for {old!r}", impossible
    return _joined(rows), f"{name}: {told}", True


def _joined(rows):
    return "".join("\t".join(row) + "\n" for row in rows)


def damage_whole(text, rng):
    kind = rng.integers(4)
    if kind == 0:
        return "", "empty", True
    if kind == 1:
        at = int(rng.integers(len(text)))
        return text[:at].encode() + b"\xff" + text[at:].encode(), "no UTF-8", True
    if kind == 2:
        at = int(rng.integers(len(text)))
        return text[:at], "cut off", False
    return damage_text(text.encode(), rng), "a letter", False


def damage_own(path, rng):
    """Damage a file in place; what it is, and whether no file of ours is like that."""
    if path.suffix == ".h5ad":
        return damage_inside(path, rng)
    if path.suffix == ".safetensors":
        path.write_bytes(damage_bytes(path.read_bytes(), rng))
        return "bytes", True
    change = damage_json if path.suffix == ".json" else damage_table
    data, told, impossible = change(path.read_text(), rng)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return told, impossible


def outcomes(folder, n, adata, *, seed, verbs=tuple(VERBS)):
    """Damage one file of a verb at a time: verb, number, outcome, why.

    Outcomes are right (the output of the undamaged file), refused, changed (another output, of
    damage that could be a result), wrong, traceback, signal and hang.
    """
    worker = Worker("own.py")
    run, made, aside = folder / "run", folder / "run" / "made", folder / "aside"
    run.mkdir()
    try:
        right = write_run(run, adata, worker, verbs)
        for i in range(n):
            rng = np.random.default_rng([seed, i])
            verb = verbs[i % len(verbs)]
            names = list(dict.fromkeys(VERBS[verb][0].values()))
            name = names[rng.integers(len(names))]
            shutil.copy(run / name, aside)
            told, impossible = damage_own(run / name, rng)
            answer = worker.ask([words(verb, run, made), str(made)], timeout=TIMEOUT)
            yield verb, i, *judge(answer, verb, right[verb], impossible, f"{name}: {told}")
            shutil.copy(aside, run / name)
    finally:
        worker.close()


def judge(answer, verb, right, impossible, told):
    if len(answer) == 2:
        return answer[0], f"{told}: {answer[1]}"
    code, said, held = answer
    if code == 0:
        changed = "wrong" if impossible else "changed"
        return ("right" if held == right else changed), told
    *before, error = said.splitlines() or [""]
    begin = f"scpress {verb}: "
    one_line = error.startswith(f"{begin}error: ") and all(x.startswith(begin) for x in before)
    if code == 2 and one_line and not any("error" in line for line in before):
        return "refused", f"{told}: {error}"
    return "traceback", f"{told}: {said[-600:]}"


# the process that runs the verbs -----------------------------------------------------------------


def content(path):
    """Digest of what a file holds, whatever its types and compression."""
    if not h5py.is_hdf5(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()

    def add(name, held):
        digest.update(name.encode())
        if isinstance(held, h5py.Dataset) and held.shape is not None:
            values = np.asarray(held[()])
            is_text = values.dtype.kind in "OSU"
            digest.update(str(values.shape).encode())
            digest.update(
                repr(values.tolist()).encode() if is_text else values.astype(float).tobytes()
            )

    with h5py.File(path) as file:
        file.visititems(add)
    return digest.hexdigest()


def answer(command, made):
    """(exit code, what was said, digests of the outputs)."""
    from scpress import cli

    for path in made.iterdir():
        path.unlink()
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = cli.main(command)
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            return "traceback", repr(error)[:600]
    return code, said.getvalue(), {path.name: content(path) for path in sorted(made.iterdir())}


def main():
    warnings.simplefilter("ignore")
    talk, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=talk, flush=True)
    for line in sys.stdin:
        command, made = json.loads(line)
        print(json.dumps(answer(command, Path(made))), file=talk, flush=True)


if __name__ == "__main__":
    main()
