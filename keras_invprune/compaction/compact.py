"""From a model to a smaller one with the same outputs."""

from typing import Any

import keras

from keras_invprune.compaction.checks import check_model
from keras_invprune.compaction.liveness import liveness
from keras_invprune.compaction.network import network
from keras_invprune.compaction.plan import Plan, describe
from keras_invprune.compaction.removal import kept
from keras_invprune.compaction.surgery import Edit, edits, smaller
from keras_invprune.compaction.verify import check_same


def plan(model: keras.Model) -> Plan:
    """Return what `compact` does to a model, without doing it.

    Args:
        model: A built, plain Sequential or Functional model.

    Returns:
        A `Plan`, which prints as a table.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it carries masks, is subclassed or not built, or has weights that
            are not finite.
    """
    check_model(model)
    calls = network(model)
    live = liveness(calls)
    return describe(model, calls, live, edits(calls, live, kept(calls, live.needed)))


def compact(model: keras.Model, data: Any = None) -> keras.Model:
    """Return a smaller model with the same outputs.

    Units, filters and other channels that no output depends on are removed. Those that
    are constant are folded into the biases that follow. `plan` says beforehand which.
    The layers are ordinary ones and keep their names. The result is not compiled.

    Args:
        model: A built, plain Sequential or Functional model, such as `strip_pruning`
            returns. It is not changed.
        data: Rows in the structure that the model takes. Outputs are compared on them,
            too. None for drawn inputs only.

    Returns:
        A new model.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it carries masks, is subclassed or not built, or has weights that
            are not finite.
        CompactionError: If outputs would differ. No model is returned.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3),
        ...                           keras.layers.Dense(1)])
        >>> model.layers[0].set_weights([[[1., 2., 0.], [3., 4., 0.]], [0., 0., 5.]])
        >>> model.layers[1].set_weights([[[1.], [0.], [2.]], [0.]])
        >>> small = compact(model)  # the second unit is not read, the third is 5
        >>> [w.numpy().tolist() for w in small.weights]
        [[[1.0], [3.0]], [0.0], [[1.0]], [10.0]]
    """
    check_model(model)
    made = smaller(model, _edits(model))
    check_same(model, made, data)
    return made


def _edits(model) -> list[Edit]:
    calls = network(model)
    live = liveness(calls)
    return edits(calls, live, kept(calls, live.needed))
