"""Which models treat each row of a batch by itself, and batches in parts for them."""

import math

import keras

from keras_invprune.contracts import Nested
from keras_invprune.graph.attributes import is_of
from keras_invprune.graph.trace import calls_its_graph
from keras_invprune.graph.weights import is_graph, known_layers, walk

VALUES = 2**18  # of the inputs, in a run of several rows
# They call what is not Keras's, make rows as long as the longest of them, or compare
# all values with the largest one of the batch.
UNKNOWN = known_layers(
    *("FlaxLayer", "JaxLayer", "Lambda", "MelSpectrogram", "TFSMLayer"),
    *("TextVectorization", "TorchModuleWrapper"),
)
AXES = ("axis", "axes", "attention_axes")
MERGES = ("Add", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide")


def parts_of(model: keras.Model, inputs: Nested) -> list[Nested]:
    """Return a batch as smaller ones, if it is large and the model mixes no rows.

    Args:
        model: A built Keras model.
        inputs: A batch, in the structure that the model takes.
    """
    parts = keras.tree.flatten(inputs)
    rows = {len(x) if getattr(x, "shape", ()) else 0 for x in parts}
    if len(rows) != 1 or not (count := rows.pop()):
        return [inputs]
    values = sum(math.prod(x.shape[1:]) for x in parts)
    at_once = max(VALUES // max(values, 1), 1)
    if count <= at_once or not keeps_rows_apart(model):
        return [inputs]
    return [
        keras.tree.map_structure(lambda x, few=slice(k, k + at_once): x[few], inputs)
        for k in range(0, count, at_once)
    ]


def keeps_rows_apart(model: keras.Model) -> bool:
    """Return whether each row of the outputs is known to depend on its own input only.

    That is so for graphs of Keras's own layers in evaluation, unless their axis is that
    of the rows, or they call something else. Of operations, only sums and the like of
    tensors of one rank are known to.
    """
    if not is_graph(model):
        return False
    sizes = [tensor.shape[:1] for tensor in (*model.inputs, *model.outputs)]
    return all(size == (None,) for size in sizes) and all(
        _is_known_graph(layer) if is_graph(layer) else _acts_on_rows(layer)
        for _, layer in walk(model)
    )


def _is_known_graph(model: keras.Model) -> bool:
    steps = getattr(model, "operations", model.layers)
    others = [step for step in steps if not isinstance(step, keras.Layer)]
    return calls_its_graph(model) and all(_merges_rows(step) for step in others)


def _merges_rows(operation: keras.Operation) -> bool:
    """Return whether an operation adds up tensors or the like, row by row."""
    tensors = keras.tree.flatten([operation.input, operation.output])
    alike = {(x.shape[:1], len(x.shape)) for x in tensors}
    known = type(operation).__name__ in MERGES and is_of(operation, "keras")
    return known and len(alike) == 1 and alike.pop()[0] == (None,)


def _acts_on_rows(layer: keras.Layer) -> bool:
    if not is_of(layer, "keras") or isinstance(layer, UNKNOWN):
        return False
    for name, value in vars(layer).items():
        if callable(value) and not (value.__module__ or "").startswith("keras."):
            return False  # such as an activation
        if name.lstrip("_") in AXES:
            axes = [axis for axis in keras.tree.flatten(value) if axis is not None]
            if any(axis != -1 and axis < 1 for axis in axes):
                return False
    return True
