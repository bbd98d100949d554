"""How often a model keeps its answer when the input is changed by a view."""

from typing import Any

import keras
import numpy as np

from keras_invprune.contracts import Nested
from keras_invprune.exporting.accuracy import accuracy, predicted_classes
from keras_invprune.exporting.rows import DATA_SETS, dense, rows_of
from keras_invprune.graph.inputs import input_structure, standardized
from keras_invprune.views.pairs import positive_pair


class NoClassesError(ValueError):
    """What was given is no classifier, or no labels for one."""


def consistency(
    model: keras.Model,
    x: Nested,
    views: Any,
    y: Nested = None,
    *,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """Share of the inputs whose two views are given the same class, by view.

    That is::

        consistency(g) = mean over x of 1[class f(g1 x) = class f(g2 x)]

    g1 and g2 are two draws of the view g; f is the model in evaluation mode. A model
    that gives one class to everything is perfectly consistent, so read the figure
    beside the accuracy.

    The views draw from seed generators of their own: one made anew with a fixed seed
    gives the same figure again, one that was used before goes on drawing.

    Args:
        model: A Keras or tf_keras model, or a callable from a batch to predictions:
            [batch, classes], or [batch, 1] or [batch] for two classes.
        x: Inputs: an array, or a list or dict of arrays as the model takes them; or a
            `tf.data.Dataset` of batches of ``x`` or ``(x, y)``.
        views: ``{name: view}``; a view is a layer or callable, drawn twice, or a pair
            (f, g) of them where None stands for the input itself.
        y: None, or the labels: class numbers, one-hot rows, or 0 and 1.
        batch_size: Number of inputs in a batch.
        seed: Seed of the order in which inputs are put into batches. It matters where
            data are sorted and a view takes values from other rows of the batch, as
            `ScarfCorruption` does.

    Returns:
        ``{name: share}`` in [0, 1]; with `y` also ``"accuracy"``, on the inputs
        themselves.

    Example:
        >>> def first_feature(x):  # a classifier that looks at the sign of one number
        ...     return x[:, :1]
        >>> def change_the_second(x):
        ...     return x + [0.0, 5.0]
        >>> x, y = np.array([[-1.0, 2.0], [1.0, 2.0]]), np.array([0, 1])
        >>> consistency(first_feature, x, {"second": change_the_second}, y)
        {'second': 1.0, 'accuracy': 1.0}

    Raises:
        TypeError: `views` is no dict, or holds something that is no view.
        ValueError: `x` is empty or holds NaN, lengths differ, `y` holds no class
            labels, or the predictions are not those of one classifier.

    Source: the authors' code of "Neural network pruning for invariance learning",
        except that BatchNorm and Dropout are in evaluation mode here.
    """
    if isinstance(x, DATA_SETS):
        if y is not None:
            raise ValueError("`y` must be None where `x` is a data set, which has it.")
        x, y = rows_of(x)
    x = keras.tree.map_structure(np.asarray, dense(x))
    _check(x, views, y, batch_size)
    order = np.random.default_rng(seed).permutation(len(keras.tree.flatten(x)[0]))
    chunks = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    shares = {
        name: _agreement(model, x, view, chunks, name) for name, view in views.items()
    }
    if y is None:
        return shares
    outputs = [_predict(model, _take(x, rows), "the inputs") for rows in chunks]
    share = accuracy(np.concatenate(outputs), np.asarray(y)[order])
    if share is None:
        raise NoClassesError(
            "`y` must hold class numbers, one-hot rows, or 0 and 1 for a model with "
            f"one output. Received: y of shape {np.shape(y)}, predictions of shape "
            f"{(len(order), *outputs[0].shape[1:])}."
        )
    return {**shares, "accuracy": share}


def _agreement(model, x, view, chunks, name) -> float:
    first, second = [], []
    known = isinstance(model, keras.Model) and model.built
    structure = input_structure(model) if known else ()
    for rows in chunks:
        batch = standardized(structure, _take(x, rows))  # as the search passes it
        batch = keras.tree.map_structure(keras.ops.convert_to_numpy, batch)
        one, other = positive_pair(view, batch)
        first.append(_predict(model, one, f"view {name!r}"))
        second.append(_predict(model, other, f"view {name!r}"))
    # In one piece, so that both halves are read alike: as probabilities or as logits.
    classes = predicted_classes(np.concatenate(first + second))
    return float(np.mean(np.equal(*np.split(classes, 2))))


def _predict(model, batch, what) -> np.ndarray:
    """Predictions for a batch; `what` tells in messages what the batch is made of."""
    run = getattr(model, "predict_on_batch", model)
    outputs = run(keras.tree.map_structure(keras.ops.convert_to_numpy, batch))
    outputs, *more = keras.tree.flatten(outputs)
    if more:
        raise NoClassesError(
            "`model` must have one output, the classes. Received: "
            f"{1 + len(more)} outputs."
        )
    outputs = keras.ops.convert_to_numpy(outputs)
    if outputs.ndim not in (1, 2):
        raise NoClassesError(
            "`model` must give predictions of shape [batch, classes], [batch, 1] or "
            f"[batch]. Received: shape={outputs.shape}."
        )
    if np.isnan(outputs).any():
        raise ValueError(f"The predictions for {what} hold NaN: they have no class.")
    return outputs


def _take(x, rows):
    return keras.tree.map_structure(lambda array: array[rows], x)


def _check(x, views, y, batch_size):
    arrays = keras.tree.flatten(x)
    if not arrays or any(array.ndim == 0 for array in arrays):
        raise TypeError(
            "`x` must be an array, or a list or dict of arrays. Received: "
            f"{type(x).__name__} of {len(arrays)} scalars."
        )
    lengths = [len(array) for array in arrays] + ([] if y is None else [len(y)])
    if len(set(lengths)) > 1:
        raise ValueError(
            "`x` and `y` must have one row for each input. Received: arrays of "
            f"{lengths} rows{'' if y is None else ', the last of them `y`'}."
        )
    if not lengths[0]:
        raise ValueError("`x` must hold at least one input. Received: an empty `x`.")
    if any(array.dtype.kind == "f" and np.isnan(array).any() for array in arrays):
        raise ValueError(
            "`x` holds NaN. Fill missing values first, as it was done for training."
        )
    if not isinstance(views, dict):
        raise TypeError(f"`views` must be a dict {{name: view}}. Received: {views!r}.")
    if "accuracy" in views and y is not None:
        raise ValueError("A view cannot be named 'accuracy': that name is taken.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size!r}.")
