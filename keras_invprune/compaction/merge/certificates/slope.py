"""Proof by slopes: a PReLU of slope 1 is the identity."""

import keras
import numpy as np

from keras_invprune.compaction.merge.certificates.base import Certificate, Facts
from keras_invprune.compaction.merge.links import Activation, Link


@keras.saving.register_keras_serializable(package="keras_invprune")
class Slope(Certificate):
    """All slopes of the PReLU are exactly 1, as `SlopesToOne` makes them.

    Source:
        Dror et al.: Layer Folding (2106.09309).
    """

    name = "slope"

    def doubt(self, activation: Activation, link: Link, facts: Facts) -> str | None:
        """Return why the activation may not be the identity, or None if it is."""
        del link, facts
        if isinstance(activation, keras.layers.PReLU):
            ones = np.asarray(activation.alpha) == 1
            return None if ones.all() else f"{(~ones).sum()} slopes are not 1"
        if isinstance(activation, keras.layers.LeakyReLU):
            slope = float(activation.negative_slope)
            return None if slope == 1 else f"its slope is {slope:g}"
        return "its activation has no slope"
