"""What every loader returns."""

from typing import NamedTuple

import numpy as np


class Data(NamedTuple):
    """Arrays of a classification task, split.

    Attributes:
        x_train: Images in [0, 1], shape [n, h, w, c], or standardised rows [n, d].
        y_train: Classes 0, 1, ..., shape [n].
        x_test: Likewise.
        y_test: Likewise.
        names: Names of the classes, if they have any.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    names: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.names) or int(self.y_train.max()) + 1
