"""Checks of the arguments of the views."""

import math
import numbers
from collections.abc import Iterable
from typing import Any


def number(name: str, value: Any, upper: float = 1) -> float:
    """Return `value` as a float, if it lies in [0, upper].

    Args:
        name: The argument's name, for the message.
        value: The number received.
        upper: The largest value allowed.

    Raises:
        ValueError: If `value` is not a number in [0, upper].
    """
    real = isinstance(value, numbers.Real)
    if real and 0 <= value <= upper and math.isfinite(value):
        return float(value)
    percent = real and upper <= 1 and upper < value <= 100 * upper
    hint = f" Did you mean {value / 100:g}?" if percent else ""
    bounds = "at least 0" if upper == math.inf else f"in [0, {upper:g}]"
    raise ValueError(f"`{name}` must be {bounds}. Received: {name}={value!r}.{hint}")


def interval(
    name: str, value: Any, lower: float = 0, upper: float = math.inf
) -> tuple[float, float]:
    """Return `value` as a pair of floats with `lower` < low <= high <= `upper`.

    Args:
        name: The argument's name, for the message.
        value: The pair received.
        lower: The bound that both ends must exceed.
        upper: The largest value that either end may have.

    Raises:
        ValueError: If `value` is not such a pair.
    """
    if isinstance(value, (tuple, list)) and len(value) == 2:
        low, high = value
        numeric = all(isinstance(end, numbers.Real) for end in value)
        if numeric and lower < low <= high <= upper and math.isfinite(high):
            return float(low), float(high)
    below = "" if lower == -math.inf else f"{lower:g} < "
    above = "" if upper == math.inf else f" <= {upper:g}"
    raise ValueError(
        f"`{name}` must be a pair (low, high) with {below}low <= high{above}. "
        f"Received: {name}={value!r}."
    )


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value`, if it is one of `allowed`.

    Args:
        name: The argument's name, for the message.
        value: The value received.
        allowed: The values that may be given.

    Raises:
        ValueError: If `value` is not one of them.
    """
    if value in allowed:
        return value
    raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}.")
