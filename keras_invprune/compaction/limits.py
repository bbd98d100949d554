"""Constraints that smaller and merged weights would break in the next training step."""

from collections.abc import Iterable
from operator import attrgetter

import keras
import numpy as np

from keras_invprune.compaction.mixing import array
from keras_invprune.compaction.surgery import Edit
from keras_invprune.graph.connections import Connections

CLOSE = 1e-5  # how much a constraint may change values that meet it


def meets(variable: keras.Variable, values: np.ndarray) -> bool:
    """Return whether the constraint of a weight would leave certain values as they are.

    Connections are not asked: they are cut with their weight.
    """
    limit = variable.constraint
    if limit is None or isinstance(limit, Connections):
        return True
    values = values.astype("float32")
    try:
        limited = limit(keras.ops.convert_to_tensor(values))
    except Exception:  # of the user's own, it may take one shape only
        return False
    return np.shape(limited) == values.shape and np.allclose(limited, values, CLOSE)


def broken(changes: Iterable[Edit]) -> dict[int, str]:
    """Return ``{id(layer): reason}`` where a constraint would change the new weights.

    The first step of a training would. Constraints that the given weights do not meet
    are left out.
    """
    found = {}
    for edit in changes:
        for path, values in edit.weights.items():
            old = attrgetter(path)(edit.layer)
            if old is None or not meets(old, array(old)) or meets(old, values):
                continue
            found[id(edit.layer)] = (
                f"its {path} has a constraint, {type(old.constraint).__name__}, that a "
                "smaller one breaks"
            )
    return found
