"""Words are linked where a section first says them, and nowhere that a link would break."""

import re

import pytest

from scpress.config.options import ReportOptions
from scpress.report.glossary import WORDS, explain, list_words
from scpress.report.page import build_report


def linked(page):
    return re.findall(r'<a class="word" href="#word-([\w-]+)"[^>]*>([^<]*)</a>', page)


def test_the_first_place_of_each_section_is_linked():
    page = "<section><p>nats and nats</p><p>nats</p></section><section><p>1 nat</p></section>"
    text, words = explain(page)
    assert linked(text) == [("nats", "nats"), ("nats", "nat")]
    assert re.sub(r"</?a[^>]*>", "", text) == page
    assert [word.name for word in words] == ["nats"]


@pytest.mark.parametrize(
    "page",
    [
        "<h2>The ARI</h2>",
        "<td>ARI</td>",
        "<p><code>ARI</code> <a href='#x'>ARI</a> <button>ARI</button></p>",
        '<p title="ARI">x</p>',
        '<script type="application/json">{"ARI": "nats"}</script>',
        "<p>VARIABLE, SARI and ARI-like</p>",
    ],
)
def test_other_places_stay_as_they_are(page):
    assert explain(page) == (page, [])


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("deviance of unseen molecules explained", "deviance explained"),
        ("PCA of Pearson", "PCA"),
        ("it overfits", "overfitting"),
        ("Held-out cells", "held out"),
        ("the adjusted Rand index", "ARI"),
        ("silhouette batch", "silhouette"),
        ("&minus;log p(x | z)", "NLL"),
    ],
)
def test_a_word_is_known_in_the_forms_that_the_page_says(said, name):
    words = explain(f"<p>{said}</p>")[1]
    assert [word.name for word in words] == [name]


def test_every_word_of_the_page_is_explained_at_its_end(full):
    text, _ = build_report(full, ReportOptions())
    of_page = {slug for slug, _ in linked(text)}
    assert {"nats", "ari", "held-out", "deviance-explained", "latent", "decoder"} <= of_page
    listed = re.findall(r'<dd id="word-([\w-]+)">(.+)</dd>', text)
    assert {slug for slug, _ in listed} == of_page
    assert all(len(meaning) > 40 for _, meaning in listed)


def test_words_that_a_biologist_asked_for_are_there():
    assert {"nats", "iLISI", "kBET", "NLL", "deviance explained"} <= set(WORDS)
    assert len({word.slug for word in WORDS.values()}) == len(WORDS)
    html = list_words([WORDS["NLL"]])
    assert html.startswith('<div><dt>NLL</dt><dd id="word-nll">Negative log-likelihood')
