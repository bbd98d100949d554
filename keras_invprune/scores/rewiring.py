"""Dynamic sparse training: some connections are dropped, as many grow elsewhere."""

import numpy as np


def rewired(weight, mask, growth, share) -> np.ndarray:
    """Scores whose `k` largest are the next mask, `k` as many as in this one.

    Args:
        weight: A weight's values.
        mask: Its present mask.
        growth: How much each place asks to grow, of the same shape.
        share: Share of the connections to drop, those of the smallest magnitude.

    Returns:
        Array of the weight's shape: 2 for what stays, 1 for what grows, which may be
        what was dropped, else 0.
    """
    flat, active = np.ravel(np.abs(weight)), np.flatnonzero(mask)
    dropped = int(share * active.size)
    scores = np.zeros(flat.size, np.float32)
    stays = active[np.argsort(-flat[active], kind="stable")[: active.size - dropped]]
    scores[stays] = 2.0
    free = np.flatnonzero(scores == 0)
    scores[free[np.argsort(-np.ravel(growth)[free], kind="stable")[:dropped]]] = 1.0
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
