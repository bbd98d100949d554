"""Measures how far the outputs of a merged model are from the original's."""

from collections.abc import Iterator, Sequence

import keras

from keras_invprune.compaction.distance import Distance, answered_rows, distances
from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.outputs import answered


class MergeError(ValueError):
    """The merged model would compute something else, so it was not returned."""


def on_drawn(
    model: keras.Model, made: keras.Model, nonnegative: bool | Sequence[str] = False
) -> Iterator[Distance]:
    """Yield the distances of two models on drawn inputs; none if the first takes none.

    Args:
        model: The original.
        made: The merged model.
        nonnegative: Whether inputs are never negative, or the names of those that
            never are.
    """

    def declared(spec: keras.KerasTensor, values: Tensor) -> Tensor:
        named = nonnegative is True or (nonnegative and spec.name in nonnegative)
        is_float = keras.backend.is_float_dtype(spec.dtype)
        return keras.ops.abs(values) if named and is_float else values

    def changed(inputs: Nested) -> Nested:
        return keras.tree.map_structure(declared, input_structure(model), inputs)

    for inputs, outputs in answered(model, changed):
        yield from distances(model, made, inputs, outputs)


def on_rows(model: keras.Model, made: keras.Model, data: Nested) -> Iterator[Distance]:
    """Yield the distances of two models on all given rows."""
    for inputs, outputs in answered_rows(model, data):
        yield from distances(model, made, inputs, outputs)
