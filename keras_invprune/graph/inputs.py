"""The inputs of a model, and how Keras converts data before a model's call."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops, tree

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.weights import is_graph


def input_structure(model: keras.Model) -> Nested:
    """Return a built model's symbolic inputs, as `call` takes them; () if unknown."""
    if not is_graph(model):
        return symbolic_inputs(model)
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def symbolic_inputs(model: keras.Model, dtype: str = "float32") -> Nested:
    """Return symbolic tensors of the shapes a model was built with; () if unknown."""
    shapes = (model.get_build_config() or {}).get("input_shape") or ()
    return tree.map_shape_structure(lambda s: keras.KerasTensor(s, dtype), shapes)


def input_tensors(model: keras.Model) -> list:
    """Return a list of a built model's symbolic inputs; empty if they are unknown."""
    return tree.flatten(input_structure(model))


def takes_twice_the_rows(model: keras.Model) -> bool:
    """Return whether a model takes larger batches than its input shapes say.

    The number of rows in an input shape may be what the graph was made for, or the
    size of the first batch that a Sequential or subclassed model saw. Therefore the
    model is called symbolically, with twice as many rows.
    """
    structure = input_structure(model)
    rows = {spec.shape[0] for spec in tree.flatten(structure)} - {None}
    if not rows:
        return True
    twice = 2 * rows.pop()
    try:
        outputs = model.compute_output_spec(_with_rows(structure, twice))
    except Exception:  # layers may raise anything for so many rows
        return False
    return all(out.shape[0] in (None, twice) for out in tree.flatten(outputs))


def _with_rows(structure: Nested, rows: int) -> Nested:
    return tree.map_structure(
        lambda spec: keras.KerasTensor((rows, *spec.shape[1:]), spec.dtype), structure
    )


def dense(structure: Nested) -> Nested:
    """Return the structure with sparse tensors (TensorFlow, SciPy) made dense."""
    return tree.map_structure(_dense, structure)


def _dense(part: Any) -> Any:
    if isinstance(part, tf.SparseTensor):
        return tf.ensure_shape(tf.sparse.to_dense(tf.sparse.reorder(part)), part.shape)
    return part.toarray() if hasattr(part, "toarray") else part


def standardized(structure: Nested, x: Nested) -> Nested:
    """Return `x` as Keras passes it to the layers of a Sequential or Functional model.

    Such a model accepts more than its inputs describe: images without the axis of a
    single channel, numbers without any axis, integers instead of floats, a dictionary
    of named inputs instead of a list. Data that does not fit is left unchanged, so that
    Keras reports it in its own words.

    Args:
        structure: The model's symbolic inputs (`input_structure`); () if unknown.
        x: A batch, or a view of one.

    Returns:
        Tensors of the rank and dtype of the symbolic inputs, in their structure.
        Floats are rounded where the model takes integers.
    """
    given = _by_name(structure, x)
    specs, parts = tree.flatten(structure), tree.flatten(given)
    strange = isinstance(given, dict) and not isinstance(structure, dict)
    if not specs or strange or len(parts) != len(specs):
        return x
    parts = [_like(spec, part) for spec, part in zip(specs, parts, strict=True)]
    return tree.pack_sequence_as(structure, parts)


def _by_name(structure: Nested, x: Nested) -> Nested:
    """Return the parts of a dictionary that the model takes, in the model's order."""
    if not isinstance(x, dict):
        return x
    if not isinstance(structure, dict):
        names = [spec.name for spec in tree.flatten(structure)]
        return [x[name] for name in names] if x.keys() >= set(names) else x
    return {k: x[k] for k in structure} if x.keys() >= structure.keys() else x


def _like(spec: keras.KerasTensor, part: Any) -> Any:
    """Return `part` with the rank and dtype of a symbolic input, if it is dense."""
    is_array = hasattr(part, "shape") and hasattr(part, "dtype")
    if not is_array or isinstance(part, tf.SparseTensor):
        return part
    numeric = "string" not in (spec.dtype, keras.backend.standardize_dtype(part.dtype))
    if numeric:
        part = _cast(part, spec.dtype)
    part = of_rank(spec.shape, part)
    unknown = None in part.shape[1:] and len(part.shape) == len(spec.shape)
    return tf.ensure_shape(part, (None, *spec.shape[1:])) if unknown else part


def of_rank(shape: tuple[int, ...], part: Tensor) -> Tensor:
    """Return `part` with a last axis of length 1 added or removed, to match `shape`."""
    more = len(shape) - len(part.shape)
    if more == 1 and shape[-1] == 1:
        return part[..., None]
    return part[..., 0] if more == -1 and part.shape[-1] == 1 else part


def _cast(part: Tensor, dtype: str) -> Tensor:
    if keras.backend.is_int_dtype(dtype) and keras.backend.is_float_dtype(part.dtype):
        part = ops.round(part)
    return ops.cast(part, dtype)
