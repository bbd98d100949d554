"""From scores to masks: rounds of scores, the pattern that groups, the allocation."""

import logging
from collections.abc import Callable, Mapping

import numpy as np

from keras_invprune.contracts import Allocation, Arrays
from keras_invprune.masks.groups import Grouped

logger = logging.getLogger("keras_invprune")


def make_masks(
    weights: Arrays,
    ask: Callable[[Arrays], Arrays],
    allocation: Callable[[Arrays, float], Arrays],
    groups: Grouped,
    sparsity: float,
    left: Arrays | None = None,
    rounds: int = 1,
) -> Arrays:
    """Returns the masks for the weights given.

    Args:
        weights: ``{key: array}``.
        ask: ``weights -> scores``.
        allocation: ``(scores, sparsity) -> masks``.
        groups: The pattern over these weights.
        sparsity: Share to remove now, on the way to the target.
        left: ``{key: bool array}``, what earlier masks have left: all other weights
            are ranked last, whatever the score says. None: no masks yet.
        rounds: Rounds in which to come down to the sparsity.

    Returns:
        ``{key: bool array}``, True where a weight is kept.

    Raises:
        ValueError: If the score returns other keys or shapes, or NaN.
        TypeError: If score, allocation or pattern return no dictionary.
    """
    for number in range(1, rounds):
        # ρ^(-k/n): the density by the same factor each round
        share = 1 - (1 - sparsity) ** (number / rounds)
        # What a sanity check shuffles is the end of it all.
        masks = _one_round(weights, ask, unshuffled(allocation), groups, share, left)
        weights = {key: weight * masks[key] for key, weight in weights.items()}
    return _one_round(weights, ask, allocation, groups, sparsity, left)


def _one_round(weights, ask, allocation, groups, sparsity, left):
    found = _arrays(ask(weights), weights, "A score")
    _check_rankable(found)
    found = found if left is None else _removed_last(found, left)

    def allocate(scores, sparsity):
        return _mapping(allocation(scores, sparsity), "An allocation")

    masks = groups.masks(found, sparsity, allocate)
    masks = _arrays(masks, weights, "An allocation, or a pattern,")
    for key, mask in masks.items():
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(
                "An allocation, or a pattern, must return masks of 0 and 1. "
                f"Received for {key!r}: values like {mask.flat[0]!r}."
            )
    return masks


def unshuffled(allocation: Callable) -> Callable:
    """What a sanity check such as `Shuffled` shuffles, or the allocation itself."""
    return Allocation.of(allocation).shuffles or allocation


def check_allocation(allocation: Callable, groups: Grouped, sparsity: float):
    """Lets an allocation that knows what it is for look at what is ranked.

    Args:
        allocation: ``(scores, sparsity) -> masks``.
        groups: The pattern over the weights to prune.
        sparsity: The target.

    Raises:
        ValueError: If it does not suit them, or the pattern would ignore it.
    """
    known, ranked = Allocation.of(allocation), groups.zeros()
    if groups.allocates:
        ranked = groups.pool(ranked)
    elif not known.even(sparsity):
        raise ValueError(
            f"{groups.pattern!r} keeps the same share everywhere: there is nothing to "
            f"allocate or to shuffle. Received: allocation={allocation!r}. Leave it "
            "out."
        )
    known.check({key: values.size for key, values in ranked.items()}, sparsity)


def _check_rankable(found):
    """Raises ValueError at NaN; logs where nothing but zeros would be ranked."""
    broken = [
        k for k, scores in found.items() if scores.size and np.isnan(scores.min())
    ]
    if broken:
        raise ValueError(
            f"The scores of {broken} hold NaN, so that nothing can be pruned by them. "
            "Most often the training has diverged: lower the learning rate, or prune "
            "earlier."
        )
    some = [scores for scores in found.values() if scores.size]
    if some and not any(scores.any() for scores in some):
        logger.warning(
            "All scores are zero: which weights are pruned is arbitrary. Look for an "
            "output that does not depend on the weights, or gradients too small for "
            "the dtype."
        )


def _removed_last(found, left):
    """The scores, those of weights that are not left below all others.

    Zero where the others are above it, as a magnitude would be. Only a little lower
    otherwise, since `lamp` squares what it is given.
    """
    kept = [scores[left[key]] for key, scores in found.items() if left[key].any()]
    if not kept or all(mask.all() for mask in left.values()):
        return found
    lowest, highest = min(s.min() for s in kept), max(s.max() for s in kept)
    margin = 1e-3 * max(abs(lowest), highest - lowest, 1e-6)
    last = 0.0 if lowest > 0 else lowest - margin
    return {k: np.where(left[k], scores, last) for k, scores in found.items()}


def _mapping(found, maker):
    """`found`; raises TypeError unless it maps keys."""
    if not isinstance(found, Mapping):
        raise TypeError(
            f"{maker} must return {{key: array}}. Received: {type(found).__name__}."
        )
    return found


def _arrays(found, weights, maker) -> dict[str, np.ndarray]:
    """`found` as NumPy arrays; raises unless there is one like each weight."""
    found = {k: np.asarray(v) for k, v in _mapping(found, maker).items()}
    shapes = {key: values.shape for key, values in found.items()}
    wrong = shapes.items() ^ {(key, weight.shape) for key, weight in weights.items()}
    if wrong:
        raise ValueError(
            f"{maker} must return one array of the weight's shape for each weight. "
            f"Wrong or missing: {sorted({key for key, _ in wrong})}."
        )
    return found
