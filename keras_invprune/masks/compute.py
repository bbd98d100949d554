"""From scores to masks: rounds of scores, the pattern that groups, the allocation."""

import logging
from collections.abc import Mapping

import keras
import numpy as np

from keras_invprune.graph.layouts import layouts

logger = logging.getLogger("keras_invprune")


def make_masks(weights, model, sparsity, score, allocation, pattern, left=None):
    """The masks for the weights given.

    Args:
        weights: ``{key: array}``.
        model: Passed to the score.
        sparsity: Share to remove now, on the way to the target.
        score: ``(weights, model) -> {key: array}``.
        allocation: ``(scores, sparsity) -> masks``.
        pattern: ``(scores, sparsity, allocation) -> masks``.
        left: ``{key: bool array}``, what earlier masks have left: all other weights
            are ranked last, whatever the score says. None: no masks yet.

    Returns:
        ``{key: bool array}``, True where a weight is kept.

    Raises:
        ValueError: The score returns other keys or shapes, or NaN.
        TypeError: Score, allocation or pattern return no dictionary.
    """
    rounds = getattr(score, "rounds", 1)
    for number in range(1, rounds):
        # ρ^(-k/n): the density by the same factor each round
        share = 1 - (1 - sparsity) ** (number / rounds)
        # What a sanity check shuffles is the end of it all.
        inside = unshuffled(allocation)
        masks = _one_round(weights, model, share, score, inside, pattern, left)
        weights = {key: weight * masks[key] for key, weight in weights.items()}
    return _one_round(weights, model, sparsity, score, allocation, pattern, left)


def _one_round(weights, model, sparsity, score, allocation, pattern, left):
    found = _arrays(score(weights, model), weights, "A score")
    _check_rankable(found)
    found = found if left is None else _removed_last(found, left)

    def allocate(scores, sparsity):
        return _mapping(allocation(scores, sparsity), "An allocation")

    masks = pattern_masks(pattern, found, model, sparsity, allocate)
    masks = _arrays(masks, weights, "An allocation, or a pattern,")
    for key, mask in masks.items():
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(
                "An allocation, or a pattern, must return masks of 0 and 1. "
                f"Received for {key!r}: values like {mask.flat[0]!r}."
            )
    return masks


def pattern_masks(pattern, found, model, sparsity, allocation):
    """The masks by scores, which the pattern sees in the axes that it asks for."""
    inner = getattr(model, "inner", model)
    matrices = getattr(pattern, "on_matrices", False)
    if not (matrices and isinstance(inner, keras.Model)):
        return pattern(found, sparsity, allocation)
    views = layouts(inner, found)
    arranged = found | {k: view.arrange(found[k]) for k, view in views.items()}
    masks = pattern(arranged, sparsity, allocation)
    restored = {k: v.restore(masks[k], found[k].shape) for k, v in views.items()}
    return masks | restored


def groups_of(pattern, values, model) -> dict:
    """What a pattern shows an allocation for these arrays; {} if it asks none."""
    seen = {}

    def look(groups, sparsity):
        del sparsity
        seen.update(groups)
        return {key: np.ones(group.shape, bool) for key, group in groups.items()}

    pattern_masks(pattern, values, model, 0.0, look)
    return seen


def unshuffled(allocation):
    """What a sanity check such as `Shuffled` shuffles, or the allocation itself."""
    return getattr(allocation, "shuffles", allocation)


def check_allocation(allocation, pattern, shapes, model, sparsity):
    """Lets an allocation that knows what it is for look at what is ranked.

    Args:
        allocation: ``(scores, sparsity) -> masks``.
        pattern: ``(scores, sparsity, allocation) -> masks``.
        shapes: ``{key: shape}`` of the weights to prune.
        model: The model that holds them.
        sparsity: The target.

    Raises:
        ValueError: It does not suit them, or the pattern would ignore it.
    """
    inside = unshuffled(allocation)
    check = getattr(inside, "check", None)
    if check is None and inside is allocation:
        return
    zero = np.float32(0)
    nothing = {k: np.broadcast_to(zero, tuple(s)) for k, s in shapes.items()}
    groups = groups_of(pattern, nothing, model) or nothing
    if groups is nothing:
        numbers = getattr(inside, "sparsities", {}).values()
        same = all(abs(own - sparsity) < 1e-6 for own in numbers)
        if inside is not allocation or not same:
            raise ValueError(
                f"{pattern!r} keeps the same share everywhere: there is nothing to "
                f"allocate or to shuffle. Received: allocation={allocation!r}. Leave "
                "it out."
            )
    if check is not None:
        check({key: group.size for key, group in groups.items()}, sparsity)


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
