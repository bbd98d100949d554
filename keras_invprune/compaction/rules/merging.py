"""Layers and operations that merge several tensors."""

import math

import keras
import numpy as np

from keras_invprune.compaction.channels import Channels, Port, Signal
from keras_invprune.compaction.channelwise import AXIS, ChannelWise
from keras_invprune.compaction.rule import Bools, Call, Constants, OpaqueError, rule


@rule(
    *("Add", "Average", "Maximum", "Minimum", "Subtract"),
    *("ops.Add", "ops.Divide", "ops.Maximum", "ops.Minimum", "ops.Subtract"),
    "ops.TrueDivide",
    "keras_invprune>WeightedSum",  # one number for all channels of a tensor
)
class Merged(ChannelWise):
    """The rule of elementwise merges: the same channels of all tensors are tied."""

    def channels(self, call: Call) -> Channels:
        """Return one axis. A tensor of one channel for all has no port."""
        _check_constants(call)
        shape = call.shapes[0]
        largest = max(call.reads, key=lambda signal: (signal.size, len(signal.shape)))
        from_end = len(largest.shape) - largest.position
        position = len(shape) - from_end
        if shape[position] != largest.size:
            raise OpaqueError("its channels are not those of any input")
        return Channels(
            {AXIS: largest.size},
            tuple(_port(call, signal, from_end, largest.size) for signal in call.reads),
            (Port(AXIS, np.arange(largest.size), position),),
        )


def _port(call: Call, signal: Signal, from_end: int, size: int) -> Port | None:
    """Return the port of an input, whose axes are aligned at the end."""
    rank = len(signal.shape)
    of_layer = isinstance(call.operation, keras.layers.Layer)
    if of_layer and rank != len(call.shapes[0]):
        raise OpaqueError("its inputs have different ranks")
    length = signal.shape[rank - from_end] if from_end < rank else 1
    if length == 1 < size:  # one value for all channels
        return None
    if rank - from_end != signal.position:
        raise OpaqueError("its inputs have their channels on different axes")
    return signal.to(AXIS)


def _check_constants(call: Call) -> None:
    """Raise if an argument is an array, whose size cannot be changed."""
    for part in keras.tree.flatten(call.arguments):
        if not isinstance(part, Signal) and math.prod(getattr(part, "shape", ())) > 1:
            raise OpaqueError("an array is one of its arguments")


@rule("Multiply", "ops.Multiply")
class Multiplied(Merged):
    """The rule of products. A channel that is always zero makes the product zero."""

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the channels that vary and are not multiplied by zero."""
        (found,) = super().varies(call, channels, constants)
        for zero in self._zeros(channels, constants):
            found = found & ~zero
        return [found]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the needed channels that are not multiplied by zero."""
        found = super().needs(call, channels, needed, constants)
        for other, zero in enumerate(self._zeros(channels, constants)):
            for place, port in enumerate(channels.inputs):
                if port is not None and other != place:
                    found[place] = found[place] & ~zero
        return found

    def _zeros(self, channels: Channels, constants: Constants) -> list[np.ndarray]:
        """Return for each factor which channels are always zero."""
        return [
            np.zeros(1, bool) if port is None else values == 0
            for port, values in zip(channels.inputs, constants, strict=True)
        ]


@rule("Concatenate", "ops.Concatenate")
class Concatenated(ChannelWise):
    """The rule of concatenation: channels one after the other, or positions."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, on which each input has its place."""
        rank, sizes = len(call.shapes[0]), [signal.size for signal in call.reads]
        axis, positions = call.operation.axis, {s.position for s in call.reads}
        if len(positions) > 1 or axis is None:
            raise OpaqueError("its inputs have their channels on different axes")
        (position,) = positions
        starts = np.cumsum([0, *sizes[:-1]])
        if axis % rank != position:
            starts, sizes = np.zeros(len(sizes), int), sizes[:1]
        inputs = tuple(
            signal.to(AXIS, start + np.arange(signal.size))
            for signal, start in zip(call.reads, starts, strict=True)
        )
        port = Port(AXIS, np.arange(sum(sizes)), position)
        return Channels({AXIS: sum(sizes)}, inputs, (port,))
