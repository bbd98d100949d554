"""What a rule says about one family of layers, and how rules are found."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_invprune.compaction.channels import Channels, Signal
from keras_invprune.graph.trace import named

Bools = list[np.ndarray]
Sides = Mapping[str, np.ndarray]  # for each axis, whether each channel is kept
Constants = Sequence[np.ndarray]  # for each tensor, by channel; NaN where it varies


class OpaqueError(ValueError):
    """A layer is a wall: its channels cannot be told apart. The message says why."""


@dataclass(frozen=True)
class Call:
    """One call of a layer or an operation.

    Attributes:
        operation: The layer or operation; None if the call returns what it reads.
        reads: The tensors that it reads, other than a mask of steps.
        shapes: The shapes of the tensors that it makes.
        arguments: Its (args, kwargs), with a `Signal` in place of each tensor.
    """

    operation: Any
    reads: tuple[Signal, ...]
    shapes: tuple[tuple, ...]
    arguments: tuple

    @property
    def named(self) -> dict[str, Any]:
        """Its arguments by name, also those that are given by position."""
        return named(self.operation, self.arguments)

    @property
    def is_masked(self) -> bool:
        """Whether the call may be given a mask of steps, also one of its inputs."""
        if self.named.get("mask") is not None:
            return True
        masked = any(signal.masked for signal in self.reads)
        return masked and "mask" in inspect.signature(self.operation.call).parameters

    @property
    def read(self) -> Signal:
        """The only tensor that the call reads.

        Raises:
            OpaqueError: If it reads several, such as initial states.
        """
        if len(self.reads) != 1:
            raise OpaqueError(f"it is called with {len(self.reads)} tensors")
        return self.reads[0]

    def run(self, values: Mapping[int, np.ndarray]) -> list[np.ndarray]:
        """Return what the call makes of certain values of the tensors it reads."""

        def filled(part: Any) -> Any:
            if not isinstance(part, Signal):
                return part
            if part.number not in values:  # a mask of steps
                return ops.ones((part.shape[0] or 1, *part.shape[1:]), part.dtype)
            return ops.convert_to_tensor(values[part.number])

        args, kwargs = tree.map_structure(filled, self.arguments)
        if self.operation is None or isinstance(
            self.operation, keras.layers.InputLayer
        ):
            return [_numbers(args[0])]
        with keras.StatelessScope():  # statistics and seeds stay as they are
            made = self.operation(*args, **kwargs)
        return [_numbers(part) for part in tree.flatten(made)]


def _numbers(part: Any) -> np.ndarray:
    """Return numbers, which are not copied if they are single precision."""
    values = np.asarray(part)
    return values if values.dtype == "float32" else values.astype("float64")


class Rule:
    """How one family of layers treats channels.

    `channels` says how they correspond. The other methods say what the layer computes
    with them, and how a smaller layer is made.
    """

    def channels(self, call: Call) -> Channels:
        """Return how the channels of a call correspond.

        Raises:
            OpaqueError: If that is unknown; the layer is then a wall.
        """
        raise NotImplementedError

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return for each output which channels may vary with the model's inputs."""
        raise NotImplementedError

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return for each input which channels the layer needs.

        It does not need constants that `revised` can fold into a bias.

        Args:
            call: A call of the layer.
            channels: How its channels correspond.
            needed: For each output, which channels are needed by others.
            constants: For each input, the values of the channels that are constant.
        """
        raise NotImplementedError

    def inside(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> dict[str, np.ndarray]:
        """Return ``{axis: which channels the layer needs for itself}``.

        These are axes inside the layer, such as heads, and units that other units read.
        """
        return {}

    def revised(
        self, layer: Any, channels: Channels, constants: Constants, kept: Sides
    ) -> dict[str, np.ndarray]:
        """Return ``{path: weight}`` of the weights whose values change.

        Args:
            layer: The layer.
            channels: How its channels correspond.
            constants: For each input, the values of the channels that are constant, on
                which all calls agree; NaN elsewhere.
            kept: ``{axis: whether each channel is kept}``.
        """
        return {}

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the entries of the config that change, by their dotted paths.

        Args:
            layer: The layer.
            channels: How its channels correspond.
            kept: ``{axis: whether each channel is kept}``.
            revised: The paths of the weights whose values change.
        """
        return {}

    def cut(
        self, layer: Any, path: str, weight: np.ndarray, channels: Channels, kept: Sides
    ) -> np.ndarray:
        """Return a weight without the channels that go.

        Args:
            layer: The layer.
            path: The path of the weight.
            weight: Its values.
            channels: How the layer's channels correspond.
            kept: ``{axis: whether each channel is kept}``.
        """
        for position, slot in enumerate(channels.weights[path]):
            if slot is not None:
                stays = np.flatnonzero(_at(slot, kept))
                weight = np.take(weight, stays, position)
        return weight

    def covers(
        self,
        layer: Any,
        path: str,
        shape: tuple[int, ...],
        channels: Channels,
        chosen: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Return which elements of a weight connect only chosen channels.

        Args:
            layer: The layer.
            path: The path of the weight.
            shape: Its shape.
            channels: How the layer's channels correspond.
            chosen: ``{axis: whether each channel is chosen}``.
        """
        found = np.ones(shape, bool)
        for position, slot in enumerate(channels.weights[path]):
            if slot is not None:
                along = [1] * len(shape)
                along[position] = shape[position]
                found &= _at(slot, chosen).reshape(along)
        return found


def _at(
    slot: str | tuple[str, np.ndarray], of_axes: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return for each index of a weight's axis what is said of its channel."""
    name, index = (slot, ...) if isinstance(slot, str) else slot
    return of_axes[name][index]


class Wall(Rule):
    """The rule of layers that need all channels of their inputs and keep all."""

    def channels(self, call: Call) -> Channels:
        """Return channels without any axis."""
        return Channels({}, (None,) * len(call.reads), (None,) * len(call.shapes))

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return that all channels vary."""
        sizes = (shape[-1] if len(shape) > 1 else 1 for shape in call.shapes)
        return [np.ones(size, bool) for size in sizes]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return that all channels are needed."""
        return [np.ones(signal.size, bool) for signal in call.reads]


class Pick(Rule):
    """The rule of what picks channels that are needed, and leaves out others."""

    def channels(self, call: Call) -> Channels:
        """Return the channels that may be picked."""
        signal = call.read
        return Channels({"picked": signal.size}, (None,), (signal.to("picked"),))

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the channels that vary."""
        return [np.isnan(constants[0])]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the channels that others need."""
        return needed


RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable:
    """Register a rule for layers of `keras.layers`, or operations of `keras.ops`.

    Args:
        *names: Names of layer classes. Those of operations begin with ``"ops."``, those
            of layers that are only in `keras.applications` with ``"applications."``,
            and those of our own layers with ``"keras_invprune>"``.
    """

    def add(kind: type[Rule]) -> type[Rule]:
        RULES.update(dict.fromkeys(names, kind()))
        return kind

    return add


def rule_of(operation: Any) -> Rule | None:
    """Return the rule of a layer or operation, or None if there is none."""
    if operation is None:
        return RULES["Identity"]
    kind = type(operation)
    if kind is getattr(keras.layers, kind.__name__, None):
        return RULES.get(kind.__name__)
    for package in ("applications", "ops"):
        if kind.__module__.startswith(f"keras.src.{package}."):
            return RULES.get(f"{package}.{kind.__name__}")
    registered = keras.saving.get_registered_name(kind)
    # A class that is not registered has its bare name here, which may be Keras's.
    return RULES.get(registered) if ">" in registered else None


def find_rules(package: ModuleType) -> None:
    """Import all modules of a package, which register their rules."""
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{found.name}")


def channel_axis(layer: Any, rank: int) -> int:
    """Return the axis of the channels that a layer with a `data_format` expects."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if first and rank > 2 else rank - 1


def gone(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the constants of the channels that go; 0 for all others."""
    return np.where(kept, 0.0, np.nan_to_num(values))


def moved(expected: int, found: int) -> str:
    """Return the reason of a layer that works on another axis than the channels'."""
    return f"it works on axis {expected}, but channels are on axis {found}"
