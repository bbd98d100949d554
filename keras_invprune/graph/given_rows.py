"""Reads rows from arrays, data sets and sparse tensors."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Nested
from keras_invprune.graph import inputs

DATA_SETS = (tf.data.Dataset, keras.utils.PyDataset)


def rows_of(data: Nested) -> tuple:
    """Read ``x`` or ``(x, y)`` into arrays.

    Args:
        data: ``x`` or a tuple ``(x, y)`` of arrays or sparse tensors, or lists or dicts
            of them; or a `tf.data.Dataset` or `keras.utils.PyDataset` of batches of
            these, as for `fit` (sample weights are ignored). None: no data.

    Returns:
        ``(x, y)``; y is None if there are no labels.

    Raises:
        ValueError: If `data` is a tuple of another length, or x holds numbers or text
            in place of arrays, a generator, or what is ragged or complex, or if a data
            set is empty or infinite, or its batches differ in shape.
    """
    if isinstance(data, DATA_SETS):
        return _joined(_batches(data))
    if isinstance(data, tuple) and len(data) != 2:
        raise ValueError(
            "`data` must be x or (x, y), where x is a list or dict if the model has "
            f"several inputs. Received: a tuple of {len(data)} elements."
        )
    x, y = data if isinstance(data, tuple) else (data, None)
    x, y = readable(x), readable(y)
    for part in [] if x is None else keras.tree.flatten(x):
        if not np.ndim(part):  # of nested lists, or of an array without axes
            raise ValueError(
                "`data` must be arrays of rows, in the structure that the model takes. "
                f"Received: {type(part).__name__}. Make arrays of lists: "
                "`np.array(rows)`."
            )
    return x, y


def arrays_of(structure: Nested, x: Nested) -> list[np.ndarray]:
    """Return the rows of each input of a model.

    Args:
        structure: The model's inputs, with names, shapes and dtypes.
        x: An array, or a list or dict of arrays: in the structure that the model takes,
            or by the names of its inputs.

    Raises:
        ValueError: If arrays are missing, empty, of different lengths or of another
            shape, or text where the model takes numbers.
    """
    specs = keras.tree.flatten(structure)
    names = [spec.name for spec in specs]
    keys = sorted(structure) if isinstance(structure, dict) else None
    if isinstance(x, dict):
        if set(x) != set(keys or names):
            raise ValueError(
                f"`data` must have the keys {keys or names}. Received: {list(x)}."
            )
        arrays = keras.tree.flatten(x) if keys else [x[name] for name in names]
    else:
        arrays = keras.tree.flatten(x)
    arrays = [np.asarray(array) for array in arrays]
    lengths = {array.shape[:1] for array in arrays}
    if (0,) in lengths:
        raise ValueError("`data` must have at least one row. Received: 0 rows.")
    if len(arrays) != len(names) or len(lengths) > 1 or () in lengths:
        raise ValueError(
            f"`data` must have an array for each of the inputs {names}, all with the "
            f"same number of rows. Received: {len(arrays)} arrays with "
            f"{sorted(lengths)} rows."
        )
    found = [
        inputs.of_rank(spec.shape, array)
        for spec, array in zip(specs, arrays, strict=True)
    ]
    for spec, array in zip(specs, found, strict=True):
        _check_fits(spec, array)
    return found


def _check_fits(spec: keras.InputSpec | keras.KerasTensor, array: np.ndarray) -> None:
    """Raise ValueError unless the rows of an array fit an input."""
    needed, shape = tuple(spec.shape[1:]), array.shape[1:]
    pairs = zip(needed, shape, strict=False)
    if len(needed) != len(shape) or any(n not in (None, s) for n, s in pairs):
        raise ValueError(
            f"`data` must have rows of shape {needed} for the input {spec.name!r}. "
            f"Received: rows of shape {shape}."
        )
    if array.dtype.kind in "SU" and spec.dtype != "string":
        raise ValueError(
            f"`data` must have numbers for the input {spec.name!r}. Received: text."
        )


def readable(structure: Nested, name: str = "data") -> Nested:
    """Return the structure with sparse tensors (TensorFlow, SciPy) made dense.

    Args:
        structure: Arrays or tensors, or lists or dicts of them; None stays None.
        name: What messages call it.

    Raises:
        ValueError: If it holds generators, ragged tensors or complex numbers.
    """
    if structure is None:
        return None
    return keras.tree.map_structure(lambda part: _readable(part, name), structure)


def check_repeatable(data: Nested, name: str) -> None:
    """Raise ValueError if data holds generators, which can be read only once.

    Args:
        data: Arrays, tensors or data sets, or lists or dicts of them.
        name: What the message calls it.
    """
    for part in keras.tree.flatten(data):
        if isinstance(part, Iterator):
            raise ValueError(
                f"`{name}` must be arrays or a data set, since it is read more than "
                f"once. Received: a {type(part).__name__}. Collect its rows in arrays, "
                "or make a data set: tf.data.Dataset.from_generator(...)."
            )


def _readable(part: Any, name: str) -> Any:
    if isinstance(part, tf.SparseTensor):
        return inputs.dense(part).numpy()
    check_repeatable(part, name)
    if isinstance(part, tf.RaggedTensor):
        raise ValueError(
            f"`{name}` must have rows of the same length. Received: a RaggedTensor of "
            f"shape {part.shape}. Pad the rows: `{name}.to_tensor()`."
        )
    if getattr(getattr(part, "dtype", None), "kind", "") == "c":
        raise ValueError(
            f"`{name}` must be real numbers. Received: an array of dtype "
            f"{part.dtype}. Pass real and imaginary parts as two features."
        )
    return inputs.dense(part)


def _batches(data: Any) -> Iterable[Any]:
    if isinstance(data, tf.data.Dataset):
        endless = data.cardinality() == tf.data.INFINITE_CARDINALITY
        batches = data
    else:
        endless = data.num_batches is None
        batches = () if endless else (data[i] for i in range(data.num_batches))
    if endless:
        raise ValueError(
            "`data` must be finite. Received: an infinite "
            f"{type(data).__name__}. Pass a part of it, such as `data.take(10)` of a "
            "tf.data.Dataset."
        )
    return batches


def _joined(batches: Iterable[Any]) -> tuple:
    pairs = [keras.utils.unpack_x_y_sample_weight(batch)[:2] for batch in batches]
    if not pairs:
        raise ValueError("`data` must not be empty. Received: an empty data set.")
    structure = [pairs[0][0], *([] if pairs[0][1] is None else [pairs[0][1]])]
    columns = [
        [np.asarray(_readable(part, "data")) for part in parts]
        for parts in zip(*map(_parts, pairs), strict=True)
    ]
    for parts in columns:
        shapes = sorted({part.shape[1:] for part in parts})
        if len(shapes) > 1 or parts[0].ndim == 0:
            raise ValueError(
                "`data` must have batches of rows of the same shape. Received: a data "
                f"set with rows of shape {shapes}. Batch it, `data.batch(32)`, or pad "
                "its rows."
            )
    joined = [np.concatenate(parts) for parts in columns]
    x, *y = keras.tree.pack_sequence_as(structure, joined)
    # A tuple would be read as (x, y).
    return list(x) if isinstance(x, tuple) else x, y[0] if y else None


def _parts(pair: Nested) -> list:
    return [part for part in keras.tree.flatten(pair) if part is not None]
