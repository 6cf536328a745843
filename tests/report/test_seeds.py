import re

import numpy as np
import pytest

from scpress.config.options import ReportOptions
from scpress.report.page import build_report
from scpress.report.seeds import describe_neighbors, subtype_seeds, unsure_subtypes
from scpress.report.summary import collect_metrics, write_headline


@pytest.fixture
def seeded(full):
    """As if two seeds had been looked at: the first subtype is in one latent alone."""
    record = full.cells.uns["scpress"]
    record["cluster"] |= {"n_seeds": 2, "neighbor_chance": 0.0123}
    n_obs = full.cells.n_obs
    full.cells.obs["neighbor_agreement"] = np.linspace(0, 1, n_obs, dtype=np.float32)
    names = [name for name in full.cells.obs["subtype"].cat.categories if name[-2] == "."]
    record["subtype"] |= {
        "n_seeds": 2,
        "seeds": {
            "subtype": np.array(names),
            "n_found": np.array([1] + [2] * (len(names) - 1)),
            "least": np.array([0.031] + [0.9] * (len(names) - 1)),
            "most": np.full(len(names), 0.98),
        },
    }
    return full, names


def test_neighbours_are_said_beside_what_chance_gives(seeded):
    full, _ = seeded
    text = describe_neighbors(full)
    assert "latents of 2 seeds by a Jaccard index of 0.50 in the median cell" in text
    assert "(0.10 to 0.90 in the middle 80 %)" in text
    assert "drawn at random have 0.012." in text
    assert collect_metrics(full)["median_neighbor_agreement"] == pytest.approx(0.5)


def test_of_one_seed_nothing_can_be_told(full):
    assert describe_neighbors(full).startswith("One seed was trained")
    assert "cannot be told" in describe_neighbors(full)
    full.cells.uns["scpress"]["models"]["m"]["options"]["preset"] = "pca"
    assert describe_neighbors(full) == "PCA is solved in closed form, which no seed changes."
    assert subtype_seeds(full) == {}
    assert unsure_subtypes(full) == []
    del full.cells.uns["scpress"]["cluster"]
    assert describe_neighbors(full) == ""


def test_a_subtype_that_a_seed_does_not_have_is_marked(seeded):
    full, names = seeded
    found = subtype_seeds(full)
    assert found[names[0]] == "1 of 2 (ARI 0.03 to 0.98), unsure"
    assert found[names[1]] == "2 of 2 (ARI 0.90 to 0.98)"
    assert unsure_subtypes(full) == names[:1]
    metrics = collect_metrics(full)
    assert metrics["unsure_subtypes"] == names[:1]
    said = f"with markers of their own; not every seed's latent has {names[0]}."
    assert said in " ".join(write_headline(full, metrics))


def test_the_page_has_a_column_of_seeds_where_there_are_several(seeded):
    full, _ = seeded
    text = re.sub(r"\s+", " ", build_report(full, ReportOptions())[0])
    assert "seeds whose latent has it" in text
    assert "not every seed has " in text
    full.cells.uns["scpress"]["subtype"]["seeds"]["n_found"][:] = 2
    assert "every seed has all of them" in build_report(full, ReportOptions())[0]
    del full.cells.uns["scpress"]["subtype"]["seeds"]
    assert "seeds whose latent has it" not in build_report(full, ReportOptions())[0]
