"""Layers and operations that treat each element, or each channel, by itself."""

from collections.abc import Collection
from typing import Any

import numpy as np

from keras_invprune.compaction.activations import is_elementwise, named
from keras_invprune.compaction.channels import Channels, Slot
from keras_invprune.compaction.channelwise import AXIS, ChannelWise, one_axis
from keras_invprune.compaction.mixing import array
from keras_invprune.compaction.rule import Call, OpaqueError, Sides, rule
from keras_invprune.compaction.rules.reshaping import shortened

OPERATIONS = (
    "Absolute Arctan Ceil Celu Clip Cos Elu Erf Exp Expm1 Floor Gelu HardShrink "
    "HardSigmoid HardSilu HardTanh LeakyRelu Log1p LogSigmoid Negative Relu Relu6 "
    "Round Rsqrt Selu Sigmoid Sign Silu Sin SoftShrink Softplus Softsign SparsePlus "
    "SparseSigmoid Sqrt Square Squareplus Tanh TanhShrink Threshold"
)
LAYERS = (
    "ActivityRegularization ELU GaussianDropout GaussianNoise Identity LeakyReLU ReLU "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D"
)


@rule(*LAYERS.split(), *(f"ops.{name}" for name in OPERATIONS.split()))
class Elementwise(ChannelWise):
    """The rule of all that has no weights and no axis."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, wherever the channels are."""
        if type(call.operation).__name__ in OPERATIONS.split():
            settings = vars(call.operation).items()
            public = [value for name, value in settings if not name.startswith("_")]
            if any(np.ndim(value) for value in public):
                raise OpaqueError("an array is one of its arguments")
        return one_axis(call, call.read.position)


@rule("AlphaDropout", "Dropout")
class Dropped(Elementwise):
    """The rule of dropout, whose noise may be made for a number of channels."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, wherever the channels are."""
        position, shape = call.read.position, call.operation.noise_shape
        fixed = shape is not None and shape[position] not in (None, 1)
        return one_axis(call, position, fixed=fixed)

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the shape of the noise with fewer channels."""
        return {"noise_shape": shortened(layer.noise_shape, channels, kept)}


@rule("Activation")
class Activation(ChannelWise):
    """The rule of activations by name."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, if the activation is elementwise."""
        if not is_elementwise(activation := call.operation.activation):
            raise OpaqueError(f"{named(activation)} is not elementwise")
        return one_axis(call, call.read.position)


@rule("Rescaling")
class Rescaling(ChannelWise):
    """The rule of one scale and one offset for all channels."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, if no channel has a scale of its own."""
        if np.ndim(call.operation.scale) or np.ndim(call.operation.offset):
            raise OpaqueError("each channel has a scale or an offset of its own")
        return one_axis(call, call.read.position)


@rule("BatchNormalization")
class BatchNormalization(ChannelWise):
    """The rule of batch normalization. Where γ is zero, nothing passes."""

    def channels(self, call: Call) -> Channels:
        """Return the axis that is normalized."""
        layer, rank = call.operation, len(call.read.shape)
        weights = ("gamma", "beta", "moving_mean", "moving_variance")
        return one_axis(
            call, layer.axis % rank, weights={name: (AXIS,) for name in weights}
        )

    def open(self, layer: Any, channels: Channels) -> np.ndarray:
        """Return where γ is not zero."""
        return (
            super().open(layer, channels)
            if not layer.scale
            else (array(layer.gamma) != 0)
        )


@rule("PReLU")
class PReLU(ChannelWise):
    """The rule of activations with a slope for each channel, or for all."""

    def channels(self, call: Call) -> Channels:
        """Return one axis; the slopes have all axes but the batch."""
        position, shape = call.read.position, call.operation.alpha.shape
        slots: list[Slot] = [None] * len(shape)
        if shape[position - 1] == call.read.size > 1:
            slots[position - 1] = AXIS
        shared = all(slot is None for slot in slots)  # so calls may differ in size
        return one_axis(
            call, position, weights={} if shared else {"alpha": tuple(slots)}
        )
