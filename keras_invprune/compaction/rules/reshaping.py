"""Layers and operations that only move elements. They are run on numbers of channels.

Where each number comes out says how channels correspond, whatever the layer is called.
"""

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.channels import Channels, Port, Signal
from keras_invprune.compaction.channelwise import AXIS, ChannelWise
from keras_invprune.compaction.rule import Call, OpaqueError, Sides, rule


@rule(
    *("Flatten", "Permute"),
    *("ops.ExpandDims", "ops.GetItem", "ops.Moveaxis"),
    *("ops.Swapaxes", "ops.Transpose"),
)
class Moved(ChannelWise):
    """The rule of layers whose config does not hold the number of channels."""

    def channels(self, call: Call) -> Channels:
        """Return one axis: the channels of the input, or of the output if fewer."""
        signal = call.read
        self._check(call.operation)
        inputs, outputs, position = _correspondence(signal, self._moved(call))
        if len(np.unique(outputs)) < len(np.unique(inputs)):
            raise OpaqueError("it picks channels by their numbers")
        return Channels(
            {AXIS: int(inputs.max()) + 1},
            (signal.to(AXIS, inputs),),
            (Port(AXIS, outputs, position),),
            fixed=self.holds(call.operation, position),
        )

    def holds(self, operation: Any, position: int) -> bool:
        """Return whether the config has the length of an axis of the output."""
        return False

    def _check(self, operation: keras.Operation) -> None:
        """Raise if what is done depends on the number of channels.

        Raises:
            OpaqueError: If it does.
        """

    def _moved(self, call: Call) -> np.ndarray:
        """Return the output for an input of which each element is its channel."""
        signal = call.read
        along = [1] * len(signal.shape)
        along[signal.position] = signal.size
        shape = (signal.shape[0] or 1, *signal.shape[1:])
        numbers = np.arange(signal.size, dtype="int32").reshape(along)
        try:
            (made,) = call.run({signal.number: np.broadcast_to(numbers, shape)})
        except Exception as error:  # operations may raise anything
            raise OpaqueError("it cannot be run on integers") from error
        return made.astype(int)


def _correspondence(
    signal: Signal, moved: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the channels of the axis that inputs and outputs are, and a position.

    Raises:
        OpaqueError: If a channel of the output holds parts of several channels.
    """
    places = range(moved.ndim - 1, 0, -1)
    for position in places:  # channels that stay whole, such as those of Flatten
        rows = _rows(moved, position)
        if (rows == rows[:, :1]).all():
            return np.arange(signal.size), rows[:, 0], position
    for position in places[:1]:  # channels that join, as before a map of positions
        rows = _rows(moved, position)
        every = [(i, o) for o, row in enumerate(rows) for i in set(row)]
        pairs = np.array(sorted(every))
        if len(pairs) == signal.size:
            return pairs[:, 1], np.arange(len(rows)), position
    raise OpaqueError("it mixes channels with positions")


def sizes(ports: Sequence[Port | None], kept: Sides) -> list[tuple[Port, int]]:
    """Return pairs (port, number of channels that are kept) of some tensors."""
    found = [port for port in ports if port is not None]
    return [(port, int(port.spread(kept[port.axis]).sum())) for port in found]


def shortened(
    shape: Sequence[int | None], channels: Channels, kept: Sides
) -> tuple[int | None, ...]:
    """Return a shape that has as many channels as a call's one output keeps."""
    ((port, size),) = sizes(channels.outputs, kept)
    found = list(shape)
    found[port.position] = size
    return tuple(found)


def _rows(moved: np.ndarray, position: int) -> np.ndarray:
    return np.moveaxis(moved, position, 0).reshape(moved.shape[position], -1)


@rule("ops.Squeeze")
class Squeezed(Moved):
    """The rule of operations that leave out axes of length 1."""

    def _check(self, operation: keras.Operation) -> None:
        """Raise if a single channel would be left out, too."""
        if operation.axis is None:
            raise OpaqueError("it leaves out each axis of length 1")


@rule("Reshape", "ops.Reshape")
class Reshaped(Moved):
    """The rule of reshapes, whose config may hold the number of channels."""

    def holds(self, operation: Any, position: int) -> bool:
        """Return whether the length of an axis is given rather than found (-1)."""
        _, shape, place = _target(operation, position)
        return shape[place] != -1

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the shape with fewer channels."""
        ((port, size),) = sizes(channels.outputs, kept)
        name, shape, place = _target(layer, port.position)
        shape[place] = size
        return {name: tuple(shape)}


def _target(operation: keras.Operation, position: int) -> tuple[str, list[int], int]:
    """Return the entry of the config, its shape, and the place of an axis in it."""
    if isinstance(operation, keras.layers.Reshape):  # its shape is without the batch
        return "target_shape", list(operation.target_shape), position - 1
    return "newshape", list(operation.newshape), position


@rule("InputLayer")
class Entry(ChannelWise):
    """The rule of the entry to an inner model, whose config may hold its size."""

    def channels(self, call: Call) -> Channels:
        """Return one axis."""
        signal, shape = call.read, call.operation.batch_shape
        port = signal.to(AXIS)
        known = len(shape) == len(signal.shape) and shape[signal.position] is not None
        return Channels({AXIS: signal.size}, (port,), (port,), fixed=known)

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the shape with fewer channels."""
        return {"batch_shape": shortened(layer.batch_shape, channels, kept)}
