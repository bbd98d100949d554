"""The value that an objective returns."""

from typing import Any, NamedTuple


class Losses(NamedTuple):
    """The loss of one batch, with predictions and terms to log.

    Attributes:
        total: Scalar to minimize, scaled like `model.compute_loss`.
        predictions: The model's outputs for `y`, for the compiled metrics.
        terms: ``{name: scalar}`` to log, one for each of the objective's `terms`.
    """

    total: Any
    predictions: Any
    terms: dict[str, Any]
