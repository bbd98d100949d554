"""Recurrent layers, also in two directions: units that read inputs and each other.

A unit is removed if neither an output nor a unit that stays reads it, or if it is
always zero. Other constants cannot be removed, since the state begins with zeros.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.activations import is_elementwise
from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.mixing import IN, array
from keras_invprune.compaction.rule import (
    Bools,
    Call,
    Constants,
    OpaqueError,
    Rule,
    Sides,
    gone,
    moved,
    rule,
)

UNITS = "units"
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
CANDIDATE = {"SimpleRNN": 0, "GRU": 2, "LSTM": 2}  # the gate of new values


@dataclass(frozen=True)
class Part:
    """One direction.

    Attributes:
        layer: The layer that runs in this direction.
        path: The prefix of its attributes.
        entry: The prefix of its config.
        index: For each of its units, the channel of the axis that it is.
    """

    layer: keras.layers.Layer
    path: str
    entry: str
    index: np.ndarray

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self.layer).__name__

    def by_gate(self, name: str) -> np.ndarray:
        """Return a weight as (..., gates, units)."""
        weight = array(getattr(self.layer.cell, name))
        return weight.reshape(*weight.shape[:-1], GATES[self.kind], -1)

    def zero(self, constants: np.ndarray) -> np.ndarray:
        """Return which units are always zero: no new value comes in.

        Args:
            constants: The constants of the inputs; NaN where they vary.
        """
        cell, gate = self.layer.cell, CANDIDATE[self.kind]
        found = np.full(cell.units, float(cell.activation(keras.ops.zeros(()))) == 0)
        reads = self.by_gate("kernel")[:, gate] != 0
        found &= ~reads[constants != 0].any(0)
        if cell.bias is not None:
            biases = self.by_gate("bias")[..., gate, :]
            found &= (biases == 0).reshape(-1, cell.units).all(0)
        reads = self.by_gate("recurrent_kernel")[:, gate] != 0
        before = None
        while before is None or (before != found).any():  # they may read each other
            before, found = found, found & ~reads[~found].any(0)
        return found

    def needed(self, wanted: np.ndarray, constants: np.ndarray) -> np.ndarray:
        """Return the units that are wanted, or read by one that is."""
        zero = self.zero(constants)
        reads = (self.by_gate("recurrent_kernel") != 0).any(1)
        found, before = wanted & ~zero, None
        while before is None or (before != found).any():
            before, found = found, found | (reads[:, found].any(1) & ~zero)
        return found

    def inputs(self, needed: np.ndarray, constants: np.ndarray) -> np.ndarray:
        """Return the inputs that needed units read, other than constants."""
        reads = (self.by_gate("kernel") != 0).any(1)
        return reads[:, needed].any(1) & np.isnan(constants)


class Directions(Rule):
    """What the rules of one and of two directions share."""

    def parts(self, layer: Any) -> list[Part]:
        """Return the directions.

        Raises:
            OpaqueError: If a layer in one of them is unknown.
        """
        raise NotImplementedError

    def channels(self, call: Call) -> Channels:
        """Return the inputs and the units, those of all directions on one axis."""
        signal, parts = call.read, self.parts(call.operation)
        if signal.position != 2:
            raise OpaqueError(moved(2, signal.position))
        for part in parts:
            _check(part)
        size = 1 + max(int(part.index[-1]) for part in parts)
        weights = {}
        for part in parts:
            weights.update(_slots(part))
        return Channels(
            {IN: signal.size, UNITS: size},
            (signal.to(IN),),
            self.outputs(call, parts),
            weights,
        )

    def outputs(self, call: Call, parts: list[Part]) -> tuple:
        """Return the ports of the outputs and the states."""
        raise NotImplementedError

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the units that are not always zero."""
        found = np.zeros(channels.sizes[UNITS], bool)
        for part in self.parts(call.operation):
            found[part.index] |= ~part.zero(constants[0])
        return [port.spread(found) for port in channels.outputs if port is not None]

    def inside(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> dict[str, np.ndarray]:
        """Return the units that outputs or other units need."""
        found = np.zeros(channels.sizes[UNITS], bool)
        for part, units in self._needed(call, channels, needed, constants):
            found[part.index] |= units
        return {UNITS: found}

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the inputs that needed units read."""
        found = np.zeros(channels.sizes[IN], bool)
        for part, units in self._needed(call, channels, needed, constants):
            found |= part.inputs(units, constants[0])
        return [found]

    def _needed(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Iterator[tuple[Part, np.ndarray]]:
        """Yield (part, which of its units are needed)."""
        wanted = np.zeros(channels.sizes[UNITS], bool)
        for port, each in zip(channels.outputs, needed, strict=True):
            if port is not None:
                wanted |= port.gather(each, len(wanted))
        for part in self.parts(call.operation):
            yield part, part.needed(wanted[part.index], constants[0])

    def revised(
        self, layer: Any, channels: Channels, constants: Constants, kept: Sides
    ) -> dict[str, np.ndarray]:
        """Return the biases with the constants folded into them."""
        folded = gone(constants[0], kept[IN])
        found, moves = {}, False
        for part in self.parts(layer):
            cell = part.layer.cell
            shift = folded @ array(cell.kernel)
            moves |= shift.reshape(-1, cell.units)[:, kept[UNITS][part.index]].any()
            if getattr(cell, "reset_after", False):  # biases of inputs, and of states
                shift = np.stack([shift, np.zeros_like(shift)])
            bias = 0.0 if cell.bias is None else array(cell.bias)
            found[f"{part.path}cell.bias"] = bias + shift
        return found if moves else {}

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the number of units, and biases where there were none."""
        found: dict[str, Any] = {}
        for part in self.parts(layer):
            found[f"{part.entry}units"] = int(kept[UNITS][part.index].sum())
            if revised:
                found[f"{part.entry}use_bias"] = True
        return found


def _slots(part: Part) -> dict[str, tuple]:
    units = UNITS, np.tile(part.index, GATES[part.kind])
    two = getattr(part.layer, "reset_after", False)
    return {
        f"{part.path}cell.kernel": (IN, units),
        f"{part.path}cell.recurrent_kernel": ((UNITS, part.index), units),
        f"{part.path}cell.bias": (None, units) if two else (units,),
    }


def _check(part: Part) -> None:
    """Raise if a direction does what the rule does not know.

    Raises:
        OpaqueError: If it does.
    """
    if part.layer.stateful:
        raise OpaqueError("its state lasts from batch to batch")
    gates = getattr(part.layer, "recurrent_activation", None)
    if not (is_elementwise(part.layer.activation) and is_elementwise(gates)):
        raise OpaqueError("an activation is not elementwise")


@rule("GRU", "LSTM", "SimpleRNN")
class Recurrent(Directions):
    """The rule of one direction."""

    def parts(self, layer: Any) -> list[Part]:
        """Return the layer itself."""
        return [Part(layer, "", "", np.arange(layer.units))]

    def outputs(self, call: Call, parts: list[Part]) -> tuple:
        """Return the units for the output and each state."""
        return tuple(_port(parts[0].index, len(shape)) for shape in call.shapes)


@rule("Bidirectional")
class Bidirectional(Directions):
    """The rule of two directions. Keras needs as many units in both."""

    def parts(self, layer: Any) -> list[Part]:
        """Return both directions.

        Raises:
            OpaqueError: If a layer in one of them is unknown.
        """
        both = layer.forward_layer, layer.backward_layer
        if any(GATES.get(type(each).__name__) is None for each in both):
            raise OpaqueError("no rule says how its channels correspond")
        one, two = (np.arange(each.units) for each in both)
        if layer.merge_mode in ("concat", None):
            two = two + len(one)
        return [
            Part(both[0], "forward_layer.", "layer.config.", one),
            Part(both[1], "backward_layer.", "backward_layer.config.", two),
        ]

    def channels(self, call: Call) -> Channels:
        """Return the inputs and the units; both directions stay equally large."""
        found = super().channels(call)
        if call.operation.merge_mode not in ("concat", None):
            return found
        return Channels(**{**vars(found), "groups": {UNITS: 2}, "groups_stay": True})

    def outputs(self, call: Call, parts: list[Part]) -> tuple:
        """Return the units for the outputs and the states of both directions."""
        one, two = (part.index for part in parts)
        mode = call.operation.merge_mode
        merged = np.concatenate([one, two]) if mode == "concat" else one
        indices = [one, two] if mode is None else [merged]
        states = (len(call.shapes) - len(indices)) // 2
        indices += [one] * states + [two] * states
        return tuple(
            _port(index, len(shape))
            for index, shape in zip(indices, call.shapes, strict=True)
        )


def _port(index: np.ndarray, rank: int) -> Port:
    return Port(UNITS, index, rank - 1)
