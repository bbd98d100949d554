"""Depthwise convolutions: some filters for each channel by itself."""

from typing import Any

import numpy as np

from keras_invprune.compaction.activations import is_elementwise, named
from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.channelwise import AXIS, ChannelWise, check_position
from keras_invprune.compaction.mixing import array
from keras_invprune.compaction.rule import Call, OpaqueError, channel_axis, rule
from keras_invprune.compaction.rules.convolution import borders


@rule("DepthwiseConv1D", "DepthwiseConv2D")
class Depthwise(ChannelWise):
    """The rule of depthwise convolutions: all filters of a channel go with it."""

    def channels(self, call: Call) -> Channels:
        """Return the input channels, each with its filters."""
        layer, signal = call.operation, call.read
        if not is_elementwise(layer.activation):
            raise OpaqueError(f"{named(layer.activation)} is not elementwise")
        position = channel_axis(layer, len(signal.shape))
        check_position(signal, position)
        filters = np.repeat(np.arange(signal.size), layer.depth_multiplier)
        return Channels(
            {AXIS: signal.size},
            (signal.to(AXIS),),
            (Port(AXIS, filters, position),),
            {"kernel": (*[None] * layer.rank, AXIS, None), "bias": ((AXIS, filters),)},
        )

    def opened(self, layer: Any, channels: Channels, port: Port) -> np.ndarray:
        """Return which filters are not zero."""
        return np.any(array(layer.kernel) != 0, tuple(range(layer.rank))).reshape(-1)

    def pads(self, layer: Any) -> bool:
        """Return whether zeros are set next to the values of a channel."""
        return borders(layer)
