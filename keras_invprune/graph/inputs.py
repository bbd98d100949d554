"""What a model takes, and what Keras makes of data before a model's call."""

import keras
from keras import ops, tree

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.weights import is_graph


def input_structure(model: keras.Model):
    """Symbolic inputs of a built model as its call takes them; () if unknown."""
    if not is_graph(model):
        return symbolic_inputs(model)
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def symbolic_inputs(model: keras.Model):
    """Symbolic tensors like those a subclassed model was built with, () if unknown."""
    shapes = (model.get_build_config() or {}).get("input_shape", ())
    return keras.tree.map_shape_structure(keras.KerasTensor, shapes)


def input_tensors(model: keras.Model) -> list:
    """Symbolic inputs of a built model, flat; none where Keras does not know them."""
    return tree.flatten(input_structure(model))


def takes_twice_the_rows(model: keras.Model) -> bool:
    """Whether a model takes larger batches than its input shapes say.

    They may say what a graph is made for, or the size of the first batch that a
    Sequential or subclassed model saw. So it is asked, symbolically.
    """
    structure = input_structure(model)
    rows = {spec.shape[0] for spec in tree.flatten(structure)} - {None}
    if not rows:
        return True
    twice = 2 * rows.pop()
    try:
        outputs = model.compute_output_spec(_with_rows(structure, twice))
    except Exception:  # whatever its layers say to so many rows
        return False
    return all(out.shape[0] in (None, twice) for out in tree.flatten(outputs))


def _with_rows(structure, rows):
    return tree.map_structure(
        lambda spec: keras.KerasTensor((rows, *spec.shape[1:]), spec.dtype), structure
    )


def standardized(structure: Nested, x: Nested):
    """`x` as Keras passes it to the layers of a Sequential or Functional model.

    Such a model takes more than its inputs say: images without the axis of their one
    channel, numbers without any axis, integers for floats, a dictionary by the names
    of its inputs where it takes a list. What does not fit stays as it is, for Keras to
    refuse in its own words.

    Args:
        structure: The model's symbolic inputs (`input_structure`); () if unknown.
        x: A batch, or a view of one.

    Returns:
        Tensors of the rank and dtype of the symbolic inputs, in their structure.
        Floats that stand for integers are rounded.
    """
    given = _by_name(structure, x)
    specs, parts = tree.flatten(structure), tree.flatten(given)
    strange = isinstance(given, dict) and not isinstance(structure, dict)
    if not specs or strange or len(parts) != len(specs):
        return x
    parts = [_like(spec, part) for spec, part in zip(specs, parts, strict=True)]
    return tree.pack_sequence_as(structure, parts)


def _by_name(structure, x):
    """The parts of a dictionary that the model takes, in the model's order."""
    if not isinstance(x, dict):
        return x
    if not isinstance(structure, dict):
        names = [spec.name for spec in tree.flatten(structure)]
        return [x[name] for name in names] if x.keys() >= set(names) else x
    return {k: x[k] for k in structure} if x.keys() >= structure.keys() else x


def _like(spec, part):
    """`part` with the rank and dtype of a symbolic input, if it is dense."""
    if not (hasattr(part, "shape") and hasattr(part, "dtype")) or spec.sparse:
        return part
    numeric = "string" not in (spec.dtype, keras.backend.standardize_dtype(part.dtype))
    if numeric:
        part = _cast(part, spec.dtype)
    return of_rank(spec.shape, part)


def of_rank(shape: tuple[int, ...], part: Tensor):
    """An array or tensor with or without a last axis of length 1, as `shape` has it."""
    more = len(shape) - len(part.shape)
    if more == 1 and shape[-1] == 1:
        return part[..., None]
    return part[..., 0] if more == -1 and part.shape[-1] == 1 else part


def _cast(part, dtype):
    if keras.backend.is_int_dtype(dtype) and keras.backend.is_float_dtype(part.dtype):
        part = ops.round(part)
    return ops.cast(part, dtype)
