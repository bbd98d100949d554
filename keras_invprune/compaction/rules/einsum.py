"""EinsumDense: sums over the last axis of the input, by an equation."""

from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.channels import Channels
from keras_invprune.compaction.mixing import IN, OUT, Mixing, array, sides
from keras_invprune.compaction.rule import Call, OpaqueError, Sides, rule


@rule("EinsumDense")
class EinsumDense(Mixing):
    """The rule of equations that sum over the last axis of the input.

    The last axis of the output must be one of the kernel.
    """

    def channels(self, call: Call) -> Channels:
        """Return the last axes of the input and the output."""
        source, kernel, target = _letters(call.operation)
        first, last = source[-1], target[-1]
        if first not in kernel or first in target or last not in kernel:
            raise OpaqueError("its equation does not map the last axis to another one")
        found = sides(call, len(call.read.shape) - 1, len(call.shapes[0]) - 1)
        if len(target) != len(call.shapes[0]) or len(source) != len(call.read.shape):
            raise OpaqueError("its equation leaves out axes")
        axes = {first: IN, last: OUT}
        biased = call.operation.bias_axes or _shared(kernel, target)
        free = len(target) - 1 - min(map(target.index, biased))
        weights = {
            "kernel": tuple(axes.get(letter) for letter in kernel),
            "bias": (*[None] * free, OUT if last in biased else None),
        }
        return Channels(**found, weights=weights)

    def matrix(self, layer: Any, reduce: Callable) -> np.ndarray:
        """Return the kernel as (inputs, outputs)."""
        source, kernel, target = _letters(layer)
        places = kernel.index(source[-1]), kernel.index(target[-1])
        moved = np.moveaxis(array(layer.kernel), places, (-2, -1))
        return reduce(moved, tuple(range(moved.ndim - 2)))

    def pads(self, layer: Any) -> bool:
        """Return whether the bias lacks an axis along which constants would differ."""
        _, kernel, target = _letters(layer)
        axes = layer.bias_axes
        return axes is not None and not set(kernel) & set(target) <= set(axes)

    def revised(
        self, layer: Any, channels: Channels, constants: Any, kept: Sides
    ) -> dict[str, np.ndarray]:
        """Return the bias with the constants folded into it."""
        folded = self.folded(layer, channels, constants, kept)
        if not folded.any():
            return {}
        source, kernel, target = _letters(layer)
        equation = f"{source[-1]},{kernel}->{_shared(kernel, target)}"
        shift = np.einsum(equation, folded, array(layer.kernel))
        first = min(map(target.index, layer.bias_axes or _shared(kernel, target)))
        sizes = dict(zip(kernel, layer.kernel.shape, strict=True))
        if not shift.any():
            return {}
        shift = shift.reshape([sizes.get(x, 1) for x in target[first:]])
        return {"bias": shift if layer.bias is None else array(layer.bias) + shift}

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the shape of the output, and the axes of a bias if there was none."""
        shape = list(layer.partial_output_shape)
        if shape[-1] is not None:
            shape[-1] = int(kept[OUT].sum())
        found: dict[str, Any] = {"output_shape": tuple(shape)}
        if revised and layer.bias is None:
            _, kernel, target = _letters(layer)
            found["bias_axes"] = _shared(kernel, target)
        return found


def _shared(kernel: str, target: str) -> str:
    """Return the letters of the output that are in the kernel, too."""
    return "".join(letter for letter in target if letter in kernel)


def _letters(layer: keras.layers.EinsumDense) -> tuple[str, str, str]:
    """Return the letters of the input, the kernel and the output.

    Raises:
        OpaqueError: If the equation has an ellipsis or repeats a letter.
    """
    operands, target = layer.equation.replace(" ", "").split("->")
    source, kernel = operands.split(",")
    for letters in (source, kernel, target):
        if "." in letters or len(set(letters)) < len(letters):
            raise OpaqueError("its equation has an ellipsis or repeats a letter")
    return source, kernel, target
