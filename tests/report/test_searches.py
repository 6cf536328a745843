"""What the page says of a search: what was chosen, by how much, and the scree."""

from dataclasses import replace

import pytest

from scpress.config.options import ReportOptions
from scpress.report.page import build_report
from scpress.report.searches import describe_search, scree_figure, search_section
from scpress.tables.search import Search, Trial


def trial(settings, *losses, difference=None, error=None):
    return Trial(settings=settings, losses=losses, difference=difference, error=error)


@pytest.fixture
def found():
    return Search(
        model="vae",
        given={},
        steps=(500, 20_000),
        eta=3,
        rung=2,
        trials=(
            trial({}, 14.0, 12.0, difference=2.0, error=0.5),
            trial({"hidden": [64], "decoder": "linear"}, 13.0, 10.0, difference=0.0, error=0.0),
            trial({"epsilon": 0.1}, 13.5, 10.25, difference=0.25, error=0.125),
            trial({"epsilon": 0.5}, 19.0, difference=6.0, error=0.25),
            trial({"epsilon": 0.9}),
        ),
        entered=(),
        preferred=(0,),
        chosen=1,
    )


def sizes(*differences, chosen):
    trials = [
        trial({"n_latent": 2**n}, 10 + one, difference=one, error=0.5)
        for n, one in enumerate(differences)
    ]
    return Search(
        model="vae",
        given={},
        steps=(500,),
        eta=3,
        rung=1,
        trials=tuple(trials),
        entered=(),
        preferred=tuple(range(len(trials))),
        singular_values=(9.0, 4.0, 1.0),
        threshold=2.5,
        guess=2,
        chosen=chosen,
    )


def test_better_settings_are_said_with_their_margin(found):
    assert describe_search(found) == (
        "Of 5 settings of vae hidden [64], decoder linear predicts molecules that were held out "
        "best; the model as it is is worse by 2.00 ± 0.50 nats per cell; epsilon 0.1, the next, by "
        "0.25 ± 0.12 nats per cell."
    )


def test_the_models_own_settings_stay_where_others_are_not_clearly_better(found):
    stays = replace(found, chosen=0)
    assert describe_search(stays) == (
        "Of 5 settings of vae the model as it is stays: no other predicts held-out molecules "
        "better by more than its error; hidden [64], decoder linear is better by "
        "2.00 ± 0.50 nats per cell."
    )
    unended = replace(found, chosen=None)
    assert describe_search(unended).endswith("vae has not come to its end.")


def test_the_size_of_a_latent_is_the_smallest_that_will_do():
    assert describe_search(sizes(3.0, 0.25, 0.0, chosen=1)) == (
        "The latent of vae has 2 dimensions, the smallest size within one standard error of the "
        "best on molecules that were held out; n_latent 4 is better by 0.25 ± 0.50 nats per cell. "
        "2 dimensions of the counts stand out of their noise."
    )
    assert "; " not in describe_search(sizes(3.0, 2.0, 0.0, chosen=2))


def test_the_table_has_every_trial_and_where_it_stopped(found):
    table = search_section(found)["table"]
    assert table["header"][:3] == ["settings", "up to 500 steps", "up to 20,000 steps"]
    rows = table["rows"]
    assert {len(row) for row in rows} == {len(table["header"])}
    assert rows[1] == ["hidden [64], decoder linear", "13.00", "10.00", "best", "chosen"]
    assert rows[3] == [
        "epsilon 0.5",
        "19.00",
        "",
        {"text": "6.00", "range": "± 0.25", "best": False},
        "",
    ]
    assert rows[4] == ["epsilon 0.9", "", "", "its training failed", ""]


def test_the_scree_has_every_value_and_the_threshold():
    figure = scree_figure(sizes(1.0, 0.0, chosen=1))
    assert figure["data"][0]["x"] == [1, 2, 3]
    assert figure["data"][0]["y"] == [9.0, 4.0, 1.0]
    (line,) = figure["layout"]["shapes"]
    assert line["y0"] == line["y1"] == 2.5
    assert (line["x0"], line["x1"]) == (0, 1)


def test_the_page_shows_the_searches(full, found, unlinked):
    full.searches = [found, sizes(1.0, 0.0, chosen=1)]
    page, metrics = build_report(full, ReportOptions())
    assert "predicts molecules that were held out best" in unlinked(page)
    assert page.count("Settings of vae</h3>") == 2
    assert page.count("Singular values of the counts") == 1
    assert metrics["searches"] == [one.as_plain() for one in full.searches]
