"""A weight as a stack of matrices: its axes of positions, inputs and outputs."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_invprune.contracts import Pattern
from keras_invprune.graph.prunable import PRUNABLE_NAMES, is_depthwise, on_request
from keras_invprune.graph.weights import Weight

TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


class Layout(NamedTuple):
    """The axes of a weight. `positions` are neither inputs nor outputs."""

    positions: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def arrange(self, array: np.ndarray) -> np.ndarray:
        """Return the array as [*positions, inputs, outputs], the last two flattened."""
        shape = self.shape(array.shape)
        return array.transpose(self._order).reshape(shape)

    def restore(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return an arranged array in the shape of the weight, undoing `arrange`."""
        moved = array.reshape([shape[axis] for axis in self._order])
        return moved.transpose([self._order.index(axis) for axis in range(len(shape))])

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the array that `arrange` returns."""
        sizes = [math.prod(shape[axis] for axis in axes) for axes in self[1:]]
        return (*(shape[axis] for axis in self.positions), *sizes)

    @property
    def _order(self) -> tuple[int, ...]:
        return self.positions + self.inputs + self.outputs


def layout_of(layer: keras.Layer, variable: keras.Variable) -> Layout | None:
    """Return the layout of a weight, or None if the layer does not sum over inputs.

    Args:
        layer: The Keras layer that owns the weight.
        variable: A weight of this layer.

    Example:
        >>> layer = keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4))
        >>> layer.build((None, 5, 6))
        >>> layout_of(layer, layer.kernel)  # 6 inputs, 2 * 4 outputs
        Layout(positions=(), inputs=(0,), outputs=(1, 2))
    """
    if on_request(layer, variable) or len(variable.shape) < 2:
        return None
    if isinstance(layer, keras.layers.EinsumDense):
        return _of_equation(layer.equation.replace(" ", ""))
    *positions, inputs, outputs = range(len(variable.shape))
    if isinstance(layer, TRANSPOSED):
        inputs, outputs = outputs, inputs
    return Layout(tuple(positions), (inputs,), (outputs,))


def channel_axes(
    layer: keras.Layer, variable: keras.Variable
) -> tuple[int, ...] | None:
    """Return the axes over which an output channel of a kernel extends.

    A depthwise convolution has a channel for each input and multiplier, as in LiteRT.

    Args:
        layer: The Keras layer that owns the weight.
        variable: A weight of this layer.

    Returns:
        The axes of positions and inputs, or None if the weight is not a kernel of
        floats that a layer of Keras has.

    Example:
        >>> layer = keras.layers.Conv2D(8, 3)
        >>> layer.build((None, 9, 9, 2))
        >>> channel_axes(layer, layer.kernel)  # 8 channels of 3 * 3 * 2 weights
        (0, 1, 2)
    """
    if not keras.backend.is_float_dtype(variable.dtype):
        return None
    if is_depthwise(layer, variable) and variable.name != "bias":
        return tuple(range(len(variable.shape) - 2))
    if variable.name not in PRUNABLE_NAMES:
        return None
    layout = layout_of(layer, variable)
    if layout is None:
        return None
    axes = {*layout.positions, *layout.inputs}
    if isinstance(layer, keras.layers.EinsumDense):
        axes |= _repeated(layer.equation)
    return tuple(sorted(axes))


def _of_equation(equation: str) -> Layout | None:
    operands, outputs = equation.split("->")
    inputs, kernel = operands.split(",")
    summed = [c for c in inputs if c in kernel and c not in outputs]
    kept = [c for c in outputs if c in kernel]
    if sorted(summed + kept) != sorted(kernel) or not (summed and kept):
        return None  # a letter is repeated, or nothing is summed
    return Layout((), tuple(map(kernel.index, summed)), tuple(map(kernel.index, kept)))


def _repeated(equation: str) -> set[int]:
    """Return the axes of a kernel of matrices, one for each index of its inputs.

    Such a product is a BATCH_MATMUL in LiteRT, whose matrices share their scales.
    """
    operands, outputs = equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    return {i for i, c in enumerate(kernel) if c in inputs and c in outputs}


def layouts(weights: Mapping[str, Weight], keys: Iterable[str]) -> dict[str, Layout]:
    """Return the layouts of a model's weights, by key, for those that have one.

    Args:
        weights: The result of `weights_by_key(model)`.
        keys: Keys of weights of rank >= 2.
    """
    found = {key: layout_of(*weights[key]) for key in keys}
    return {key: layout for key, layout in found.items() if layout is not None}


def unfit(
    weights: Mapping[str, Weight], keys: Iterable[str], pattern: Callable
) -> dict[str, str]:
    """Return ``{key: reason}`` for the weights that a pattern does not fit.

    Args:
        weights: The result of `weights_by_key(model)`.
        keys: Keys of weights of rank >= 2.
        pattern: A pattern (`keras_invprune.patterns`). If it has no `unfit`, all
            weights fit.
    """
    reasons, known = {}, Pattern.of(pattern)
    found = layouts(weights, keys)
    for key in keys:
        shape = tuple(weights[key].variable.shape)
        if not known.on_matrices:
            reason = known.unfit(shape)
        elif key not in found:
            reason = "no matrix of inputs and outputs"
        else:
            reason = known.unfit(found[key].shape(shape))
        if reason is not None:
            reasons[key] = f"{type(pattern).__name__}: {reason}"
    return reasons
