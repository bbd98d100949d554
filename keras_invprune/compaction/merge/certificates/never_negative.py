"""Evidence by data: an activation that has seen nothing negative."""

from typing import Any, Self

import keras
import numpy as np

from keras_invprune.compaction.merge.certificates.base import Certificate, Facts
from keras_invprune.compaction.merge.links import Activation, Link
from keras_invprune.contracts import Nested
from keras_invprune.graph.given_rows import rows_of
from keras_invprune.graph.signs import RECTIFIERS, is_rectifier

ROWS = 1024  # rows that are run at once


@keras.saving.register_keras_serializable(package="keras_invprune")
class NeverNegative(Certificate):
    """No row of the data is negative before the activation, and f(t) = t for t >= 0.

    This proves nothing about other rows. So it is off by default, and results name
    the error that was measured.

    Args:
        data: ``x`` or ``(x, y)``, as for `export`.
        tolerance: Largest negative value that is ignored, as a share of the largest
            value.

    Raises:
        ValueError: If the tolerance is negative, or if the data cannot be read.
    """

    name = "never negative on data"
    exact = False

    def __init__(self, data: Nested, tolerance: float = 0.0) -> None:
        if not tolerance >= 0:
            raise ValueError(f"`tolerance` must be >= 0. Received: {tolerance}.")
        (self.data, _), self.tolerance = rows_of(data), tolerance

    def doubt(self, activation: Activation, link: Link, facts: Facts) -> str | None:
        """Return why the activation may not be the identity, or None if it is."""
        if not (activation in RECTIFIERS or is_rectifier(activation)):
            return "its activation changes positive values"
        values = _before_activation(facts, link, self.data)
        lowest, highest = float(values.min()), float(np.abs(values).max())
        if lowest >= -self.tolerance * highest:
            return None
        return f"{(values < 0).mean():.2%} of its values on the data are negative"

    def get_config(self) -> dict:
        """Return the constructor's arguments, as what Keras writes to files."""
        saved = keras.saving.serialize_keras_object(
            keras.tree.map_structure(np.asarray, self.data)
        )
        return {"data": saved, "tolerance": self.tolerance}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a certificate with these rows."""
        data = keras.saving.deserialize_keras_object(config["data"])
        return cls(data, config["tolerance"])


def _before_activation(facts: Facts, link: Link, data: Nested) -> np.ndarray:
    """Return what the first layer computes before its activation, for all rows."""
    read = keras.Model(facts.trace.inputs, link.first.reads[0])
    x = read.predict(data, ROWS, verbose=0)
    twin = _linear(link)
    parts = [twin(x[start : start + ROWS]) for start in range(0, len(x), ROWS)]
    return np.concatenate([np.asarray(part) for part in parts])


def _linear(link: Link) -> keras.Layer:
    """Return the first layer without its activation, normalization folded in."""
    layer = link.first.operation
    unused = ("initializer", "regularizer", "constraint")  # may be the user's own
    config = {k: v for k, v in layer.get_config().items() if not k.endswith(unused)}
    twin = type(layer).from_config(config | {"activation": "linear", "use_bias": True})
    twin.build(link.first.reads[0].shape)
    for variable, value in zip((twin.kernel, twin.bias), link.affine(), strict=True):
        variable.assign(value)
    return twin
