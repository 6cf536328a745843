import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from scpress.config.options import EvaluateOptions
from scpress.errors import InputError
from scpress.steps import evaluate as step
from scpress.steps.evaluate import evaluate
from scpress.tables.evaluation import Evaluation, SeedScores

QUICK = EvaluateOptions(resolutions=(0.2, 1.0))


@pytest.fixture(scope="module")
def cells():
    """200 cells of 2 labels in 2 batches: the latent of seed 0 knows the labels, of 1 nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(200) % 2
    batch = rng.integers(0, 2, 200)
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(np.array(["a", "b"])[label]),
            "sample": pd.Categorical(np.array(["one", "two"])[batch]),
        },
        index=[f"cell{number}" for number in range(200)],
    )
    good = rng.normal(size=(200, 6))
    good[:, 0] += 12 * label
    bad = rng.normal(size=(200, 6))
    return obs, {0: _latent(obs, good, 0), 1: _latent(obs, bad, 1)}


def _latent(obs, points, seed):
    return ad.AnnData(
        obs=obs[[]],
        obsm={"X_model": points.astype(np.float32)},
        uns={"scpress": {"model": "model", "seed": seed}},
    )


def test_the_best_resolution_is_the_labels_and_the_chosen_one_is_stabilitys(monkeypatch):
    truth = np.repeat(["a", "b", "c", ""], 20)
    clusters = {
        0.2: np.repeat([0, 0, 1, 1], 20),
        1.0: np.repeat([0, 1, 2, 2], 20),
        2.0: np.arange(80) % 7,
    }
    known = truth != ""
    seen = {}

    class Communities:
        def __init__(self, graph):
            assert graph.n_obs == known.sum()

        def find(self, resolution, *, seed):
            return clusters[resolution][known]

    def cluster(latent, options, *, model, seed):
        seen["resolutions"] = options.resolutions
        obs = pd.DataFrame({"leiden": clusters[0.2][known].astype(str)}, index=latent.obs_names)
        record = {"chosen_resolution": 0.2}
        return ad.AnnData(obs=obs, uns={"scpress": {"cluster": record}})

    monkeypatch.setattr(step, "Communities", Communities)
    monkeypatch.setattr(step, "build_graph", lambda points, **_: ad.AnnData(points))
    monkeypatch.setattr(step, "cluster", cluster)
    options = EvaluateOptions(resolutions=(0.2, 1.0, 2.0))
    points = np.random.default_rng(0).normal(size=(80, 3))
    scores = step._label_scores(points, truth, options)
    assert seen["resolutions"] == options.resolutions
    assert (scores["best_resolution"], scores["chosen_resolution"]) == (1.0, 0.2)
    assert scores["ari_best"] == scores["nmi_best"] == 1.0
    chosen = clusters[0.2][known]
    assert scores["ari_chosen"] == pytest.approx(adjusted_rand_score(truth[known], chosen))
    nmi = normalized_mutual_info_score(truth[known], chosen)
    assert scores["nmi_chosen"] == pytest.approx(nmi)
    assert scores["n_clusters_chosen"] == 2
    assert scores["silhouette"] == pytest.approx(silhouette_score(points[known], truth[known]))


@pytest.fixture(scope="module")
def result(cells):
    obs, latents = cells
    return evaluate(obs, latents, QUICK, model="model")


def test_labels_are_scored_per_seed_and_over_seeds(cells, result):
    obs, latents = cells
    good, bad = result.seeds["0"], result.seeds["1"]
    assert good.ari_best == good.ari_chosen == good.nmi_chosen == 1.0
    assert good.n_clusters_chosen == 2
    assert abs(bad.ari_best) < 0.2
    assert bad.chosen_resolution is None
    expected = silhouette_score(latents[0].obsm["X_model"], obs["label"])
    assert good.silhouette == pytest.approx(expected)
    summary = result.summary["ari_chosen"]
    assert (summary.low, summary.high, summary.n_seeds) == (bad.ari_chosen, 1.0, 2)
    text = json.dumps(result.as_plain(), allow_nan=False)
    assert Evaluation.from_plain(json.loads(text), "x") == result


def test_mixed_batches_score_high_and_separate_ones_low(cells, result):
    obs, _ = cells
    mixed = result.seeds["0"]
    points = np.random.default_rng(1).normal(size=(200, 6))
    points[:, 0] += 12 * (obs["sample"] == "two")
    apart = evaluate(obs, {0: _latent(obs, points, 0)}, QUICK, model="model").seeds["0"]
    for score in ("ilisi", "kbet", "silhouette_batch"):
        assert getattr(mixed, score) > getattr(apart, score) + 0.2, score
    assert mixed.graph_connectivity > 0.9


def test_cells_without_a_label_are_left_out(cells):
    obs, latents = cells
    part = obs.drop(columns="sample")
    part["label"] = part["label"].where(np.arange(200) >= 20)
    scores = evaluate(part, {0: latents[0]}, QUICK, model="model").seeds["0"]
    assert scores.ari_best == 1.0
    assert scores.ilisi is None


def test_nothing_to_compare_with_is_said_so(cells):
    obs, latents = cells
    found = evaluate(obs[[]], latents, QUICK, model="model")
    assert not found.has_labels
    assert not found.has_batches
    assert "nothing to compare" in found.message
    assert found.seeds == {"0": SeedScores(), "1": SeedScores()}


def test_many_cells_use_a_stated_subsample(cells):
    obs, latents = cells
    options = EvaluateOptions(resolutions=(0.2,), max_cells=100, batch_key=None)
    found = evaluate(obs, {0: latents[0]}, options, model="model")
    assert found.n_scored_cells == 100
    assert found.n_cells == 200


def test_wrong_input_is_said_so(cells):
    obs, latents = cells
    with pytest.raises(InputError, match=r"batch_key 'donor' is no obs column; there are label"):
        evaluate(obs, latents, EvaluateOptions(batch_key="donor"), model="model")
    with pytest.raises(InputError, match="X_other"):
        evaluate(obs, latents, QUICK, model="other")
    with pytest.raises(InputError, match="latent of 'model' 200, not the same ones"):
        evaluate(obs[::-1], latents, QUICK, model="model")
