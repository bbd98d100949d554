"""Figures of a classifier, in [0, 1].

They equal scikit-learn's, which `run` does not need and which warn where a class is
never predicted.
"""

import numpy as np


def scores(logits, y) -> dict[str, float]:
    """Return accuracy and balanced accuracy.

    Balanced accuracy is the mean over the classes of the share that is recognized
    (recall). ``macro_precision`` is what the authors' code of 2309.08171 calls so: it
    gives scikit-learn's function its arguments the wrong way round, which makes it
    the mean over the *predicted* classes of the share that is right.

    Args:
        logits: [rows, classes].
        y: Classes, [rows].

    Returns:
        ``accuracy``, ``balanced_accuracy`` and ``macro_precision``.
    """
    predicted = np.argmax(logits, axis=1)
    right = predicted == y
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": _mean_by(y, right),
        "macro_precision": _mean_by(predicted, right),
    }


def _mean_by(groups, right) -> float:
    """Return the mean over the groups of the share that is right."""
    return float(
        np.mean([right[groups == group].mean() for group in np.unique(groups)])
    )
