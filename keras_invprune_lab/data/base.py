"""What every loader returns."""

from typing import NamedTuple

import numpy as np


class DataUnavailable(RuntimeError):
    """A data set is not on this machine, and cannot be brought here."""


class Data(NamedTuple):
    """Arrays of a classification task, split.

    Attributes:
        x_train: Images in [0, 1], shape [n, h, w, c], or standardized rows [n, d].
        y_train: Classes 0, 1, ..., shape [n].
        x_test: Likewise.
        y_test: Likewise.
        names: Names of the classes, if they have any.
        x_valid: Rows to choose by, if they were asked for.
        y_valid: Likewise.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    names: tuple[str, ...] = ()
    x_valid: np.ndarray | None = None
    y_valid: np.ndarray | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.names) or int(self.y_train.max()) + 1


def check_validation(share) -> float:
    """Return the share of the training part to validate by, or raise ValueError."""
    if not 0 <= share < 1:
        raise ValueError(f"`validation` must be a share in [0, 1). Received: {share}.")
    return float(share)


def hold_out(y, share, seed) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers of a training and of a validation part, stratified.

    The only row of a class goes to the training part.

    Args:
        y: Classes of the rows, [n].
        share: Share to validate by, in (0, 1).
        seed: Of the split.

    Raises:
        ValueError: If a part could not hold each class.
    """
    from sklearn.model_selection import train_test_split

    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    several = counts[inverse] > 1
    rows = np.flatnonzero(several)
    try:
        train, valid = train_test_split(
            rows, test_size=share, random_state=seed, stratify=y[rows]
        )
    except ValueError as error:
        raise ValueError(
            f"The training part of {len(y)} rows cannot be split by class for "
            f"validation: {str(error).rstrip('.')}. Join classes or add rows."
        ) from error
    return np.sort(np.append(train, np.flatnonzero(~several))), np.sort(valid)


def with_validation(data: Data, share, seed) -> Data:
    """Hold out a share of the training rows, where nothing was learned from them."""
    if not check_validation(share):
        return data
    train, valid = hold_out(data.y_train, share, seed)
    x, y = data.x_train, data.y_train
    return data._replace(
        x_train=x[train], y_train=y[train], x_valid=x[valid], y_valid=y[valid]
    )
