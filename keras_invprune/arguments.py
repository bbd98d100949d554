"""Numbers that users pass: Python's or NumPy's, but no truth values."""

import numbers
from typing import Any, TypeGuard

import numpy as np


def is_integer(value: object) -> TypeGuard[int]:
    """Return whether `value` is an integer of Python or NumPy, but not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_positive_integer(value: object) -> TypeGuard[int]:
    """Return whether `value` is an integer above zero, but not a bool."""
    return is_integer(value) and value > 0


def is_number(value: object) -> TypeGuard[float]:
    """Return whether `value` is a real number of Python or NumPy, but not a bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_seed(seed: int) -> None:
    """Raise ValueError unless a seed is an integer of at least 0."""
    if not (is_integer(seed) and seed >= 0):
        raise ValueError(
            "`seed` must be an integer of at least 0. The same one draws the same "
            f"again. Received: seed={seed!r}."
        )


def number(value: float) -> int | float:
    """Return a number of any kind as Python's `int` or `float`."""
    return int(value) if is_integer(value) else float(value)


def plain(value: Any) -> Any:
    """Return a value with Python's numbers in place of NumPy's.

    Args:
        value: Anything. Lists, tuples and dictionaries are searched.

    Example:
        >>> plain({"shape": (np.int64(4), 1), "pooling": "mean"})
        {'shape': (4, 1), 'pooling': 'mean'}
    """
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    if type(value) is dict:
        return {key: plain(each) for key, each in value.items()}
    return value
