"""Multiplications by weights: how often a model uses each kernel for one input."""

import math

import keras
import numpy as np

from keras_invprune.contracts import Nested
from keras_invprune.graph.observe import observed
from keras_invprune.graph.weights import kernels, walk, weights_by_key

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Depthwise", "Separable")


def kernel_uses(model: keras.Model, x: Nested) -> dict[str, int | None]:
    """How many times one input multiplies each weight of a kernel.

    1 for a Dense layer of vectors, the number of positions for a convolution, of
    steps for a recurrent layer, of calls for a shared one; 0 where rows are looked
    up. A kernel of n weights, z of them zero, takes n · uses multiply-accumulate
    operations (MACs), and (n - z) · uses where zeros are skipped.

    Args:
        model: A built Keras 3 model.
        x: A batch of one input, in the structure that the model takes.

    Returns:
        ``{key: uses}`` of the weights of two axes and more that are no bias; None
        for layers whose arithmetic is not known.
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


def _output_shapes(model, x, layers) -> dict[int, list[tuple]]:
    """Shapes that each layer puts out, call by call, by the layer's identity."""
    seen = {}

    def see(layer, output):
        seen.setdefault(id(layer), []).append(tuple(output.shape))

    unique = list({id(layer): layer for layer in layers}.values())
    # Statistics and losses stay as they are.
    with observed(unique, see), keras.StatelessScope():
        model(x, training=False)
    return seen


def _steps(cell, layer, shapes) -> int | None:
    if id(cell) not in shapes or id(layer) not in shapes:
        return None
    states = len(keras.tree.flatten(cell.state_size))
    calls = len(shapes[id(layer)]) // (1 + states * layer.return_state)
    # A cell also shows its states; where Keras loops, it calls the cell once more,
    # for the shape of its output.
    return len(shapes[id(cell)]) // (1 + states) - calls * (not layer.unroll)


def _uses(layer, variable, shapes) -> int | None:
    kind = type(layer).__name__
    if kind == "Embedding":
        return 0
    if shapes is None:  # called in a way of its own, as TimeDistributed does
        return None
    if kind == "EinsumDense":
        return sum(_einsum_uses(layer.equation, variable.shape, s) for s in shapes)
    if kind.endswith("Transpose"):  # each position of the input, not of the output
        return sum(_transposed_from(layer, _axes(layer, shape)) for shape in shapes)
    if kind == "Dense" or kind.startswith(CONVOLUTIONS):
        return sum(math.prod(_axes(layer, shape)) for shape in shapes)
    return None


def _axes(layer, shape) -> tuple:
    """Lengths of the axes of positions: neither the batch nor the channels."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return shape[2:] if first else shape[1:-1]


def _transposed_from(layer, lengths) -> int:
    """Positions of the input of a transposed convolution, from those of its output."""
    positions = 1
    paddings = layer.output_padding or [None] * len(lengths)
    settings = (layer.kernel_size, layer.strides, layer.dilation_rate, paddings)
    for length, size, stride, dilation, padding in zip(lengths, *settings, strict=True):
        size += (size - 1) * (dilation - 1)
        same = layer.padding == "same"
        if padding is None:  # length = positions · stride, and what sticks out
            positions *= (length - (0 if same else max(size - stride, 0))) // stride
        else:  # length = (positions - 1) · stride + size + padding, but for a border
            border = 2 * (size // 2) * same
            positions *= (length + border - size - padding) // stride + 1
    return positions


def _einsum_uses(equation, kernel_shape, output_shape) -> int:
    """Output elements that share one weight: the axes that the kernel lacks."""
    _, operands = equation.split(",")
    kernel, output = operands.replace(" ", "").split("->")
    shared = [n for axis, n in zip(kernel, kernel_shape, strict=True) if axis in output]
    return int(np.prod(output_shape[1:])) // math.prod(shared)
