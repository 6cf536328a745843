"""How things are said: counts with their nouns, shares, names of genes, sentences."""

import pandas as pd


def count(n: float, noun: str) -> str:
    """`3 clusters`, `1 cluster`, `12,345 cells`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def share(part: float, whole: float, digits: int = 0) -> str:
    """`12%`; 0% and 100% are said of none and of all alone."""
    value = part / whole if whole else 0.0
    least = 10.0 ** -(digits + 2)
    # Halves are rounded to the even digit: just one half is still none.
    if 0 < value <= least / 2:
        return f"<{least:.{digits}%}"
    if 1 - least / 2 <= value < 1:
        return f">{1 - least:.{digits}%}"
    return f"{value:.{digits}%}"


def join(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def genes_of(table: pd.DataFrame) -> pd.Series:
    """[rows] Symbols of a table's genes, and names of those without one."""
    symbol = table["gene_symbol"].astype(object).fillna("").astype(str)
    return symbol.where(symbol.ne(""), table["gene"].astype(str))


def sentence(text: str) -> str:
    """The text with its first letter a capital."""
    return text[:1].upper() + text[1:]
