"""The wrapper that calls a layer at each step of a sequence."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.rule import (
    Bools,
    Call,
    Constants,
    OpaqueError,
    Rule,
    Sides,
    Wall,
    rule,
    rule_of,
)

PATH, ENTRY = "layer.", "layer.config."


@rule("TimeDistributed")
class TimeDistributed(Rule):
    """The rule of the wrapper: that of its layer, with one more axis of positions."""

    def channels(self, call: Call) -> Channels:
        """Return the channels of the wrapped layer."""
        inner = rule_of(call.operation.layer)
        if inner is None:
            raise OpaqueError("no rule says how its layer's channels correspond")
        found = inner.channels(_inner(call))
        return replace(
            found,
            inputs=tuple(_shifted(port, 1) for port in found.inputs),
            outputs=tuple(_shifted(port, 1) for port in found.outputs),
            weights={f"{PATH}{name}": slots for name, slots in found.weights.items()},
        )

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return what the rule of the wrapped layer says."""
        return _rule(call.operation).varies(_inner(call), _within(channels), constants)

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return what the rule of the wrapped layer says."""
        given = _inner(call), _within(channels), needed, constants
        return _rule(call.operation).needs(*given)

    def inside(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> dict[str, np.ndarray]:
        """Return what the rule of the wrapped layer says."""
        given = _inner(call), _within(channels), needed, constants
        return _rule(call.operation).inside(*given)

    def revised(
        self, layer: Any, channels: Channels, constants: Constants, kept: Sides
    ) -> dict[str, np.ndarray]:
        """Return what the rule of the wrapped layer says."""
        within = _within(channels)
        found = _rule(layer).revised(layer.layer, within, constants, kept)
        return {f"{PATH}{name}": values for name, values in found.items()}

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return what the rule of the wrapped layer says."""
        names = [name.removeprefix(PATH) for name in revised]
        found = _rule(layer).config(layer.layer, _within(channels), kept, names)
        return {f"{ENTRY}{name}": value for name, value in found.items()}

    def cut(
        self, layer: Any, path: str, weight: np.ndarray, channels: Channels, kept: Sides
    ) -> np.ndarray:
        """Return what the rule of the wrapped layer says."""
        name, within = path.removeprefix(PATH), _within(channels)
        return _rule(layer).cut(layer.layer, name, weight, within, kept)

    def covers(
        self,
        layer: Any,
        path: str,
        shape: tuple[int, ...],
        channels: Channels,
        chosen: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Return what the rule of the wrapped layer says."""
        name, within = path.removeprefix(PATH), _within(channels)
        return _rule(layer).covers(layer.layer, name, shape, within, chosen)


def _rule(layer: keras.layers.TimeDistributed) -> Rule:
    return rule_of(layer.layer) or Wall()


def _inner(call: Call) -> Call:
    """Return the call of the wrapped layer at one step."""
    signal = call.read
    if signal.position < 2:
        raise OpaqueError("it is called at each channel")
    shape = (signal.shape[0], *signal.shape[2:])
    position, masked = signal.position - 1, call.is_masked
    step = replace(signal, shape=shape, position=position, masked=masked)
    shapes = tuple((size[0], *size[2:]) for size in call.shapes)
    return Call(call.operation.layer, (step,), shapes, ((step,), {}))


def _within(channels: Channels) -> Channels:
    """Return the channels of the wrapped layer from those of the wrapper."""
    return replace(
        channels,
        inputs=tuple(_shifted(port, -1) for port in channels.inputs),
        outputs=tuple(_shifted(port, -1) for port in channels.outputs),
        weights={
            name.removeprefix(PATH): slots for name, slots in channels.weights.items()
        },
    )


def _shifted(port: Port | None, by: int) -> Port | None:
    return port and replace(port, position=port.position + by)
