"""The report as one self-contained page: sections in, HTML out."""

import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from scpress import slots
from scpress.config.options import ReportOptions
from scpress.report import sections
from scpress.report.anomalies import anomaly_section
from scpress.report.bytes import archive_section, compression_section
from scpress.report.cells import collect_dots, collect_map
from scpress.report.clusters import clusters_section, marker_tables
from scpress.report.donors import donors_section
from scpress.report.false_signals import false_signals_section
from scpress.report.genes import genes_section
from scpress.report.glossary import explain, list_words
from scpress.report.inputs import ReportInputs
from scpress.report.learning_curve import learning_curve_section
from scpress.report.programs import programs_section
from scpress.report.samples import samples_section
from scpress.report.scores import describe_likelihood, scores_section
from scpress.report.searches import search_section
from scpress.report.summary import collect_metrics, write_headline
from scpress.report.words import count, share

# Where the template wants the glossary, which is known when all else is said.
_WORDS = "<!-- words -->"


def build_report(inputs: ReportInputs, options: ReportOptions) -> tuple[str, dict[str, Any]]:
    """Build the page as HTML that loads nothing from anywhere, and its key numbers."""
    metrics = collect_metrics(inputs)
    context = {
        "title": options.title,
        "metrics": metrics,
        "headline": write_headline(inputs, metrics),
        "cards": _cards(metrics),
        "runs": sections.runs_section(inputs),
        "qc": sections.qc_section(inputs),
        "training": sections.training_section(inputs),
        "learning_curve": learning_curve_section(inputs),
        "scores": scores_section(inputs),
        "genes": genes_section(inputs.genes),
        "likelihoods": [describe_likelihood(one) for one in inputs.likelihoods],
        "searches": [search_section(one) for one in inputs.searches],
        "models": sections.models_section(inputs),
        "map": collect_map(inputs, max_cells=options.max_cells),
        "clusters": clusters_section(inputs),
        "dots": collect_dots(inputs, options.n_markers),
        "marker_tables": marker_tables(inputs),
        "types": sections.types_section(inputs),
        "samples": samples_section(inputs),
        "subtypes": sections.subtypes_section(inputs),
        "programs": programs_section(inputs, max_cells=options.max_cells),
        "anomalies": anomaly_section(inputs, max_cells=options.max_cells),
        "donors": donors_section(inputs),
        "false_signals": false_signals_section(inputs),
        "archive": archive_section(inputs),
        "compression": compression_section(inputs),
        "primary": inputs.primary,
        "path": inputs.path,
        "path_literal": json.dumps(inputs.path, ensure_ascii=False),
        "count": count,
        "obsm": slots.LATENT.of(inputs.primary) if inputs.primary else None,
    }
    return _render(context), metrics


def _cards(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Choose (number, what it is) for the row under the title."""
    cards = [(f"{metrics['n_cells']:,}", "cells")]
    for key, noun in (("n_samples", "sample"), ("n_modelled_genes", "modelled gene")):
        if metrics[key] is not None:
            cards.append(_card(metrics[key], noun))
    if metrics["n_clusters"] is not None:
        cards.append(_card(metrics["n_clusters"], "cluster"))
    if metrics["cell_types"] is not None:
        cards.append(_card(len(metrics["cell_types"]), "cell type"))
    if metrics["n_unassigned"] is not None:
        cards.append((share(metrics["n_unassigned"], metrics["n_cells"]), "unassigned"))
    if metrics["n_donors"] is not None:
        cards.append(_card(metrics["n_donors"], "donor"))
    if metrics["n_subtypes"] is not None:
        cards.append(_card(metrics["n_subtypes"], "subtype"))
    return cards


def _card(n: int, noun: str) -> tuple[str, str]:
    number, _, words = count(n, noun).partition(" ")
    return number, words


def _render(context: dict[str, Any]) -> str:
    folder = files("scpress.report")
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embed"] = embed_json
    template = environment.from_string((folder / "page.jinja").read_text())
    page = template.render(
        context,
        css=Markup((folder / "page.css").read_text()),
        js=Markup((folder / "page.js").read_text()),
        plotly=Markup(get_plotlyjs().replace("</script", r"<\/script")),
    )
    start, end = page.index("<main"), page.index("</main>")
    main, words = explain(page[start:end])
    return page[:start] + main.replace(_WORDS, list_words(words)) + page[end:]


def embed_json(value: Any) -> Markup:
    """JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
