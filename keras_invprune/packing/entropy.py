"""How small an ideal coder without contexts makes an array."""

import numpy as np

from keras_invprune.packing.arrays import Array, Header


def entropy(counts: np.ndarray) -> float:
    """Return the bits of symbols whose shares a coder knows: -sum(n log2(n / N)).

    Args:
        counts: How often each symbol occurs, [symbols].
    """
    counts = counts[counts > 0].astype(float)
    return float(-np.sum(counts * np.log2(counts / counts.sum())))


def entropy_of(array: Array, header: Header) -> float:
    """Return the order-0 entropy of an array, in bits.

    That is the entropy of its mask, and that of its values that are not zero. Values
    that have no levels count with all of their bits.

    Args:
        array: The array.
        header: What the file says of it.
    """
    mask = array.bits != 0
    values = array.bits[mask]
    bits = entropy(np.array([header.ones, header.size - header.ones]))
    if header.ranges:
        return bits + 8 * values.nbytes
    return bits + entropy(np.unique(values, return_counts=True)[1])
