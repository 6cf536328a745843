"""The headline says what the numbers say, and the numbers what the run gave."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from scpress.cells.stability import adjusted_rand_index
from scpress.report.summary import collect_metrics, sample_numbers, summarize, write_headline


def test_metrics_are_those_of_the_run(full):
    metrics = collect_metrics(full)
    json.dumps(metrics, allow_nan=False)
    obs = full.cells.obs
    assert metrics["n_cells"] == full.cells.n_obs
    types = obs["cell_type"].value_counts().to_dict()
    assert metrics["n_unassigned"] == types.pop("unassigned") == 20
    assert metrics["cell_types"] == types
    subtypes = obs["subtype"].astype(str).unique()
    assert metrics["n_subtypes"] == sum(name[-2] == "." for name in subtypes) >= 2
    known = obs["label"].notna() & (obs["label"] != "")
    ari = adjusted_rand_index(obs["label"][known].astype(str), obs["leiden"][known].astype(str))
    assert metrics["cluster_label_ari"] == pytest.approx(ari)
    record = full.models["m"]
    assert metrics["models"]["m"]["verdict"]["score"] == record.verdict.score
    assert metrics["models"]["m"]["held_out"]["nll"] == record.held_out.nll
    assert metrics["compressions"][0]["with_decoder"]["total_bytes"] == (
        full.compressions[0].with_decoder.total_bytes
    )
    samples = metrics["samples"]
    assert sum(one["n_kept"] for one in samples.values()) == full.cells.n_obs
    failed = {name: one["n_cells"] - one["n_kept"] for name, one in samples.items()}
    assert failed == {name: one["reasons"].get("min_counts", 0) for name, one in samples.items()}
    assert sum(failed.values()) > 0


def test_headline_says_the_numbers(full):
    metrics = collect_metrics(full)
    words = " ".join(write_headline(full, metrics))
    verdict = full.models["m"].verdict
    for part in (
        f"{full.cells.n_obs} cells",
        f"{metrics['n_clusters']} clusters",
        "2 cell types",
        f"{metrics['n_unassigned'] / full.cells.n_obs:.0%} of the cells are unassigned",
        f"{metrics['n_subtypes']} subtypes",
        f"whose fit is ok: it explains held-out cells with {verdict.score:.1f} nats per cell where "
        f"gene means alone need {verdict.gene_mean_nll:.1f}",
        f"{full.compressions[0].stored.ratio:.1f} times smaller",
    ):
        assert part in words, words


@pytest.mark.parametrize(
    ("ratio", "even", "says"),
    [
        (2.5, 10, "with the decoder counted, 2.5 times. It is lossy"),
        (1.0, 10, "with the decoder counted, 1.0 times"),
        (0.9, 4321, "smaller from 4,321 cells on"),
        (0.9, None, "larger, whatever the number of cells"),
    ],
)
def test_the_decoder_is_counted_in_words(full, ratio, even, says):
    one = full.compressions[0]
    part = dataclasses.replace(one.with_decoder, ratio=ratio, break_even_cells=even)
    full.compressions = [dataclasses.replace(one, with_decoder=part)]
    assert says in write_headline(full, collect_metrics(full))[-1]


def unassigned(full, n, panel):
    types = full.cells.obs["cell_type"].astype(str).to_numpy()
    types[:n] = "unassigned"
    full.cells.obs["cell_type"] = pd.Categorical(types)
    full.cells.uns["scpress"]["annotate"]["panel"] = panel
    return write_headline(full, collect_metrics(full))


def test_a_tissue_that_the_panel_does_not_know_is_the_first_thing_said(full):
    n = full.cells.n_obs
    first = unassigned(full, n, "mine.tsv")[0]
    assert first.startswith("Beware: 100% of the cells have no type of the panel")
    assert "mine.tsv" in first
    assert "annotate: panel:" in first


def test_a_known_tissue_and_given_labels_have_no_warning_of_the_panel(full):
    n = full.cells.n_obs
    assert "Beware" not in " ".join(unassigned(full, n // 3, "mine.tsv"))
    assert "Beware" not in " ".join(unassigned(full, n, None))


def test_subtypes_that_nobody_looked_for_are_not_said_to_be_missing(full):
    groups = {"group": ["unassigned"], "n_cells": [9], "n_subtypes": [1], "reason": ["none"]}
    full.cells.uns["scpress"]["subtype"]["groups"] = groups
    words = " ".join(write_headline(full, collect_metrics(full)))
    assert "Subtypes were not looked for" in words
    assert "came back" not in words


def test_sample_numbers_count_a_cell_for_each_of_its_reasons():
    obs = pd.DataFrame(
        {"pass_qc": [True, False, False], "qc_reason": ["", "a;b", "b"]}, index=list("xyz")
    )
    assert sample_numbers(obs) == {"n_cells": 3, "n_kept": 1, "reasons": {"a": 1, "b": 2}}
    assert sample_numbers(pd.DataFrame(index=["a", "b"]))["n_kept"] == 2


def test_summarize_leaves_out_what_is_not_finite():
    assert summarize([1.0, None, float("nan"), 4.0]) == (2.5, 1.0, 4.0)
    assert summarize([None]) is None


def headline(full):
    return write_headline(full, collect_metrics(full))


def test_cells_that_were_lost_are_lost_for_a_reason(full):
    metrics = collect_metrics(full)
    n = sum(one["n_cells"] - one["n_kept"] for one in metrics["samples"].values())
    assert f"did not ({n} had too few molecules)." in headline(full)[0]
    qc = full.samples_qc["s2"].obs.copy()
    qc["qc_reason"] = qc["qc_reason"].astype(str)
    qc.loc[qc.index[qc["qc_reason"] != ""], "qc_reason"] = "min_counts;doublet"
    full.samples_qc["s2"].obs = qc
    said = headline(full)[0]
    own = int((qc["qc_reason"] != "").sum())
    assert f"and {own} had signs of a doublet; some for two reasons)" in said
    full.samples_qc = {}
    assert "did not" not in headline(full)[0]


def test_a_failed_fit_that_was_kept_is_the_first_thing_said(full):
    verdict = full.cells.uns["scpress"]["models"]["m"]["verdict"]
    verdict |= {"status": "failed", "score": 800.0, "gene_mean_nll": 750.0}
    first, *rest = headline(full)
    assert first.startswith("Beware: the fit of m failed and was kept")
    assert "800.0 nats per cell, no better than gene means alone (750.0)" in first
    # Nobody says that it explains anything.
    assert "explains held-out cells" not in " ".join([first, *rest])
    assert "Clusters are made from model m (trained on cpu)." in rest


def test_of_one_cluster_nothing_is_said_that_needs_two(full):
    full.cells.obs["leiden"] = pd.Categorical(["0"] * full.cells.n_obs)
    record = full.cells.uns["scpress"]["cluster"]
    record |= {"chosen_resolution": float("nan"), "n_seeds": 2}
    full.markers = full.markers.iloc[:0]
    words = " ".join(headline(full))
    assert "All cells are one cluster: no finer clustering came back" in words
    for wrong in ("ARI", "marks", "all of them again", "There are"):
        assert wrong not in words
    record["chosen_resolution"] = 0.2  # as the user said, whatever its stability
    words = " ".join(headline(full))
    assert "All cells are one cluster at the given Leiden resolution 0.2." in words
    assert "came back when cells were left out" not in words


def test_without_labels_no_agreement_is_said(full):
    del full.cells.obs["label"]
    assert "labels" not in " ".join(headline(full))


def test_one_sample_is_said_in_the_singular(full):
    full.cells.obs["sample"] = pd.Categorical(["s2"] * full.cells.n_obs)
    assert "genes of 1 sample " in headline(full)[0]


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("all", "No gene marks any cluster: none is clearly higher in one than in all other"),
        ("0", "No gene marks cluster 0: take it with care."),
        ("", ""),
    ],
)
def test_clusters_without_markers_are_named(full, without, said):
    own = full.markers["group"].astype(str)
    full.markers = full.markers[(own != without) & (without != "all")]
    words = " ".join(headline(full))
    assert said in words
    assert ("No gene marks" in words) == bool(said)


@pytest.mark.parametrize(
    ("n_seeds", "unconfirmed", "said"),
    [
        (1, [], None),
        (2, [], "Each of 2 seeds of the model finds "),
        (2, ["1"], "Take cluster 1 with care: not every seed of the model finds it again."),
        (3, ["0", "1"], "Take clusters 0 and 1 with care: not every seed of the model finds them"),
    ],
)
def test_clusters_to_trust_are_told_from_the_others(full, n_seeds, unconfirmed, said):
    full.cells.uns["scpress"]["cluster"] |= {
        "n_seeds": n_seeds,
        "unconfirmed": np.array(unconfirmed, dtype=str),
    }
    words = " ".join(headline(full))
    assert ("seed" in words) == (said is not None)
    assert said is None or said in words


def test_types_are_given_or_named_and_every_cell_may_have_one(full):
    record = full.cells.uns["scpress"]["annotate"]
    assert "2 cell types were given: " in " ".join(headline(full))
    record["panel"] = "mine.tsv"
    assert "2 cell types were named: " in " ".join(headline(full))
    full.cells.obs["cell_type"] = pd.Categorical(["B"] * full.cells.n_obs)
    assert "1 cell type was named: B (100%); every cell has one." in headline(full)
