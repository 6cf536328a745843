import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from scpress.report.agreement import delivered_agreement, describe_delivered, describe_seeds
from scpress.tables.evaluation import SeedScores


def test_agreement_is_over_the_labelled_cells(full):
    obs = full.cells.obs
    label = obs["label"].astype(object)
    # Wrong in every cluster, were they counted as one label.
    label[::3] = None
    obs["label"] = label.astype("category")
    known = obs["label"].notna() & (obs["label"] != "")
    both = obs["label"][known].astype(str), obs["leiden"][known].astype(str)
    found = delivered_agreement(full)
    assert found["ari_chosen"] == pytest.approx(adjusted_rand_score(*both))
    assert found["nmi_chosen"] == pytest.approx(normalized_mutual_info_score(*both))


@pytest.mark.parametrize("label", [None, "one"])
def test_without_two_labels_there_is_none(full, label):
    full.cells.obs["label"] = pd.Categorical([label] * full.cells.n_obs)
    assert delivered_agreement(full) == {}
    del full.cells.obs["label"]
    assert delivered_agreement(full) == {}


def test_what_the_delivered_clusters_are_made_from_is_named(full):
    record = full.cells.uns["scpress"]["cluster"]
    record |= {"seed": 3, "n_seeds": 1, "chosen_resolution": 0.6}
    assert describe_delivered(full) == "the delivered clusters:\nseed 3, resolution 0.6"
    record |= {"n_seeds": 2, "chosen_resolution": np.nan}
    assert describe_delivered(full) == "the delivered clusters:\n2 seeds together, one cluster"


def test_scores_of_seeds_name_seed_and_resolution(full):
    seeds = {
        "0": SeedScores(ari_best=0.5, best_resolution=0.2, ari_chosen=0.4, chosen_resolution=1.4),
        "7": SeedScores(ari_chosen=0.0, silhouette=0.1),
    }
    evaluation = dataclasses.replace(full.evaluations[0], seeds=seeds)
    assert describe_seeds(evaluation, "ari_best") == "seed 0: 0.500 at resolution 0.2"
    assert describe_seeds(evaluation, "ari_chosen") == (
        "seed 0: 0.400 at resolution 1.4\nseed 7: 0.000 as one cluster"
    )
    assert describe_seeds(evaluation, "silhouette") == ""
