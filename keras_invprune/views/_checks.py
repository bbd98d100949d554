"""What the arguments of the views must satisfy."""

import math
import numbers
from collections.abc import Iterable
from typing import Any


def number(name: str, value: Any, upper: float = 1):
    """Returns `value` as a float, once it is known to lie in [0, upper].

    Args:
        name: the argument's name, for the message.
        value: the number received.
        upper: the largest value allowed.

    Raises:
        ValueError: if `value` is not a number in [0, upper].
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
    """Returns `value` as a pair of floats with `lower` < low <= high <= `upper`.

    Args:
        name: the argument's name, for the message.
        value: the pair received.
        lower: what both ends must exceed.
        upper: the largest value that either end may take.

    Raises:
        ValueError: if `value` is not such a pair.
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


def choice(name: str, value: Any, allowed: Iterable[str]):
    """Returns `value`, once it is known to be one of `allowed`.

    Args:
        name: the argument's name, for the message.
        value: the value received.
        allowed: the values that may be given.

    Raises:
        ValueError: if `value` is none of them.
    """
    if value in allowed:
        return value
    raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}.")
