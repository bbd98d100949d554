"""Accuracy: the share of rows that a model assigns to their class."""

import numpy as np

from keras_invprune.contracts import Nested
from keras_invprune.graph.outputs import is_text


def threshold_of(outputs: np.ndarray) -> float:
    """Return the score above which the class of a single output is 1.

    It is a probability if all values are in [0, 1], with 0.5, and otherwise a logit,
    with 0.
    """
    return 0.5 if np.all((outputs >= 0) & (outputs <= 1)) else 0.0


def predicted_classes(
    outputs: np.ndarray, threshold: float | None = None
) -> np.ndarray:
    """Return the class of each row of predictions.

    Args:
        outputs: [rows, classes], whose largest one counts; or [rows, 1] or [rows].
        threshold: Of a single output. None: that of `threshold_of`.

    Returns:
        Integers, [rows].
    """
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return outputs.argmax(axis=1)
    least = threshold_of(outputs) if threshold is None else threshold
    return (outputs.reshape(-1) > least).astype(int)


def accuracy(
    outputs: np.ndarray, y: Nested, threshold: float | None = None
) -> float | None:
    """Return the share of the rows whose predicted class is the label.

    Args:
        outputs: [rows, classes], [rows, 1] or [rows].
        y: One label per row: class numbers, one-hot rows, or 0 and 1.
        threshold: As of `predicted_classes`, for a file that is compared with Keras.

    Returns:
        The share in [0, 1]; None if `y` does not hold class labels.
    """
    labels = _labels(outputs, y)
    if labels is None:
        return None
    return float(np.mean(predicted_classes(outputs, threshold) == labels))


def balanced_accuracy(outputs: np.ndarray, y: Nested) -> float | None:
    """Return the mean recall over the classes in `y`.

    Args:
        outputs: [rows, classes], [rows, 1] or [rows].
        y: One label per row: class numbers, one-hot rows, or 0 and 1.

    Returns:
        The mean in [0, 1]; None if `y` does not hold class labels.
    """
    labels = _labels(outputs, y)
    if labels is None:
        return None
    right = predicted_classes(outputs) == labels
    return float(np.mean([right[labels == one].mean() for one in np.unique(labels)]))


def _labels(outputs: np.ndarray, y: Nested) -> np.ndarray | None:
    y = np.asarray(y)
    classes = outputs.shape[1] if outputs.ndim == 2 else 1
    if classes > 1 and y.shape == outputs.shape:
        one_hot = np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
        labels = y.argmax(axis=1) if one_hot else None
    else:
        # One output distinguishes two classes.
        whole = y.size == len(y) and np.isin(y, np.arange(max(classes, 2))).all()
        labels = y.reshape(-1) if whole else None
    return None if outputs.ndim > 2 or is_text(outputs) else labels
