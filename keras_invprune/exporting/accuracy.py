"""How many rows a model puts into their class."""

import numpy as np

from keras_invprune.contracts import Nested


def predicted_classes(outputs: np.ndarray) -> np.ndarray:
    """The class of each row of predictions.

    The largest of several outputs. A single one is above 0.5 or not if all values lie
    in [0, 1], which is then taken for a probability; otherwise, as a logit, above 0.

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
    """Share of the rows whose predicted class is the label's.

    Args:
        outputs: [rows, classes], [rows, 1] or [rows].
        y: One label per row: class numbers, one-hot rows, or 0 and 1.

    Returns:
        The share in [0, 1]; None if `y` holds something else than class labels.
    """
    labels = _labels(outputs, y)
    if labels is None:
        return None
    return float(np.mean(predicted_classes(outputs) == labels))


def balanced_accuracy(outputs: np.ndarray, y: Nested) -> float | None:
    """Mean over the classes in `y` of the share of their rows that is recognized.

    Arguments and result are those of `accuracy`.
    """
    labels = _labels(outputs, y)
    if labels is None:
        return None
    right = predicted_classes(outputs) == labels
    return float(np.mean([right[labels == one].mean() for one in np.unique(labels)]))


def _labels(outputs, y) -> np.ndarray | None:
    y = np.asarray(y)
    classes = outputs.shape[1] if outputs.ndim == 2 else 1
    if classes > 1 and y.shape == outputs.shape:
        one_hot = np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
        labels = y.argmax(axis=1) if one_hot else None
    else:
        # One output tells two classes apart.
        whole = y.size == len(y) and np.isin(y, np.arange(max(classes, 2))).all()
        labels = y.reshape(-1) if whole else None
    return None if outputs.ndim > 2 else labels
