"""Digests by which arrays and lists of genes are known again."""

import hashlib
from collections.abc import Iterable

import numpy as np


def genes_digest(names: Iterable[str]) -> str:
    """SHA-256 of the gene names in their order; equal only for the same list."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def digest_of(*arrays: np.ndarray | None) -> str:
    """Digest of types, shapes and contents."""
    total = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is None:
            total.update(b"none")
            continue
        total.update(f"{array.dtype} {array.shape}".encode())
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        # hashlib takes a mapped file as it is; parts keep its pages from piling up.
        for first in range(0, len(flat), 2**26):
            total.update(flat[first : first + 2**26].data)
    return total.hexdigest()
