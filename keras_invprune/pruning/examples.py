"""Draws training examples for scores from the arguments of `fit`."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from keras_invprune.arguments import is_integer
from keras_invprune.contracts import Nested, Score, ScoreLike


def examples_for(score: ScoreLike, arguments: dict[str, Any]) -> tuple | None:
    """Draw rows from the training data of `fit` without consuming them.

    Rows of arrays are drawn at random, with a fixed seed, but not from the validation
    split. Rows of a data set are its first rows, as long as they have the same shape;
    shuffle data that is sorted by class.

    Args:
        score: A score. Its ``examples`` is the number of rows to draw at most.
        arguments: The arguments of `fit` by name.

    Returns:
        ``(x, y, sample_weight)`` as NumPy arrays, or None for parts that are missing.
        The weights are multiplied by the labels' ``class_weight``, if `fit` has one.
        None if the score asks for no number of rows.

    Raises:
        ValueError: If the data can be read only once, so that no rows can be taken
            before the training, or if the data is empty.
    """
    count = Score.of(score).examples
    if not is_integer(count):
        return None
    return _weighted(_drawn(count, arguments), arguments.get("class_weight"))


def _drawn(count: int, arguments: Mapping[str, Any]) -> tuple:
    x = arguments["x"]
    if isinstance(x, tf.data.Dataset):
        return _first(iter(x), count)
    if isinstance(x, keras.utils.PyDataset):
        indices = itertools.islice(itertools.count(), x.num_batches)
        return _first(map(x.__getitem__, indices), count)
    rows = (x, arguments.get("y"), arguments.get("sample_weight"))
    leaves = [leaf for leaf in tree.flatten(rows) if leaf is not None]
    if not leaves:
        raise ValueError("The training data must not be empty. Received: x=None.")
    if not all(
        hasattr(leaf, "__getitem__") and hasattr(leaf, "shape") for leaf in leaves
    ):
        raise ValueError(
            "This score reads training examples before the training, so they must be "
            f"readable twice. Received: a {type(leaves[0]).__name__}, which gives its "
            "rows only once. Pass rows to the score, as in Snip(examples=(x, y)), or "
            "fit on arrays or a tf.data.Dataset."
        )
    size = int(leaves[0].shape[0] * (1 - (arguments.get("validation_split") or 0.0)))
    if size == 0:
        raise ValueError("The training data must not be empty. Received: no rows.")
    chosen = np.random.default_rng(0).permutation(size)[:count]
    return _map(lambda leaf: np.asarray(leaf)[chosen], rows)


def _weighted(rows: tuple, class_weight: Mapping[int, float] | None) -> tuple:
    if not class_weight:
        return rows
    x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(rows))
    one_hot = y.ndim > 1 and y.shape[-1] > 1
    labels = y.argmax(axis=-1) if one_hot else y.reshape(-1)
    own = np.array([class_weight.get(int(label), 1.0) for label in labels], "float32")
    return x, y, own if weight is None else own * weight


def _first(batches: Iterable[tuple], count: int) -> tuple:
    """Return the first rows of batches, joined; stop at a batch of other row shapes."""
    found, rows = [], 0
    for batch in batches:
        batch = keras.utils.unpack_x_y_sample_weight(batch)
        if found and _row_shapes(batch) != _row_shapes(found[0]):
            break
        found.append(batch)
        rows += len(tree.flatten(found[-1])[0])
        if rows >= count:
            break
    if not found:
        raise ValueError("The training data must not be empty. Received: no batches.")
    columns = zip(*(tree.flatten(batch) for batch in found), strict=True)
    joined = [
        None if parts[0] is None else np.concatenate([*map(np.asarray, parts)])[:count]
        for parts in columns
    ]
    return tree.pack_sequence_as(found[0], joined)


def _row_shapes(batch: Nested) -> list:
    return [None if a is None else tuple(a.shape[1:]) for a in tree.flatten(batch)]


def _map(function: Callable, rows: Nested) -> Nested:
    return tree.map_structure(lambda a: None if a is None else function(a), rows)
