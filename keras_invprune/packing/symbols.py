"""Symbols of one alphabet, with probabilities that follow what was seen."""

import numpy as np

from keras_invprune.packing.coder import TOTAL, Coder

FIRST, MOST = 8, 1 << 14  # symbols that are coded with the same probabilities
SEEN = 2  # how much a symbol counts, next to the 1 that each has from the start
RARE = TOTAL >> 10  # what all symbols share, so that none becomes too unlikely


def frequencies_of(counts: np.ndarray) -> np.ndarray:
    """Return integer frequencies that add up to 2**24.

    Args:
        counts: Integers above 0, [k].

    Returns:
        Integers above 0, [k], almost in proportion to the counts.
    """
    least = max(1, RARE // len(counts))
    rest = TOTAL - least * len(counts)
    ends = np.cumsum(counts) * rest // counts.sum()
    return least + np.diff(ends, prepend=0)


def code_symbols(
    coder: Coder, count: int, alphabet: int, symbols: np.ndarray | None = None
) -> np.ndarray:
    """Code symbols, or decode them. Batches grow with what was seen.

    Args:
        coder: An `Encoder`, a `Meter` or a `Decoder`.
        count: Number of symbols n.
        alphabet: Number of different symbols k, at most 256.
        symbols: Integers in [0, k), [n]; None for a decoder.

    Returns:
        The symbols, [n].
    """
    if alphabet == 1:  # there is nothing to tell
        return np.zeros(count, np.uint8)
    found = np.empty(count, np.uint8)
    counts = np.ones(alphabet, np.int64)
    start = 0
    while start < count:
        end = min(count, start + min(max(FIRST, start), MOST))
        part = None if symbols is None else symbols[start:end]
        found[start:end] = coder.code(end - start, frequencies_of(counts), part)
        counts += SEEN * np.bincount(found[start:end], minlength=alphabet)
        start = end
    return found
