"""Layers that sum over input channels: each output is connected with some inputs."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.activations import is_elementwise, named
from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.rule import (
    Bools,
    Call,
    Constants,
    Rule,
    Sides,
    gone,
    moved,
)

IN, OUT = "inputs", "units"


class Mixing(Rule):
    """The rule of layers with a kernel, whose axes are `IN` and `OUT`, and a bias.

    Attributes:
        units: The entry of the config that holds the number of outputs.
    """

    units = "units"

    def matrix(self, layer: Any, reduce: Callable) -> np.ndarray:
        """Return the kernel as (inputs, outputs).

        Args:
            layer: The layer.
            reduce: ``(array, axes) -> array``, applied to all other axes.
        """
        kernel = array(layer.kernel)
        return reduce(kernel, tuple(range(kernel.ndim - 2)))

    def pads(self, layer: Any) -> bool:
        """Return whether zeros are set next to the inputs."""
        return False

    def connected(self, layer: Any) -> np.ndarray:
        """Return which inputs are connected with which outputs."""
        return self.matrix(layer, lambda kernel, axes: np.any(kernel != 0, axes))

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the outputs that are connected with an input that varies.

        Of an activation that is not elementwise, all outputs do.
        """
        (port,) = channels.outputs
        if port is None or OUT in channels.pinned:
            return [np.ones(channels.sizes[OUT], bool)]
        moves = ~self._foldable(call.operation, channels, constants)
        return [port.spread(self.connected(call.operation)[moves].any(0))]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the inputs that are connected with a needed output, and vary."""
        port, (source,) = channels.outputs[0], channels.inputs
        wanted = np.ones(channels.sizes[OUT], bool)
        if port is not None:
            wanted = port.gather(needed[0], channels.sizes[OUT])
        if source is None:
            return [np.ones(call.reads[0].size, bool)]
        reads = self.connected(call.operation)[:, wanted].any(1)
        moves = ~self._foldable(call.operation, channels, constants)
        return [source.spread(reads & moves)]

    def _foldable(
        self, layer: keras.Layer, channels: Channels, constants: Constants
    ) -> np.ndarray:
        """Return which inputs are constants that a bias can hold."""
        if channels.inputs[0] is None:
            return np.zeros(channels.sizes[IN], bool)
        (values,) = constants
        return values == 0 if self.pads(layer) else ~np.isnan(values)

    def folded(
        self, layer: Any, channels: Channels, constants: Constants, kept: Sides
    ) -> np.ndarray:
        """Return the constants that go, for each input; 0 for all others."""
        if channels.inputs[0] is None or self.pads(layer):  # only zeros are folded
            return np.zeros(channels.sizes[IN])
        return gone(constants[0], kept[IN])

    def revised(
        self, layer: Any, channels: Channels, constants: Constants, kept: Sides
    ) -> dict[str, np.ndarray]:
        """Return the bias with the constants folded into it: b + cᵀW."""
        folded = self.folded(layer, channels, constants, kept)
        if not folded.any():
            return {}
        total = partial(np.sum, dtype="float64")  # kernels may be bfloat16
        shift = folded[folded != 0] @ self.matrix(layer, total)[folded != 0]
        if not shift[kept[OUT]].any():
            return {}
        return {"bias": shift if layer.bias is None else array(layer.bias) + shift}

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the number of units, and a bias where there was none."""
        bias = {"use_bias": True} if revised else {}
        return {self.units: int(kept[OUT].sum()), **bias}


def sides(call: Call, position: int, target: int | None = None) -> dict[str, Any]:
    """Return the inputs and outputs of a call as entries of `Channels`.

    Inputs whose channels are on another axis than the layer works on, and outputs that
    the activation mixes, are pinned.

    Args:
        call: A call that reads and makes one tensor.
        position: The axis of the input's channels.
        target: The axis of the output's channels; None if it is the same.
    """
    target = position if target is None else target
    signal, shape, pinned = call.read, call.shapes[0], {}
    fits = signal.position == position
    if not fits:
        pinned[IN] = moved(position, signal.position)
    if not is_elementwise(activation := call.operation.activation):
        pinned[OUT] = f"its activation {named(activation)} is not elementwise"
    units = shape[target]
    return {
        "sizes": {IN: signal.shape[position], OUT: units},
        "inputs": (signal.to(IN) if fits else None,),
        "outputs": (Port(OUT, np.arange(units), target),),
        "pinned": pinned,
    }


def array(variable: keras.Variable) -> np.ndarray:
    """Return the values of a weight."""
    return keras.ops.convert_to_numpy(variable)
