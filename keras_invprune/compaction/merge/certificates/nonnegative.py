"""Proof by signs: what is never negative passes through ReLU."""

import keras

from keras_invprune.compaction.merge.certificates.base import Certificate, Facts
from keras_invprune.compaction.merge.links import Activation, Link
from keras_invprune.graph.signs import RECTIFIERS, is_rectifier


@keras.saving.register_keras_serializable(package="keras_invprune")
class Nonnegative(Certificate):
    """The input, the kernel and the bias are never negative, and f(t) = t for t >= 0.

    Source:
        Hebiri, Lederer: Layer Sparsity in Neural Networks (2006.15604).
    """

    name = "nonnegative"

    def doubt(self, activation: Activation, link: Link, facts: Facts) -> str | None:
        """Return why the activation may not be the identity, or None if it is."""
        if not (activation in RECTIFIERS or is_rectifier(activation)):
            return "its activation changes positive values"
        if id(link.first.reads[0]) not in facts.nonnegative:
            return "its input may be negative"
        for name, value in zip(("kernel", "bias"), link.affine(), strict=True):
            if not (value >= 0).all():
                return f"its {name} has a negative entry"
        return None
