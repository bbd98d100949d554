"""The value that an objective returns, and what several need to compute it."""

from typing import NamedTuple

from keras import tree

from keras_invprune.contracts import Nested, Tensor


class Losses(NamedTuple):
    """The loss of one batch, with predictions and terms to log.

    Attributes:
        total: Scalar to minimize, scaled like `model.compute_loss`.
        predictions: The model's outputs for `y`, for the compiled metrics.
        terms: ``{name: scalar}`` to log, one for each of the objective's `terms`.
    """

    total: Tensor
    predictions: Nested
    terms: dict[str, Tensor]


def as_losses(found: object) -> Losses:
    """Return what an objective returned as `Losses`.

    Args:
        found: `Losses`, or a pair (loss, predictions).

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(found, Losses):
        return found
    if not (isinstance(found, tuple | list) and len(found) == 2):
        raise TypeError(
            "An objective must return (loss, predictions), or `Losses`. "
            f"Received: {type(found).__name__}."
        )
    total, predictions = found
    return Losses(total, predictions, {})


def only(structure: Nested) -> Tensor | None:
    """Return the only element of a structure that is not None; None if several."""
    elements = [part for part in tree.flatten(structure) if part is not None]
    return elements[0] if len(elements) == 1 else None


def row_weights(sample_weight: Nested, y: Nested) -> Tensor | None:
    """Return weights of rows, or None if there are none, or others per output or step.

    Args:
        sample_weight: None, or weights as `fit` takes them.
        y: The labels.
    """
    weights = only(sample_weight)
    if weights is None or len(tree.flatten(y)) > 1:
        return None
    per_row = len(weights.shape) == 1 or weights.shape[1:] == (1,)
    return weights if per_row else None
