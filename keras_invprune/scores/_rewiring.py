"""Dynamic sparse training: connections are dropped, and as many grow elsewhere."""

import numpy as np

from keras_invprune.arguments import is_number
from keras_invprune.contracts import Arrays, ScoreContext


def moved(weights: Arrays, growth: Arrays, share: float, context: ScoreContext) -> dict:
    """Return scores whose largest are the next masks.

    If the pattern has blocks or units, whole groups are moved, by their pooled
    magnitude and pooled growth. Under N:M sparsity, every group replaces the
    connections that it drops by its own.

    Args:
        weights: ``{key: array}``.
        growth: ``{key: array}``, the tendency of each place to grow, at least 0.
        share: Share of each weight's connections to drop, in [0, 1].
        context: The context of the network, with present masks and the pattern's
            groups.

    Returns:
        ``{key: array}`` of the weights' shapes, as by `rewired`. If groups are ranked,
        those that neither stay nor grow have 0.
    """
    sizes = {key: np.abs(weight) for key, weight in weights.items()}
    masks = {key: mask.numpy() for key, mask in context.masks.items()}
    groups = context.groups
    if not groups.allocates:
        return {k: rewired(sizes[k], masks[k], growth[k], share) for k in sizes}
    sizes, masks, growth = map(groups.pool, (sizes, masks, growth))
    scores = {k: rewired(sizes[k], masks[k], growth[k], share) for k in sizes}
    return groups.spread({key: np.floor(values) for key, values in scores.items()})


def rewired(
    weight: np.ndarray, mask: np.ndarray, growth: np.ndarray, share: float
) -> np.ndarray:
    """Return scores whose `k` largest are the next mask; `k` is the present count.

    Args:
        weight: A weight's values.
        mask: Its present mask, of the same shape.
        growth: The tendency of each place to grow, at least 0, of the same shape.
        share: Share of the connections to drop, in [0, 1]: those of the smallest
            magnitude.

    Returns:
        Array of the weight's shape: 2 for connections that stay, 1 for those that grow
        (which may have been dropped), and below 1 for the rest, ordered by growth.
    """
    growth = np.ravel(growth).astype(np.float32)
    stays = np.ravel(_staying(weight, mask, share))
    dropped = np.count_nonzero(mask) - np.count_nonzero(stays)
    scores = growth / (2 * max(growth.max(initial=0), np.finfo(np.float32).tiny))
    scores[stays] = 2.0
    free = np.flatnonzero(scores < 2)
    scores[free[np.argsort(-growth[free], kind="stable")[:dropped]]] = 1.0
    return scores.reshape(weight.shape)


def chances(weights: Arrays, *seed: int) -> Arrays:
    """Return ``{key: uniform numbers in [0, 1)}``, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return {k: generator.random(w.shape, np.float32) for k, w in weights.items()}


def survivors(weights: Arrays, share: float, context: ScoreContext) -> dict:
    """Return ``{key: bool array}`` of the connections that `moved` keeps in place.

    Args:
        weights: ``{key: array}``.
        share: Share of each weight's connections to drop, in [0, 1].
        context: The context of the network.
    """
    sizes = {key: np.abs(weight) for key, weight in weights.items()}
    masks = {key: mask.numpy() for key, mask in context.masks.items()}
    groups = context.groups
    if not groups.allocates:
        return {key: _staying(sizes[key], masks[key], share) for key in sizes}
    sizes, masks = groups.pool(sizes), groups.pool(masks)
    return groups.spread({k: _staying(sizes[k], masks[k], share) for k in sizes})


def _staying(weight: np.ndarray, mask: np.ndarray, share: float) -> np.ndarray:
    """Return which connections are not among the `share` of smallest magnitude."""
    flat, active = np.ravel(np.abs(weight)), np.flatnonzero(mask)
    kept = active.size - int(share * active.size)
    stays = np.zeros(flat.shape, bool)
    stays[active[np.argsort(-flat[active], kind="stable")[:kept]]] = True
    return stays.reshape(weight.shape)


def check_fraction(fraction: float) -> float:
    """Return `fraction` as a float; raise ValueError unless it is in (0, 1)."""
    if not (is_number(fraction) and 0 < fraction < 1):
        raise ValueError(
            "`fraction` is the share of the connections to move and must be in (0, 1). "
            f"Received: fraction={fraction!r}."
        )
    return float(fraction)
