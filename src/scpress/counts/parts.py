"""Which matrices of a file hold its molecules, and how several of them are added up."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import sparse

from scpress.errors import InputError

# Layers that hold a part of the molecules each: of RNA velocity (spliced, unspliced), kb_python
# (mature, nascent), alevin-fry (U, S, A) and dropEst.
_PARTS = frozenset(
    "spliced unspliced ambiguous mature nascent exon intron spanning U S A".split()  # noqa: SIM905
)


def choose_parts(layer: str | None, parts: list[str], where: str, messages: list[str]) -> list[str]:
    """Parts of the molecules that are added up: all, or those that `layer` joins by '+'.

    Raises
    ------
    InputError
        There is no such part.
    """
    chosen = parts if layer in (None, "X") else str(layer).split("+")
    if missing := [part for part in chosen if part not in parts]:
        raise InputError(
            f"'{where}' has no layer {missing[0]!r}; it holds {', '.join(parts)}. "
            "Name some of them, joined by '+', or none to add them all."
        )
    _require_once(chosen)
    if len(parts) > 1:
        messages.append(f"molecules that are counted: {' + '.join(chosen)}; `layer` chooses others")
    return chosen


def find_matrices(keys: list[str], layer: str | None, where: str) -> tuple[list[str], str]:
    """Where the counts and their genes are, from the matrices there are and the `layer` option.

    Several layers that the option joins by '+' are all given; a layer may have such a name, too.

    Raises
    ------
    InputError
        There is no such matrix.
    """
    whole = _key(layer)
    found = [whole]
    if whole not in keys and layer is not None and "+" in layer:
        found = [_key(name) for name in layer.split("+")]
        _require_once(found)
    # `raw` has genes of its own, which are not added to those of the layers.
    missing = [key for key in found if key not in keys or (len(found) > 1 and key == "raw/X")]
    if missing:
        there = ", ".join(name_places(keys, [])) or "no matrix"
        wanted = "X" if layer is None else repr(layer if len(found) == 1 else missing[0][7:])
        raise InputError(
            f"{where} has no counts at {wanted}; it holds {there}. "
            "Set `layer` to where the raw counts are."
        )
    return found, "raw/var" if found == ["raw/X"] else "var"


def _key(layer: str | None) -> str:
    return "X" if layer in (None, "X") else "raw/X" if layer == "raw" else f"layers/{layer}"


def _require_once(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise InputError(f"`layer` names {twice.removeprefix('layers/')!r} twice; name it once.")


def name_places(keys: Sequence[str], used: Sequence[str]) -> tuple[str, ...]:
    """Name the matrices other than the used ones as the option `layer` does."""
    names = {"X": "X", "raw/X": "raw"}
    return tuple(names.get(key, f"layer {key[7:]!r}") for key in keys if key not in used)


def tell_parts(
    keys: Sequence[str], used: Sequence[str], layer: str | None, total: Callable[[str], float]
) -> list[str]:
    """What is said of a matrix that holds a part of the molecules, the rest of which is in layers.

    Parameters
    ----------
    used
        The matrices that are read.
    total
        Gives the molecules of a matrix.
    """
    if len(used) > 1:
        names = [key.removeprefix("layers/") for key in used]
        return [f"molecules that are counted: {' + '.join(names)}"]
    parts = [key for key in keys if key.removeprefix("layers/") in _PARTS]
    if layer is not None or len(parts) < 2:
        return []
    own, whole = total(used[0]), sum(total(key) for key in parts)
    # Floats are added in another order.
    if own >= whole * (1 - 1e-6):
        return []
    joined = "+".join(key.removeprefix("layers/") for key in parts)
    return [
        f"X holds {own:.0f} molecules and the layers {joined.replace('+', ', ')} together "
        f"{whole:.0f}: X may be a part of them. `layer` {joined} counts them all"
    ]


def add_blocks(parts: list[Iterator[sparse.csr_matrix]]) -> Iterator[sparse.csr_matrix]:
    """Sum of blocks of rows that are cut at different places."""
    blocks = [next(part, None) for part in parts]
    while all(block is not None for block in blocks):
        there = [_widen(block) for block in blocks if block is not None]
        n_rows = min(block.shape[0] for block in there)
        total = there[0][:n_rows]
        for block in there[1:]:
            total = total + block[:n_rows]
        yield total
        rests = [block[n_rows:] for block in there]
        blocks = [
            rest if rest.shape[0] else next(part, None)
            for part, rest in zip(parts, rests, strict=True)
        ]


def _widen(block: sparse.csr_matrix) -> sparse.csr_matrix:
    """The block in a type that holds sums; what is below zero would vanish in one."""
    if block.nnz and block.data.min() < 0:
        raise InputError(
            f"counts must be non-negative integers; found {block.data.min()} in one of the "
            "matrices that `layer` adds. Name matrices of counts."
        )
    return block.astype(np.float64 if block.dtype.kind == "f" else np.int64, copy=False)
