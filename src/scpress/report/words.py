"""How numbers are said: counts with their nouns, and shares that are not rounded to none or all."""


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
