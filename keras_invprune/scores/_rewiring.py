"""Dynamic sparse training: some connections are dropped, as many grow elsewhere."""

import numpy as np

from keras_invprune.contracts import Arrays, ScoreContext


def moved(weights: Arrays, growth: Arrays, share: float, context: ScoreContext) -> dict:
    """Scores of the next masks: of single weights, or of what the pattern keeps whole.

    Of a block, or a unit, the pooled magnitude is looked at, and the pooled growth.
    Where n of every m stay, each group takes the place of what it drops itself.

    Args:
        weights: ``{key: array}``.
        growth: ``{key: array}``, how much each place asks to grow.
        share: Share of each weight's connections to drop.
        context: Of the network, with the present masks and the pattern's groups.

    Returns:
        ``{key: array}`` of the weights' shapes; see `rewired`. Where groups are ranked,
        what neither stays nor grows has 0.
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
    """Scores whose `k` largest are the next mask, `k` as many as in this one.

    Args:
        weight: A weight's values.
        mask: Its present mask.
        growth: How much each place asks to grow, at least 0; of the same shape.
        share: Share of the connections to drop, those of the smallest magnitude.

    Returns:
        Array of the weight's shape: 2 for what stays, 1 for what grows, which may be
        what was dropped; below 1 for the rest, in the order of its growth.
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
    """Returns ``{key: uniform numbers in [0, 1)}``, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return {k: generator.random(w.shape, np.float32) for k, w in weights.items()}


def survivors(weights: Arrays, share: float, context: ScoreContext) -> dict:
    """Returns ``{key: bool array}`` of what stays once the weakest are dropped.

    See `moved`, whose first half this is.
    """
    sizes = {key: np.abs(weight) for key, weight in weights.items()}
    masks = {key: mask.numpy() for key, mask in context.masks.items()}
    groups = context.groups
    if not groups.allocates:
        return {key: _staying(sizes[key], masks[key], share) for key in sizes}
    sizes, masks = groups.pool(sizes), groups.pool(masks)
    return groups.spread({k: _staying(sizes[k], masks[k], share) for k in sizes})


def _staying(weight, mask, share) -> np.ndarray:
    """Returns which connections are not among the `share` of smallest magnitude."""
    flat, active = np.ravel(np.abs(weight)), np.flatnonzero(mask)
    kept = active.size - int(share * active.size)
    stays = np.zeros(flat.shape, bool)
    stays[active[np.argsort(-flat[active], kind="stable")[:kept]]] = True
    return stays.reshape(weight.shape)


def check_fraction(fraction: float) -> float:
    """Returns it; raises ValueError unless it is in (0, 1)."""
    if not 0 < fraction < 1:
        raise ValueError(
            "`fraction` is the share of the connections to move and must be in (0, 1). "
            f"Received: fraction={fraction}."
        )
    return float(fraction)
