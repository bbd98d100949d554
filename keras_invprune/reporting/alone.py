"""The layers of a model that can be made alone, at other widths, to be measured."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import keras
from keras import layers

from keras_invprune.graph.layouts import layout_of
from keras_invprune.graph.trace import Step, traced, unfolded
from keras_invprune.graph.weights import Weight, kernels
from keras_invprune.runtimes import Shapes

PARTS = (1, 2, 4)  # a layer is measured at 1, 1/2 and 1/4 of its widths, and at 1
WITHOUT = ("_initializer", "_regularizer", "_constraint")  # they take no time
Axes = Sequence[tuple[str, int]]  # (key of a weight, axis of it)


class _Form(NamedTuple):
    """Where the widths of a kind of layers are, and the option that sets the outputs.

    Weights are given by the path of their attribute. `option` is None if the inputs
    decide the outputs.
    """

    inputs: tuple[str, int]
    outputs: tuple[str, int]
    option: str | None


DENSE = _Form(("kernel", 0), ("kernel", 1), "units")
CONVOLUTION = _Form(("kernel", -2), ("kernel", -1), "filters")
TRANSPOSED = _Form(("kernel", -1), ("kernel", -2), "filters")
DEPTHWISE = _Form(("kernel", -2), ("kernel", -1), None)
SEPARABLE = _Form(("depthwise_kernel", -2), ("pointwise_kernel", -1), "filters")
RECURRENT = _Form(("cell.kernel", 0), ("cell.recurrent_kernel", 0), "units")
FORMS = {
    layers.Dense: DENSE,
    layers.Conv1D: CONVOLUTION,
    layers.Conv2D: CONVOLUTION,
    layers.Conv3D: CONVOLUTION,
    layers.Conv1DTranspose: TRANSPOSED,
    layers.Conv2DTranspose: TRANSPOSED,
    layers.Conv3DTranspose: TRANSPOSED,
    layers.DepthwiseConv1D: DEPTHWISE,
    layers.DepthwiseConv2D: DEPTHWISE,
    layers.SeparableConv1D: SEPARABLE,
    layers.SeparableConv2D: SEPARABLE,
    layers.SimpleRNN: RECURRENT,
    layers.LSTM: RECURRENT,
    layers.GRU: RECURRENT,
}


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer in a model: how to make it alone, and where its widths are.

    `lengths` are those of its input, with None in place of the channels.
    """

    layer: keras.Layer
    lengths: tuple[int | None, ...]
    kind: type[keras.Layer]
    config: dict[str, Any]
    option: str | None
    inputs: Axes
    outputs: Axes

    @property
    def same(self) -> str:
        """What equal layers at equal places have in common, but for their widths."""
        known = {k: v for k, v in self.config.items() if k not in ("name", self.option)}
        return json.dumps([self.kind.__name__, self.lengths, known], default=str)

    def widths(self, shapes: Shapes) -> list[list[int]]:
        """Return the widths of inputs, and of outputs, to measure it at."""
        inputs, outputs = width_of(self.inputs, shapes), width_of(self.outputs, shapes)
        return [_parts(inputs), _parts(outputs) if self.option else [outputs]]

    def alone(self, inputs: int, outputs: int) -> keras.Model:
        """Return a model of the layer alone, for one input."""
        config = dict(self.config)
        if self.option:
            config[self.option] = outputs
        lengths = [inputs if length is None else length for length in self.lengths]
        return single(self.kind.from_config(config), lengths)


def _parts(width: int) -> list[int]:
    return sorted({1, *(max(1, width // part) for part in PARTS)})


def single(layer: keras.Layer, shape: Sequence[int]) -> keras.Model:
    """Return a model of one layer for one input of a shape."""
    x = keras.Input(batch_shape=(1, *shape), dtype=layer.compute_dtype)
    return keras.Model(x, layer(x))


def places(model: keras.Model, weights: Mapping[str, Weight]) -> Iterator[Place]:
    """Yield each call of a layer that can be made alone."""
    keys = {id(w.variable): key for key, w in kernels(weights).items()}
    for step in unfolded(traced(model).steps):
        layer = step.operation
        if type(layer) is layers.EinsumDense:
            place = _as_dense(step, keys)
        elif type(layer) in FORMS and getattr(layer, "groups", 1) == 1:
            place = _of_form(step, keys, FORMS[type(layer)])
        else:
            continue
        if place is not None:
            yield place


def _of_form(step: Step, keys: Mapping[int, str], form: _Form) -> Place | None:
    layer, (_, *lengths) = step.operation, step.reads[0].shape
    first = getattr(layer, "data_format", None) == "channels_first"
    lengths[0 if first else -1] = None
    axes = []
    for path, axis in (form.inputs, form.outputs):
        variable = attrgetter(path)(layer)
        if id(variable) not in keys:
            return None
        axes.append([(keys[id(variable)], axis % len(variable.shape))])
    config = _timed_config(layer)
    return Place(layer, tuple(lengths), type(layer), config, form.option, *axes)


def _as_dense(step: Step, keys: Mapping[int, str]) -> Place | None:
    """Return the place of a Dense layer that does what an EinsumDense does."""
    layer = step.operation
    layout = layout_of(layer, layer.kernel)
    if layout is None:
        return None
    key, shape = keys[id(layer.kernel)], layer.kernel.shape
    axes = [[(key, axis) for axis in side] for side in layout[1:]]
    size = math.prod(shape[axis] for axis in layout.inputs)
    rows = math.prod(step.reads[0].shape[1:]) // size
    config = {"dtype": layer.get_config()["dtype"]}
    return Place(layer, (rows, None), layers.Dense, config, "units", *axes)


def _timed_config(layer: keras.Layer) -> dict[str, Any]:
    """Return the part of a layer's config that its time depends on."""
    config = layer.get_config().items()
    return {k: v for k, v in config if k != "trainable" and not k.endswith(WITHOUT)}


def width_of(axes: Axes, shapes: Shapes) -> int:
    """Return the product of the lengths of some axes."""
    return math.prod(shapes[key][axis] for key, axis in axes)
