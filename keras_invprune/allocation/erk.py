"""Erdős-Rényi-Kernel: small tensors stay denser than large ones."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_invprune.masks.selection import Masks, Scores, keep_count, keep_largest


@keras.saving.register_keras_serializable(package="keras_invprune")
def erk(scores: Scores, sparsity: float) -> Masks:
    """Make densities proportional to the sum of a tensor's axes over their product.

    Under a pattern, the axes are those of its groups (blocks or units), so that the
    rule differs from that for single weights. For whole units, it is uniform.

    Args:
        scores: Key to scores of any shape, compared within a tensor only.
        sparsity: Share of all weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape, with at least one weight kept.

    Example:
        >>> masks = erk({"wide": np.ones((8, 8)), "thin": np.ones((1, 8))}, 0.75)
        >>> {key: int(mask.sum()) for key, mask in masks.items()}
        {'wide': 12, 'thin': 6}

    Source:
        Mocanu et al. 2018, Scalable training of artificial neural networks with
        adaptive sparse connectivity (1707.04780); Evci et al. 2020, Rigging the
        lottery (1911.11134), section 3, for convolution kernels.
    """
    shapes = {key: np.shape(values) for key, values in scores.items()}
    counts = erk_counts(shapes, sparsity)
    return {key: keep_largest({key: v}, counts[key])[key] for key, v in scores.items()}


def erk_counts(
    shapes: Mapping[str, tuple[int, ...]], sparsity: float
) -> dict[str, int]:
    """Return how many weights each tensor keeps.

    The total is that of one ranking over all tensors, except that a tensor that would
    keep no weights keeps one.

    Args:
        shapes: ``{key: shape}``.
        sparsity: Share of all weights to prune, in [0, 1).
    """
    sizes = {key: int(np.prod(shape)) for key, shape in shapes.items()}
    kept = keep_count(sum(sizes.values()), sparsity, np.float64)
    exact: dict[str, float] = {}
    dense: set[str] = set()
    while True:
        # density = ε · (n_in + n_out + w + h) / (n_in · n_out · w · h), at most 1
        left = kept - sum(sizes[key] for key in dense)
        sums = {key: sum(shapes[key]) for key in shapes if key not in dense}
        scale = left / max(1, sum(sums.values()))
        exact = {key: scale * total for key, total in sums.items()}
        full = {key for key, count in exact.items() if count >= sizes[key]}
        if not full:
            break
        dense |= full
    return {key: sizes[key] for key in dense} | _rounded(exact, sizes, kept, dense)


def _rounded(
    exact: dict[str, float], sizes: dict[str, int], kept: int, dense: set[str]
) -> dict[str, int]:
    """Return integers of the same sum; the largest remainders are rounded up."""
    counts = {key: max(1, int(value)) for key, value in exact.items()}
    missing = kept - sum(sizes[key] for key in dense) - sum(counts.values())
    by_remainder = sorted(counts, key=lambda key: counts[key] - exact[key])
    for key in by_remainder[: max(0, missing)]:
        counts[key] += 1
    return counts
