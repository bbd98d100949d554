"""What lies between a layer and the next one: what has to be the identity to merge."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import keras
import numpy as np

from keras_invprune.contracts import Tensor
from keras_invprune.graph.signs import batch_normalization
from keras_invprune.graph.trace import Step, Trace
from keras_invprune.graph.weights import walk

Activation: TypeAlias = keras.Layer | Callable[[Tensor], Tensor]
"""A Keras layer, or a function."""
AFFINE = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
)
# They are the identity in evaluation.
IDLE = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
    keras.layers.Identity,
)
# They stay, and work on the inputs of the layer that goes.
RESHAPING = (
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
)


class Wall(NamedTuple):
    """A layer that cannot be merged.

    Attributes:
        layer: The layer.
        reason: Why not.
    """

    layer: keras.Layer
    reason: str


@dataclass(frozen=True)
class Link:
    """A layer, what follows it, and the layer that it may be merged into.

    Attributes:
        first: The call of the layer that would go.
        between: The calls in between: normalization, activations, dropout, reshaping.
        second: The call of the layer that would stay.
    """

    first: Step
    between: tuple[Step, ...]
    second: Step

    @property
    def activations(self) -> list[Activation]:
        """The functions and layers that must be the identity."""
        layers = [s.operation for s in self.between]
        after = [layer for layer in layers if isinstance(layer, ACTIVATIONS)]
        every = [self.first.operation.activation, *after]
        return [each for each in every if not _is_linear(each)]

    @property
    def normalization(self) -> keras.layers.BatchNormalization | None:
        """The BatchNormalization that is folded into the first layer."""
        layers = (step.operation for step in self.between)
        kind = keras.layers.BatchNormalization
        return next((layer for layer in layers if isinstance(layer, kind)), None)

    @property
    def reshaping(self) -> list[Step]:
        """The calls in between that stay."""
        return [s for s in self.between if isinstance(s.operation, RESHAPING)]

    @property
    def gone(self) -> list[keras.Layer]:
        """The layers that go with the merge, the first one included."""
        kept = {id(step) for step in self.reshaping}
        steps = [self.first, *self.between]
        return [step.operation for step in steps if id(step) not in kept]

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first layer's kernel and bias, BatchNormalization folded in."""
        kernel, bias = affine(self.first.operation)
        if self.normalization is None:
            return kernel, bias
        scale, shift = batch_normalization(self.normalization)
        return kernel * scale, bias * scale + shift


def _is_linear(activation: Activation) -> bool:
    named = type(activation) is keras.layers.Activation
    function = getattr(activation, "activation", None) if named else activation
    return function is keras.activations.linear


def affine(layer: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's kernel and bias in float64; a missing bias is zero."""
    kernel = np.asarray(layer.kernel, "float64")
    bias = np.zeros(kernel.shape[-1]) if layer.bias is None else layer.bias
    return kernel, np.asarray(bias, "float64")


def links(trace: Trace) -> Iterator[Link | Wall]:
    """Yield a `Link`, or a `Wall`, for each layer that is an affine map."""
    paths = _Paths(trace)
    for step in trace.steps:
        if type(step.operation) in AFFINE:
            yield paths.after(step)
    yield from _inside(trace)


def _is_layer(operation: object) -> bool:
    return isinstance(operation, keras.Layer)


def _inside(trace: Trace) -> Iterator[Wall]:
    """Yield a wall for each layer inside an inner model or a wrapper."""
    found = {id(step.operation): step.operation for step in trace.steps}
    for operation in filter(_is_layer, found.values()):
        for path, layer in walk(operation):
            if path and type(layer) in AFFINE:
                yield Wall(layer, f"it lies inside {operation.name!r}")


class _Paths:
    """Who reads which tensor."""

    def __init__(self, trace: Trace) -> None:
        self.calls = Counter(id(step.operation) for step in trace.steps)
        self.ends = {id(x) for x in keras.tree.flatten(trace.outputs)}
        self.readers: dict[int, list[Step]] = {}
        for step in trace.steps:
            for tensor in step.reads:
                self.readers.setdefault(id(tensor), []).append(step)

    def after(self, first: Step) -> Link | Wall:
        """Follow the output of a layer to the next one."""
        layer, between, step = first.operation, [], first
        if reason := self._of_its_own(first):
            return Wall(layer, reason)
        while True:
            following = self._next(step)
            if isinstance(following, str):
                return Wall(layer, following)
            if type(following.operation) in AFFINE:
                return Link(first, tuple(between), following)
            if reason := _blocks(layer, between, following):
                return Wall(layer, reason)
            between.append(following)
            step = following

    def _next(self, step: Step) -> Step | str:
        """Return the only call that reads a call's output, or why there is none."""
        name, made = step.operation.name, step.made[0]
        readers = self.readers.get(id(made), [])
        if id(made) in self.ends:
            return f"the output of {name!r} is an output of the model"
        if len(readers) != 1:
            return f"the output of {name!r} is read {len(readers)} times"
        (reader,) = readers
        if len(reader.reads) > 1:
            return f"{reader.operation.name!r} reads other tensors as well"
        if not isinstance(reader.operation, keras.Layer):
            return f"{reader.operation.name!r} is an operation, not a layer"
        return self._of_its_own(reader) or reader

    def _of_its_own(self, step: Step) -> str | None:
        """Return why a call is not a layer's only and ordinary one."""
        layer = step.operation
        if step.arguments[1].get("training"):
            return f"{layer.name!r} is always in training mode"
        if self.calls[id(layer)] > 1:
            return f"{layer.name!r} is called {self.calls[id(layer)]} times"
        if getattr(layer, "quantization_mode", None):
            return f"{layer.name!r} is quantized"
        if getattr(layer, "lora_enabled", False):
            return f"{layer.name!r} has a LoRA adapter"
        if layer.activity_regularizer is not None:
            return f"{layer.name!r} has an activity regularizer"
        masks = [getattr(tensor, "_keras_mask", None) for tensor in step.reads]
        if not layer.supports_masking and any(mask is not None for mask in masks):
            return f"{layer.name!r} reads a mask, and passes none on"
        return None


def _blocks(layer: keras.Layer, between: list[Step], step: Step) -> str | None:
    """Return why a call cannot lie between two layers that are merged."""
    other = step.operation
    if type(other) is keras.layers.BatchNormalization:
        return _normalization_blocks(layer, between, step)
    if type(other) in (*ACTIVATIONS, *IDLE, *RESHAPING):
        return None
    return f"{other.name!r} ({type(other).__name__}) lies between"


def _normalization_blocks(
    layer: keras.Layer, between: list[Step], step: Step
) -> str | None:
    name, rank = step.operation.name, len(step.reads[0].shape)
    first = getattr(layer, "data_format", None) == "channels_first"
    if between or layer.activation is not keras.activations.linear:
        return f"{name!r} normalizes after an activation"
    if step.operation.axis % rank != (1 if first else rank - 1):
        return f"{name!r} normalizes another axis than the channels"
    return None
