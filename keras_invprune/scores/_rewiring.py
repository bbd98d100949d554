"""Dynamic sparse training: some connections are dropped, as many grow elsewhere."""

import numpy as np

from keras_invprune.masks.compute import groups_of, pattern_masks


def moved(weights, growth, share, model) -> dict:
    """Scores of the next masks: of single weights, or of what the pattern keeps whole.

    Of a block, or a unit, the pooled magnitude is looked at, and the pooled growth.
    Where n of every m stay, each group takes the place of what it drops itself.

    Args:
        weights: ``{key: array}``.
        growth: ``{key: array}``, how much each place asks to grow.
        share: Share of each weight's connections to drop.
        model: `PrunedModel`, whose masks are the present ones.

    Returns:
        ``{key: array}`` of the weights' shapes; see `rewired`. Where groups are ranked,
        what neither stays nor grows has 0.
    """
    plan = model.plan
    sizes = {key: np.abs(weight) for key, weight in weights.items()}
    masks = {key: mask.numpy() for key, mask in model.masks.items()}
    groups = groups_of(plan.pattern, sizes, model)
    if not groups:  # a pattern that has nothing to allocate
        return {k: rewired(sizes[k], masks[k], growth[k], share) for k in sizes}
    masks, growth = (groups_of(plan.pattern, v, model) for v in (masks, growth))
    scores = {k: rewired(groups[k], masks[k], growth[k], share) for k in groups}

    def least(level):
        return lambda *_: {key: values >= level for key, values in scores.items()}

    grow, stay = (
        pattern_masks(plan.pattern, sizes, model, 0.0, least(level)) for level in (1, 2)
    )
    return {key: np.add(grow[key], stay[key], dtype=np.float32) for key in sizes}


def rewired(weight, mask, growth, share) -> np.ndarray:
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
    flat, active = np.ravel(np.abs(weight)), np.flatnonzero(mask)
    growth = np.ravel(growth).astype(np.float32)
    dropped = int(share * active.size)
    scores = growth / (2 * max(growth.max(initial=0), np.finfo(np.float32).tiny))
    stays = active[np.argsort(-flat[active], kind="stable")[: active.size - dropped]]
    scores[stays] = 2.0
    free = np.flatnonzero(scores < 2)
    scores[free[np.argsort(-growth[free], kind="stable")[:dropped]]] = 1.0
    return scores.reshape(weight.shape)


def share_at(model, fraction) -> float:
    """The share to move now: decaying where the schedule says how."""
    decay = getattr(model.plan.schedule, "decay", None)
    return fraction * (decay(model.step) if decay else 1.0)


def check_fraction(fraction) -> float:
    """Returns it; raises ValueError unless it is in (0, 1)."""
    if not 0 < fraction < 1:
        raise ValueError(
            "`fraction` is the share of the connections to move and must be in (0, 1). "
            f"Received: fraction={fraction}."
        )
    return float(fraction)
