"""The sections of the page, as tables, against the run they show."""

import dataclasses

import numpy as np
import pytest

from scpress.report.sections import (
    models_section,
    qc_section,
    runs_section,
    subtypes_section,
    training_section,
    types_section,
)
from scpress.report.summary import collect_metrics, write_headline
from scpress.tables.evaluation import SeedScores


def test_many_samples_are_drawn_side_by_side(full):
    qc = full.samples_qc["s2"]
    few = qc_section(full)["figures"]
    assert {len(figure["data"]) for figure in few} == {2}
    full.samples_qc = {f"s{i}": qc for i in range(30)}
    section = qc_section(full)
    assert {figure["data"][0]["type"] for figure in section["figures"]} == {"box"}
    assert not section["legend"]
    assert len(section["table"]["rows"]) == 30


def test_limits_of_quality_control_are_drawn_where_they_are(full):
    section = qc_section(full)
    assert section["has_limits"]
    row = next(row for row in section["table"]["rows"] if row[0] == "s2")
    qc = full.samples_qc["s2"].obs
    assert row[4:7] == [str(len(qc)), str(qc["pass_qc"].sum()), f"{qc['pass_qc'].mean():.1%}"]


def test_what_was_read_is_shown_of_every_sample(full):
    section = qc_section(full)
    of_s2 = next(row for row in section["table"]["rows"] if row[0] == "s2")
    n_molecules = full.samples_qc["s2"].obs["library_size"].sum()
    assert section["table"]["header"][1:4] == ["read from", "genes", "molecules"]
    assert of_s2[1:4] == ["memory", "120", f"{n_molecules:,}"]
    said = full.cells.uns["scpress"]["samples"]["s2"]
    said["messages"] = np.array(["one gene set aside"])
    assert "s2: one gene set aside" in qc_section(full)["notes"]
    del said["n_molecules"], said["source"]  # of 0.1.0
    row = next(row for row in qc_section(full)["table"]["rows"] if row[0] == "s2")
    assert row[1:4] == ["", "120", ""]


def test_runs_say_seeds_versions_and_the_fit(full):
    section = runs_section(full)
    header, first, second = section["table"]["header"], *section["table"]["rows"]
    row = dict(zip(header, first, strict=True))
    assert row["model"] == "m (primary)"
    assert (row["preset"], row["likelihood"], row["dimensions"]) == ("scvi", "zinb", "4")
    assert (row["seeds"], row["device"], row["fit"]) == ("0, 1", "cpu", "ok")
    assert second[0] == "other"
    assert "scpress" in dict(section["versions"])
    assert dict(dict(section["details"])["m"])["max_steps"] == "300"


def test_training_says_the_verdict_and_draws_every_seed(full):
    models = {one["model"]: one for one in training_section(full)["models"]}
    verdict = full.models["m"].verdict
    assert f"Best at step {verdict.best_step:,} of {verdict.n_steps:,}" in models["m"]["text"]
    assert "stopped by max_steps" in models["m"]["text"]
    assert models["m"]["figure"]["layout"]["shapes"][0]["y0"] == verdict.gene_mean_nll
    assert models["other"]["figure"] is None
    # Each model has its own verdict beside its curve.
    full.histories = full.histories | {("other", "0"): full.histories["m", "0"]}
    models = {one["model"]: one for one in training_section(full)["models"]}
    assert "stopped by closed form" in models["other"]["text"]


def test_models_show_held_out_scores_and_those_of_the_seeds(full):
    section = models_section(full)
    header, rows = section["table"]["header"], section["table"]["rows"]
    held_out = full.models["m"].held_out
    assert rows[0][:3] == ["m", f"{held_out.nll:,.1f}", f"{held_out.reconstruction_nll:,.1f}"]
    assert rows[1][:2] == ["other", "-"]
    # One agreement with labels: no other of clusters stands beside it.
    assert header[3:5] == ["agreement with labels (ARI)", "silhouette of labels"]
    assert not [name for name in header if "NMI" in name or name.startswith(("best", "chosen"))]
    assert section["n_seeds"] == 2
    assert len(section["messages"]) == 1


def test_the_range_over_seeds_is_shown_and_the_best_marked(full):
    del full.cells.obs["label"]  # nothing is delivered to agree with
    first, second = full.evaluations
    seeds = {"0": SeedScores(ari_chosen=0.5), "1": SeedScores(ari_chosen=0.7)}
    other = {"0": SeedScores(ari_chosen=0.4, chosen_resolution=9.0)}
    full.evaluations = [
        dataclasses.replace(first, seeds=seeds),
        dataclasses.replace(second, seeds=other),
    ]
    section = models_section(full)
    assert section["table"]["header"][3:] == ["agreement with labels (ARI)"]
    rows = section["table"]["rows"]
    of_seeds = "seed 0: 0.500 as one cluster\nseed 1: 0.700 as one cluster"
    assert rows[0][3] == {"text": "0.600", "range": of_seeds, "best": True}
    of_seed = "seed 0: 0.400 at resolution 9"
    assert rows[1][3] == {"text": "0.400", "range": of_seed, "best": False}
    full.evaluations[0] = dataclasses.replace(
        first, seeds={"0": SeedScores(silhouette=0.5), "1": SeedScores(silhouette=0.7)}
    )
    row = models_section(full)["table"]["rows"][0]
    assert row[-1] == {"text": "0.600", "range": "0.500 to 0.700", "best": True}


def test_the_primary_model_has_the_number_of_the_delivered_clusters_everywhere(full):
    first = full.evaluations[0]
    seeds = {seed: dataclasses.replace(one, ari_chosen=0.123) for seed, one in first.seeds.items()}
    full.evaluations[0] = dataclasses.replace(first, seeds=seeds)
    section = models_section(full)
    ari = collect_metrics(full)["cluster_label_ari"]
    place = section["table"]["header"].index("agreement with labels (ARI)")
    own, other = (row[place] for row in section["table"]["rows"])
    resolution = full.record["cluster"]["chosen_resolution"]
    assert own["text"] == f"{ari:.3f}"
    assert own["range"] == f"the delivered clusters:\nseed 0, resolution {resolution:g}"
    assert f"ARI with the known labels is {ari:.3f}" in " ".join(
        write_headline(full, collect_metrics(full))
    )
    assert other["range"].startswith("seed 0: ")
    assert section["has_delivered"]
    assert section["has_other"]
    # What another model's clusters are worth is not changed by it.
    scores = full.evaluations[1].seeds["0"]
    assert other["text"] == f"{scores.ari_chosen:.3f}"


def test_types_and_subtypes_have_the_sizes_of_the_cells(full):
    obs = full.cells.obs
    rows = {row["name"]: row for row in types_section(full)["rows"]}
    for name, size in obs["cell_type"].value_counts().items():
        assert rows[name]["size"] == f"{size:,}"
        assert rows[name]["share"] == f"{size / len(obs):.1%}"
        assert rows[name]["width"] == pytest.approx(140 * size / len(obs), abs=0.06)
    assert list(rows)[-1] == "unassigned"
    kept = subtypes_section(full)["kept"]["rows"]
    sizes = obs["subtype"].value_counts()
    assert {row[0]: row[1] for row in kept} == {
        name: f"{sizes[name]:,}" for name in sizes.index if name[-2] == "."
    }
    table = full.subtype_markers.reset_index(drop=True)
    table.loc[0, "gene_symbol"] = "SYMBOL"
    table.loc[1, "gene_symbol"] = ""  # a gene without one is shown by its name
    full.subtype_markers = table
    kept = subtypes_section(full)["kept"]["rows"]
    shown = next(row[2] for row in kept if row[0] == table["group"][0])
    assert shown.startswith(f"SYMBOL, {table['gene'][1]}")


def test_what_was_found_of_subtypes_is_said_in_the_right_number(full):
    def said(groups, groupby="cell_type", **columns):
        record = full.cells.uns["scpress"]["subtype"]
        n = len(groups)
        record["groups"] = {"group": groups, "n_cells": [9] * n, "reason": [""] * n} | columns
        record["groupby"] = groupby
        return subtypes_section(full)["said"]

    assert said(["a", "b"], n_subtypes=[2, 1]).startswith("2 subtypes of 1 cell type came back")
    assert said(["a", "b"], n_subtypes=[2, 3]).startswith("5 subtypes of 2 cell types came back")
    text = said(["0", "1"], "leiden", n_subtypes=[1, 1])
    assert "No supported subtypes: nothing finer than the cluster came back" in text
    # Where nothing was looked into, nothing is said of what was found.
    text = said(["unassigned"], n_subtypes=[1])
    assert text.startswith("Nothing was looked into")


def test_what_is_the_same_in_every_cell_is_said_and_not_drawn(full):
    before = len(qc_section(full)["figures"])
    for qc in full.samples_qc.values():
        qc.obs["pct_counts_mt"] = 0.0
    section = qc_section(full)
    assert section["constant"][0] == "Mitochondrial molecules, %: 0 in every cell."
    assert len(section["figures"]) <= before
    assert "Mitochondrial" not in str([one["layout"]["title"] for one in section["figures"]])


def test_nearly_all_kept_is_not_all(full):
    qc = full.samples_qc["s2"]
    obs = qc.obs.loc[qc.obs.index.repeat(30)].copy()
    obs["pass_qc"] = [False] + [True] * (len(obs) - 1)
    full.samples_qc["s2"] = type(qc)(obs=obs.set_axis([str(i) for i in range(len(obs))]))
    row = next(row for row in qc_section(full)["table"]["rows"] if row[0] == "s2")
    assert row[6] == ">99.9%"
