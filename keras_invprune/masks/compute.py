"""Makes masks from scores, with the rounds, the pattern and the allocation."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_invprune.contracts import Allocation, AllocationLike, Arrays
from keras_invprune.masks.groups import Grouped

logger = logging.getLogger("keras_invprune")


def make_masks(
    weights: Arrays,
    ask: Callable[[Arrays], Arrays],
    allocation: AllocationLike,
    groups: Grouped,
    sparsity: float,
    left: Arrays | None = None,
    rounds: int = 1,
) -> Arrays:
    """Return the masks of the given weights.

    Args:
        weights: ``{key: array}``.
        ask: ``weights -> scores``.
        allocation: ``(scores, sparsity) -> masks``.
        groups: The pattern over these weights.
        sparsity: Share of the weights to remove now, in [0, 1).
        left: ``{key: bool array}``, True for the weights that earlier masks kept. All
            others are pruned first, whatever their scores. None: no masks yet.
        rounds: Number of rounds in which to reach the sparsity.

    Returns:
        ``{key: bool array}``, True where a weight is kept.

    Raises:
        ValueError: If scores or masks have other keys or shapes than the weights, if
            scores are NaN, or if masks have values other than 0 and 1.
        TypeError: If the score, the allocation or the pattern do not return a
            dictionary.
    """
    for number in range(1, rounds):
        # density d of round k of n: d_k = (1 - sparsity)^(k/n)
        share = 1 - (1 - sparsity) ** (number / rounds)
        # A sanity check shuffles only the final masks.
        masks = _one_round(weights, ask, unshuffled(allocation), groups, share, left)
        weights = {key: weight * masks[key] for key, weight in weights.items()}
    return _one_round(weights, ask, allocation, groups, sparsity, left)


def _one_round(
    weights: Arrays,
    ask: Callable[[Arrays], Arrays],
    allocation: AllocationLike,
    groups: Grouped,
    sparsity: float,
    left: Arrays | None,
) -> Arrays:
    found = _arrays(ask(weights), weights, "A score")
    _check_rankable(found)
    found = found if left is None else _removed_last(found, left)

    def allocate(scores: Arrays, sparsity: float) -> Arrays:
        return _mapping(allocation(scores, sparsity), "An allocation")

    masks = groups.masks(found, sparsity, allocate, left)
    masks = _arrays(masks, weights, "An allocation, or a pattern,")
    for key, mask in masks.items():
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(
                "An allocation, or a pattern, must return masks of 0 and 1. "
                f"Received for {key!r}: values like {mask.flat[0]!r}."
            )
    return masks


def unshuffled(allocation: AllocationLike) -> AllocationLike:
    """Return the allocation inside a sanity check such as `Shuffled`, or itself."""
    return Allocation.of(allocation).shuffles or allocation


def check_allocation(
    allocation: AllocationLike, groups: Grouped, sparsity: float
) -> None:
    """Raise if the allocation does not suit the weights and the pattern.

    Args:
        allocation: ``(scores, sparsity) -> masks``.
        groups: The pattern over the weights to prune.
        sparsity: The target sparsity, in [0, 1).

    Raises:
        ValueError: If the allocation does not suit the weights, or if the pattern
            would ignore it.
    """
    known, ranked = Allocation.of(allocation), groups.zeros()
    if groups.allocates:
        ranked = groups.pool(ranked)
    elif not known.even(sparsity):
        raise ValueError(
            f"{groups.pattern!r} keeps the same share of every weight, so there is "
            f"nothing to allocate or to shuffle. Received: allocation={allocation!r}. "
            "Leave out `allocation`."
        )
    known.check({key: values.size for key, values in ranked.items()}, sparsity)


def _check_rankable(found: Arrays) -> None:
    """Raise ValueError if scores are NaN; log a warning if all are zero."""
    broken = [
        k for k, scores in found.items() if scores.size and np.isnan(scores.min())
    ]
    if broken:
        raise ValueError(
            f"The scores of {broken} contain NaN, so they cannot be ranked. The usual "
            "cause is a training that diverged: lower the learning rate, or prune "
            "earlier."
        )
    some = [scores for scores in found.values() if scores.size]
    if some and not any(scores.any() for scores in some):
        logger.warning(
            "All scores are zero, so the choice of weights to prune is arbitrary. "
            "Check whether the output depends on the weights, and whether gradients "
            "are too small for the dtype."
        )


def _removed_last(found: Arrays, left: Arrays) -> Arrays:
    """Return the scores, with those of weights already removed below all others.

    They are zero if all others are positive, like a magnitude. Otherwise they are only
    a little lower than the lowest, since `lamp` squares the scores.
    """
    if all(mask.all() for mask in left.values()) or _are_last(found, left):
        return found
    kept = [scores[left[key]] for key, scores in found.items() if left[key].any()]
    if not kept:
        return found
    lowest, highest = min(s.min() for s in kept), max(s.max() for s in kept)
    margin = 1e-3 * max(abs(lowest), highest - lowest, 1e-6)
    last = 0.0 if lowest > 0 else lowest - margin
    return {k: np.where(left[k], scores, last) for k, scores in found.items()}


def _are_last(found: Arrays, left: Arrays) -> bool:
    """Return whether all weights already removed score 0, and all others more."""
    return all(
        scores.size == 0
        or (scores.min() >= 0 and np.array_equal(scores != 0, left[key]))
        for key, scores in found.items()
    )


def _mapping(found: Any, maker: str) -> Any:
    """Return `found`; raise TypeError unless it is a mapping."""
    if not isinstance(found, Mapping):
        raise TypeError(
            f"{maker} must return {{key: array}}. Received: {type(found).__name__}."
        )
    return found


def _arrays(found: Any, weights: Arrays, maker: str) -> dict[str, np.ndarray]:
    """Return `found` as NumPy arrays; raise unless shapes and keys are the weights'."""
    found = {k: np.asarray(v) for k, v in _mapping(found, maker).items()}
    shapes = {key: values.shape for key, values in found.items()}
    wrong = shapes.items() ^ {(key, weight.shape) for key, weight in weights.items()}
    if wrong:
        raise ValueError(
            f"{maker} must return one array of the weight's shape for each weight. "
            f"Wrong or missing: {sorted({key for key, _ in wrong})}."
        )
    return found
