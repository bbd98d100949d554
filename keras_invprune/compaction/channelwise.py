"""Layers that treat each channel by itself."""

from typing import Any

import numpy as np

from keras_invprune.compaction.channels import Channels, Port, Signal
from keras_invprune.compaction.rule import (
    Bools,
    Call,
    Constants,
    OpaqueError,
    Rule,
    channel_axis,
    moved,
)

AXIS = "channels"


class ChannelWise(Rule):
    """The rule of layers whose outputs depend on the same channel of each input."""

    def channels(self, call: Call) -> Channels:
        """Return one axis, which all inputs and outputs share."""
        return one_axis(call)

    def open(self, layer: Any, channels: Channels) -> np.ndarray:
        """Return which channels of the axis pass the layer at all."""
        return np.ones(channels.sizes[AXIS], bool)

    def opened(self, layer: Any, channels: Channels, port: Port) -> np.ndarray:
        """Return which channels of an output depend on their inputs."""
        return port.spread(self.open(layer, channels))

    def pads(self, layer: Any) -> bool:
        """Return whether zeros are set next to the values of a channel."""
        return False

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the channels of which an input varies."""
        found = np.zeros(channels.sizes[AXIS], bool)
        for port, values in zip(channels.inputs, constants, strict=True):
            moves = np.isnan(values)
            if self.pads(call.operation):
                moves |= values != 0
            found |= moves.any() if port is None else port.gather(moves, len(found))
        return [
            port.spread(found) & self.opened(call.operation, channels, port)
            for port in channels.outputs
            if port is not None
        ]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the channels of which an output is needed."""
        found = np.zeros(channels.sizes[AXIS], bool)
        for port, wanted in zip(channels.outputs, needed, strict=True):
            if port is not None:
                wanted = wanted & self.opened(call.operation, channels, port)
                found |= port.gather(wanted, len(found))
        return [
            np.ones(signal.size, bool) if port is None else port.spread(found)
            for port, signal in zip(channels.inputs, call.reads, strict=True)
        ]


def one_axis(call: Call, expected: int | None = None, **more: Any) -> Channels:
    """Return the channels of a call that reads one tensor and keeps its channels.

    Args:
        call: The call.
        expected: The axis of the channels that the layer works on; None for that of
            its `data_format`.
        **more: Further entries of `Channels`.

    Raises:
        OpaqueError: If the tensor's channels are on another axis, or if the output
            has another number of channels.
    """
    signal, shape = call.read, call.shapes[0]
    if expected is None:
        expected = channel_axis(call.operation, len(signal.shape))
    check_position(signal, expected)
    position = expected if len(shape) == len(signal.shape) else len(shape) - 1
    if shape[position] != signal.size:
        raise OpaqueError("it changes the number of channels")
    port = Port(AXIS, np.arange(signal.size), position)
    return Channels({AXIS: signal.size}, (signal.to(AXIS),), (port,), **more)


def check_position(signal: Signal, expected: int) -> None:
    """Raise if a tensor's channels are not on the expected axis.

    Raises:
        OpaqueError: If they are not.
    """
    if signal.position != expected:
        raise OpaqueError(moved(expected, signal.position))
