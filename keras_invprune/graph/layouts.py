"""A weight as a stack of matrices: which of its axes are positions, inputs, outputs."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_invprune.contracts import Pattern
from keras_invprune.graph.prunable import on_request
from keras_invprune.graph.weights import Weight

TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


class Layout(NamedTuple):
    """The axes of a weight; `positions` are those that are neither."""

    positions: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def arrange(self, array: np.ndarray):
        """The array with the axes (positions, inputs, outputs), the latter two flat."""
        shape = self.shape(array.shape)
        return array.transpose(self._order).reshape(shape)

    def restore(self, array: np.ndarray, shape: tuple[int, ...]):
        """What `arrange` made, in the shape of the weight again."""
        moved = array.reshape([shape[axis] for axis in self._order])
        return moved.transpose([self._order.index(axis) for axis in range(len(shape))])

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that `arrange` gives."""
        sizes = [math.prod(shape[axis] for axis in axes) for axes in self[1:]]
        return (*(shape[axis] for axis in self.positions), *sizes)

    @property
    def _order(self):
        return self.positions + self.inputs + self.outputs


def layout_of(layer: keras.Layer, variable: keras.Variable) -> Layout | None:
    """The layout of a layer's weight, None where nothing is summed over inputs.

    Args:
        layer: The Keras layer that owns the weight.
        variable: One of the weights.

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


def _of_equation(equation) -> Layout | None:
    operands, outputs = equation.split("->")
    inputs, kernel = operands.split(",")
    summed = [c for c in inputs if c in kernel and c not in outputs]
    kept = [c for c in outputs if c in kernel]
    if sorted(summed + kept) != sorted(kernel) or not (summed and kept):
        return None  # letters that repeat, or nothing summed
    return Layout((), tuple(map(kernel.index, summed)), tuple(map(kernel.index, kept)))


def layouts(weights: Mapping[str, Weight], keys: Iterable[str]) -> dict[str, Layout]:
    """The layouts of those of a model's weights that have one.

    Args:
        weights: `keras_invprune.graph.weights.weights_by_key` of the model.
        keys: Keys of weights of two axes or more.
    """
    found = {key: layout_of(*weights[key]) for key in keys}
    return {key: layout for key, layout in found.items() if layout is not None}


def unfit(
    weights: Mapping[str, Weight], keys: Iterable[str], pattern: Callable
) -> dict[str, str]:
    """The weights that a pattern does not fit, each with the reason.

    Args:
        weights: `keras_invprune.graph.weights.weights_by_key` of the model.
        keys: Keys of weights of two axes or more.
        pattern: `keras_invprune.patterns`; without `unfit`, all weights fit.
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
