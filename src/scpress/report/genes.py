"""Which genes held-out molecules chose to be modelled, beside what else was tried."""

from typing import Any

from scpress.report.words import share
from scpress.tables.genes import GenesChoice


def genes_section(choice: GenesChoice | None) -> dict[str, Any] | None:
    """A sentence, and a table of all numbers and rankings."""
    if choice is None:
        return None
    best = min(choice.candidates, key=lambda one: one.loss)
    chosen = next(
        one
        for one in choice.candidates
        if (one.n_genes, one.flavor) == (choice.chosen, choice.flavor)
    )
    ranking = "" if chosen.n_genes == choice.n_all else f" of the ranking {chosen.flavor}"
    text = f"Modelled are {_named(choice, chosen.n_genes)}{ranking}: "
    if best is chosen is choice.candidates[0]:
        text += "the fewest that were tried predict held-out molecules of all genes best"
    elif best is chosen:
        text += (
            "no smaller number that was tried predicts held-out molecules of all genes as well, "
            "within one standard error"
        )
    else:
        text += (
            "the fewest within one standard error of what predicts held-out molecules of all genes "
            "best"
        )
    text += (
        f". It was tried with model {choice.model}, seed {choice.seed}, on {choice.n_cells:,} "
        f"cells and {choice.n_folds} folds of their molecules; genes that are not modelled get "
        "what the means give."
    )
    if choice.left_out:
        numbers = " and ".join(_named(choice, n) for n in choice.left_out)
        text += f" Left out, as more than max_genes ({choice.max_genes:,}): {numbers}."
    rows = [
        [
            _named(choice, one.n_genes) + (" (chosen)" if one is chosen else ""),
            "-" if one.n_genes == choice.n_all else one.flavor,
            share(one.share, 1),
            "best"
            if one is best
            else {"text": f"{one.difference:.2f}", "range": f"± {one.error:.2f}", "best": False},
        ]
        for one in choice.candidates
    ]
    header = ["genes", "ranking", "of the molecules", "loss, nats per cell above the best"]
    return {"text": text, "table": {"header": header, "rows": rows}}


def _named(choice: GenesChoice, n_genes: int) -> str:
    return f"all {n_genes:,} genes" if n_genes == choice.n_all else f"{n_genes:,} genes"
