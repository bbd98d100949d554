"""Layers that act on positions: pooling, padding, cropping, upsampling, sums."""

from typing import Any

import numpy as np

from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.channelwise import AXIS, ChannelWise
from keras_invprune.compaction.rule import Bools, Call, Constants, OpaqueError, rule

POOLINGS = [
    f"{kind}Pooling{rank}D"
    for kind in (
        "AdaptiveAverage",
        "AdaptiveMax",
        "Average",
        "GlobalAverage",
        "GlobalMax",
        "Max",
    )
    for rank in (1, 2, 3)
]
OTHERS = [f"{kind}{rank}D" for kind in ("Cropping", "UpSampling") for rank in (1, 2, 3)]


@rule(*POOLINGS, *OTHERS, "RepeatVector")
class Positions(ChannelWise):
    """The rule of layers that combine, repeat or leave out positions of a channel."""

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the channels that vary: all, if a mask may leave no step."""
        found = super().varies(call, channels, constants)
        return [each | call.is_masked for each in found]


@rule("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
class Padding(ChannelWise):
    """The rule of layers that set zeros next to the positions of a channel."""

    def pads(self, layer: Any) -> bool:
        """Return True."""
        return True


@rule("ops.Max", "ops.Mean", "ops.Min")
class Reduced(ChannelWise):
    """The rule of operations that reduce axes, other than that of the channels."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, which the output may have at an earlier place."""
        signal, rank = call.read, len(call.read.shape)
        axes = call.operation.axis
        axes = range(rank) if axes is None else axes
        axes = {a % rank for a in ([axes] if isinstance(axes, int) else axes)}
        if {0, signal.position} & axes:
            raise OpaqueError("it reduces the axis of the channels")
        before = sum(axis < signal.position for axis in axes)
        position = signal.position - (0 if call.operation.keepdims else before)
        port = Port(AXIS, np.arange(signal.size), position)
        return Channels({AXIS: signal.size}, (signal.to(AXIS),), (port,))


@rule("ops.Sum")
class Summed(Reduced):
    """The rule of sums over positions, whose number may not be known."""

    def pads(self, layer: Any) -> bool:
        """Return True: the sum of a constant depends on the number of positions."""
        return True
