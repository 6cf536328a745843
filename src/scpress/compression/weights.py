"""How what all cells share, a decoder or loadings, is stored in fewer bits."""

import numpy as np

from scpress.compression.codes import FLOAT16_MAX, bits_of

_SCALE = ":scale"


def pack_weights(weights: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
    """Quantise weights.

    A matrix at int8, int6 or int4 has one scale for each row or for each column, whichever are
    fewer: genes are many, and a scale for each would cost as much as a small rank's weights.
    What is below half a step becomes zero, and zeros cost next to nothing in a compressed file:
    this is how weights are pruned. Setting the smaller half of a matrix to zero instead, and
    keeping the rest at int8, saves as much and loses more: of a linear decoder of 10 dimensions on
    PBMC 3k 7 % of the deviance explained for 23 % of its bytes, where int6 loses 0.2 % for 21 %.

    Vectors, which are one number per gene or unit, are at float16 where that holds them.
    """
    packed: dict[str, np.ndarray] = {}
    for name, values in weights.items():
        bits = bits_of(precision)
        if values.ndim == 2 and bits:
            most = 2 ** (bits - 1) - 1
            scale = np.abs(values).max(axis=np.argmax(values.shape), keepdims=True) / most
            scale = scale.astype(np.float32)
            packed[name] = np.rint(values / np.where(scale > 0, scale, 1)).astype(np.int8)
            packed[name + _SCALE] = scale
            continue
        fits = precision != "float32" and np.abs(values).max(initial=0) <= FLOAT16_MAX
        packed[name] = values.astype(np.float16 if fits else np.float32)
    return packed


def unpack_weights(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name -> the weights that `pack_weights` stored, float32."""
    return {
        name: values.astype(np.float32) * packed.get(name + _SCALE, np.float32(1))
        for name, values in packed.items()
        if not name.endswith(_SCALE)
    }
