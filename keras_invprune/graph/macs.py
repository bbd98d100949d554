"""Counts how often a model uses each kernel for one input."""

import math
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.observe import observed
from keras_invprune.graph.weights import kernels, walk, weights_by_key

CONVOLUTIONAL_LOOPS = (
    keras.layers.ConvLSTM1D,
    keras.layers.ConvLSTM2D,
    keras.layers.ConvLSTM3D,
)
CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Depthwise", "Separable")


def kernel_uses(model: keras.Model, x: Nested) -> dict[str, int | None]:
    """Return how many times each weight of a kernel is multiplied for one input.

    This is 1 for a Dense layer on vectors, the number of positions for a convolution,
    of steps for a recurrent layer, and of calls for a shared layer. A layer inside
    `TimeDistributed` is called once for each step. It is 0 for an embedding, which
    looks rows up. A kernel of n weights, z of them zero, takes n · uses
    multiply-accumulate operations (MACs), or (n - z) · uses if zeros are skipped.

    Args:
        model: A built Keras 3 model.
        x: A batch of one input, in the structure that the model takes.

    Returns:
        ``{key: uses}`` of all kernels (rank >= 2, not biases). `uses` is None for
        layers whose arithmetic is unknown.
    """
    found = kernels(weights_by_key(model))
    recurrent = {id(r.cell): r for _, r in walk(model) if hasattr(r, "cell")}
    owners = [layer for layer, _ in found.values()]
    shapes = _output_shapes(model, x, [*owners, *recurrent.values()])
    return {
        key: _steps(layer, recurrent[id(layer)], shapes)
        if id(layer) in recurrent
        else _uses(layer, variable, shapes.get(id(layer)))
        for key, (layer, variable) in found.items()
    }


def _output_shapes(
    model: keras.Model, x: Nested, layers: Iterable[keras.Layer]
) -> dict[int, list[tuple]]:
    """Return ``{id(layer): output shapes}``, with one shape for each call."""
    seen = {}

    def see(layer: keras.Layer, output: Tensor) -> None:
        seen.setdefault(id(layer), []).append(tuple(output.shape))

    kind = keras.layers.TimeDistributed
    wrappers = [layer for _, layer in walk(model) if isinstance(layer, kind)]
    unique = list({id(layer): layer for layer in [*layers, *wrappers]}.values())
    # The scope keeps statistics and losses unchanged.
    with observed(unique, see), keras.StatelessScope():
        model(x, training=False)
    for wrapper in wrappers:  # it calls its layer where that cannot be observed
        for batch, steps, *shape in seen.get(id(wrapper), ()):
            inner = seen.setdefault(id(wrapper.layer), [])
            inner += [(batch, *shape)] * steps
    return seen


def _steps(
    cell: keras.Layer, layer: keras.Layer, shapes: Mapping[int, list[tuple]]
) -> int | None:
    if id(cell) not in shapes or id(layer) not in shapes:
        return None
    # The state of a loop of convolutions is a pair, though its cell does not say so.
    pair = isinstance(layer, CONVOLUTIONAL_LOOPS)
    states = 2 if pair else len(keras.tree.flatten(cell.state_size))
    calls = len(shapes[id(layer)]) // (1 + states * layer.return_state)
    # A cell's outputs include its states. If Keras loops (not unrolled), it calls the
    # cell once more, to get the shape of its output.
    steps = len(shapes[id(cell)]) // (1 + states) - calls * (not layer.unroll)
    return steps * math.prod(_axes(cell, shapes[id(cell)][0]))  # of a convolution


def _uses(
    layer: keras.Layer, variable: keras.Variable, shapes: list[tuple] | None
) -> int | None:
    kind = type(layer).__name__
    if kind == "Embedding":
        return 0
    if shapes is None:  # not called as usual
        return None
    if kind == "EinsumDense":
        return sum(_einsum_uses(layer.equation, variable.shape, s) for s in shapes)
    if kind.endswith("Transpose"):  # one use for each position of the input
        return sum(_transposed_from(layer, _axes(layer, shape)) for shape in shapes)
    if kind == "Dense" or kind.startswith(CONVOLUTIONS):
        return sum(math.prod(_axes(layer, shape)) for shape in shapes)
    return None


def _axes(layer: keras.Layer, shape: tuple[int, ...]) -> tuple:
    """Return the lengths of all axes except the batch and the channels."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return shape[2:] if first else shape[1:-1]


def _transposed_from(layer: keras.Layer, lengths: tuple[int, ...]) -> int:
    """Return a transposed convolution's number of input positions, from its output."""
    positions = 1
    paddings = layer.output_padding or [None] * len(lengths)
    settings = (layer.kernel_size, layer.strides, layer.dilation_rate, paddings)
    for length, size, stride, dilation, padding in zip(lengths, *settings, strict=True):
        size += (size - 1) * (dilation - 1)
        same = layer.padding == "same"
        if padding is None:  # length = positions · stride + overhang
            positions *= (length - (0 if same else max(size - stride, 0))) // stride
        else:  # length = (positions - 1) · stride + size + padding - border
            border = 2 * (size // 2) * same
            positions *= (length + border - size - padding) // stride + 1
    return positions


def _einsum_uses(
    equation: str, kernel_shape: Sequence[int], output_shape: Sequence[int]
) -> int:
    """Return how many output elements share a weight, along axes not in the kernel."""
    _, operands = equation.split(",")
    kernel, output = operands.replace(" ", "").split("->")
    shared = [n for axis, n in zip(kernel, kernel_shape, strict=True) if axis in output]
    return int(np.prod(output_shape[1:])) // math.prod(shared)
