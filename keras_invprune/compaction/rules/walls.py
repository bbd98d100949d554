"""Layers that read all channels together: walls, each with its reason."""

import keras

from keras_invprune.compaction.channels import Channels
from keras_invprune.compaction.rule import Call, OpaqueError, Wall, rule


class Named(Wall):
    """The rule of a wall whose reason is known."""

    reason: str

    def channels(self, call: Call) -> Channels:
        """Raise with the reason.

        Raises:
            OpaqueError: If it is called.
        """
        raise OpaqueError(self.reason)


@rule(
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "ops.LayerNorm",
    "ops.Normalize",
    "ops.RMSNorm",
)
class Statistics(Named):
    """The rule of normalizations over channels."""

    reason = "its statistics are those of all channels, and zeros take part in them"


@rule("Softmax", "ops.LogSoftmax", "ops.Softmax", "ops.Sparsemax")
class Shares(Named):
    """The rule of activations that divide by a sum over channels."""

    reason = "each of its outputs depends on all channels"


@rule("Lambda")
class Anything(Named):
    """The rule of layers that call a function."""

    reason = "its function may do anything"


@rule("Masking")
class Steps(Named):
    """The rule of the layer that finds steps whose channels all have a value."""

    reason = "a step is masked by all of its channels"


@rule(
    *("ops.All", "ops.Any", "ops.Cast", "ops.Equal", "ops.Greater", "ops.GreaterEqual"),
    *("ops.Less", "ops.LessEqual", "ops.LogicalAnd", "ops.LogicalNot", "ops.LogicalOr"),
    "ops.NotEqual",
)
class Silent(Wall):
    """The rule of operations that make masks of steps from masks or indices."""

    def channels(self, call: Call) -> Channels:
        """Return channels without any axis.

        Raises:
            OpaqueError: If values are compared, of which all channels are needed.
        """
        if any(keras.backend.is_float_dtype(signal.dtype) for signal in call.reads):
            raise OpaqueError("it compares all channels")
        return super().channels(call)
