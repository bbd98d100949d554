"""Accuracy: the share of rows that a model assigns to their class."""

import numpy as np

from keras_invprune.contracts import Nested
from keras_invprune.graph.outputs import is_text


def predicted_classes(outputs: np.ndarray) -> np.ndarray:
    """Return the class of each row of predictions.

    Of several outputs, it is the largest. A single output is a probability if all
    values are in [0, 1], and otherwise a logit; its class is 1 above 0.5 or above 0.

    Args:
        outputs: [rows, classes], [rows, 1] or [rows].

    Returns:
        Integers, [rows].
    """
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return outputs.argmax(axis=1)
    scores = outputs.reshape(-1)
    probability = np.all((scores >= 0) & (scores <= 1))
    return (scores > (0.5 if probability else 0)).astype(int)


def accuracy(outputs: np.ndarray, y: Nested) -> float | None:
    """Return the share of the rows whose predicted class is the label.

    Args:
        outputs: [rows, classes], [rows, 1] or [rows].
        y: One label per row: class numbers, one-hot rows, or 0 and 1.

    Returns:
        The share in [0, 1]; None if `y` does not hold class labels.
    """
    labels = _labels(outputs, y)
    if labels is None:
        return None
    return float(np.mean(predicted_classes(outputs) == labels))


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
