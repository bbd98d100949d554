"""Measures how often a model keeps its class when a view changes the input."""

from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from keras_invprune.arguments import check_seed, is_positive_integer
from keras_invprune.contracts import Nested, Views
from keras_invprune.exporting.accuracy import accuracy, predicted_classes
from keras_invprune.graph.given_rows import DATA_SETS, readable, rows_of
from keras_invprune.graph.inputs import input_structure, standardized
from keras_invprune.graph.outputs import is_text
from keras_invprune.views.pairs import positive_pair


class NoClassesError(ValueError):
    """The model is not a classifier, or `y` does not hold class labels."""


def consistency(
    model: keras.Model,
    x: Nested,
    views: Mapping[str, Views],
    y: Nested = None,
    *,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """Return, by view, the share of inputs whose two views get the same class.

    That is::

        consistency(g) = mean over x of 1[class f(g1 x) = class f(g2 x)]

    g1 and g2 are two draws of the view g; f is the model in evaluation mode. A model
    that assigns one class to everything is perfectly consistent, so read the figure
    together with the accuracy.

    The views have their own seed generators. A new view with a fixed seed reproduces
    the figure; a view that was used before continues its stream of random numbers.

    Args:
        model: A Keras or tf_keras model, or a callable from a batch to predictions:
            [batch, classes], or [batch, 1] or [batch] for two classes.
        x: Inputs: an array, or a list or dict of arrays as the model takes them, or a
            `tf.data.Dataset` of batches of ``x`` or ``(x, y)``.
        views: ``{name: view}``. A view is a layer or callable to draw twice, or a pair
            (f, g) of them, where None means the input itself.
        y: None, or the labels: class numbers, one-hot rows, or 0 and 1.
        batch_size: Number of inputs in a batch, at least 1.
        seed: Seed of the order in which inputs form batches. It matters if data is
            sorted and a view takes values from other rows of the batch, as
            `ScarfCorruption` does.

    Returns:
        ``{name: share}`` with shares in [0, 1]. With `y`, it also has ``"accuracy"``,
        on the unchanged inputs.

    Example:
        >>> def first_feature(x):  # a classifier that looks at the sign of one number
        ...     return x[:, :1]
        >>> def change_the_second(x):
        ...     return x + [0.0, 5.0]
        >>> x, y = np.array([[-1.0, 2.0], [1.0, 2.0]]), np.array([0, 1])
        >>> consistency(first_feature, x, {"second": change_the_second}, y)
        {'second': 1.0, 'accuracy': 1.0}

    Raises:
        TypeError: If `views` is not a dict of views.
        ValueError: If `x` is empty or contains NaN, if lengths differ, if `y` does not
            hold class labels, if the predictions are not those of one classifier, or
            if `seed` is not an integer of at least 0.

    Source:
        The authors' code of "Neural network pruning for invariance learning", except
        that BatchNorm and Dropout are in evaluation mode here.
    """
    if isinstance(x, DATA_SETS):
        if y is not None:
            raise ValueError("`y` must be None if `x` is a data set, which contains y.")
        x, y = rows_of(x)
    x = keras.tree.map_structure(np.asarray, readable(x, "x"))
    _check(x, views, y, batch_size)
    check_seed(seed)
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
            "`y` must be class numbers, one-hot rows, or 0 and 1 for a model with one "
            f"output. Received: y of shape {np.shape(y)}, predictions of shape "
            f"{(len(order), *outputs[0].shape[1:])}."
        )
    return {**shares, "accuracy": share}


def _agreement(
    model: Callable, x: Nested, view: Views, chunks: Iterable[np.ndarray], name: str
) -> float:
    first, second = [], []
    known = isinstance(model, keras.Model) and model.built
    structure = input_structure(model) if known else ()
    for rows in chunks:
        batch = standardized(structure, _take(x, rows))  # as in the search
        batch = keras.tree.map_structure(keras.ops.convert_to_numpy, batch)
        one, other = positive_pair(view, batch)
        first.append(_predict(model, one, f"view {name!r}"))
        second.append(_predict(model, other, f"view {name!r}"))
    # Together, so that both halves are read as probabilities, or both as logits.
    classes = predicted_classes(np.concatenate(first + second))
    return float(np.mean(np.equal(*np.split(classes, 2))))


def _predict(model: Callable, batch: Nested, what: str) -> np.ndarray:
    """Return the predictions for a batch; `what` names the batch in messages."""
    run = getattr(model, "predict_on_batch", model)
    outputs = run(keras.tree.map_structure(keras.ops.convert_to_numpy, batch))
    outputs, *more = keras.tree.flatten(outputs)
    if more:
        raise NoClassesError(
            f"`model` must have one output, the classes. Received: {1 + len(more)} "
            "outputs."
        )
    outputs = keras.ops.convert_to_numpy(outputs)
    if is_text(outputs):
        raise NoClassesError(
            "`model` must return numbers, such as probabilities. Received: text. Pass "
            "the part of it that is before the text."
        )
    if outputs.ndim not in (1, 2):
        raise NoClassesError(
            "`model` must return predictions of shape [batch, classes], [batch, 1] or "
            f"[batch]. Received: shape={outputs.shape}."
        )
    if np.isnan(outputs).any():
        raise ValueError(f"The predictions for {what} contain NaN, which has no class.")
    return outputs


def _take(x: Nested, rows: np.ndarray) -> Nested:
    return keras.tree.map_structure(lambda array: array[rows], x)


def _check(x: Nested, views: Mapping[str, Views], y: Nested, batch_size: int) -> None:
    arrays = keras.tree.flatten(x)
    if not arrays or any(array.ndim == 0 for array in arrays):
        raise TypeError(
            "`x` must be an array, or a list or dict of arrays. Received: "
            f"{type(x).__name__} of {len(arrays)} scalars."
        )
    lengths = [len(array) for array in arrays] + ([] if y is None else [len(y)])
    if len(set(lengths)) > 1:
        raise ValueError(
            "`x` and `y` must have one row for each input. Received: arrays with "
            f"{lengths} rows{'' if y is None else ', the last of which is `y`'}."
        )
    if not lengths[0]:
        raise ValueError("`x` must have at least one input. Received: an empty `x`.")
    if any(array.dtype.kind == "f" and np.isnan(array).any() for array in arrays):
        raise ValueError(
            "`x` must not contain NaN. Fill missing values first, as for training."
        )
    if not isinstance(views, dict):
        raise TypeError(f"`views` must be a dict {{name: view}}. Received: {views!r}.")
    if "accuracy" in views and y is not None:
        raise ValueError(
            "A view must not be named 'accuracy', which is in the result, too."
        )
    if not is_positive_integer(batch_size):
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size!r}.")
