"""What the best file is to be good at, and what it may cost."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from keras_invprune.arguments import is_number, is_positive_integer, number
from keras_invprune.contracts import Nested
from keras_invprune.exporting.planner.candidates import CANDIDATES
from keras_invprune.exporting.timing import ROUNDS

# "litert-cpu", "size", "any", and one for each other runtime
TARGETS = tuple(dict.fromkeys(name for kind in CANDIDATES for name in kind.targets))


def show_nothing(what: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What the best file is to be good at. See `keras_invprune.export`.

    Args:
        name: "litert-cpu" for the fastest .tflite file on the CPU, "size" for the
            smallest one, "onnxruntime-cpu" for the fastest ONNX file, "openvino-cpu"
            for the fastest file of OpenVINO, or "any" for the fastest file of any
            runtime. Of files that are equally fast within the spread, the smallest one
            is best.
        metric: ``(y, outputs) -> number`` or one of `keras.metrics`, higher is better.
            `outputs` is an array, or a dict of arrays by name if the model has several
            outputs. None: accuracy
            for class labels, R² for other labels. Without labels, it is the share of
            rows of the same class as by Keras, or R² with respect to Keras's outputs.
        rounds: How often each file is timed. The files take turns.
        show: ``(what, done, total)``, called while files are tried.

    Example:
        >>> Target("size").name
        'size'
    """

    name: str = "litert-cpu"
    metric: Callable[[Any, Nested], float] | None = None
    rounds: int = ROUNDS
    show: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        """Validate the fields."""
        if self.name not in TARGETS:
            raise ValueError(
                f"`target` must be one of {TARGETS}, or a `Target`. Received: "
                f"target={self.name!r}."
            )
        for name in ("metric", "show"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(
                    f"`{name}` must be a function. Received: {name}={value!r}."
                )
        if not is_positive_integer(self.rounds):
            raise ValueError(
                "`rounds` must be an integer of at least 1. Received: "
                f"rounds={self.rounds!r}."
            )

    @classmethod
    def of(cls, target: "str | Target") -> "Target":
        """Return a `Target`, from its name if that is given."""
        return target if isinstance(target, Target) else cls(target)


@dataclasses.dataclass(frozen=True)
class FileBudget:
    """What the best file may cost. None for no limit.

    Args:
        bytes: Its size.
        milliseconds: The median time of one input on one thread.

    Example:
        >>> FileBudget(bytes=100_000).excess(bytes=120_000, milliseconds=0.1)
        1.2
    """

    bytes: float | None = None
    milliseconds: float | None = None

    def __post_init__(self) -> None:
        """Validate the fields."""
        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        if not given:
            raise ValueError(
                "A budget has bytes or milliseconds. Received: neither. Pass one, such "
                'as {"bytes": 100_000}.'
            )
        for name, value in given.items():
            if not (is_number(value) and math.isfinite(value) and value > 0):
                raise ValueError(
                    f"`{name}` must be a positive number. Received: {name}={value!r}."
                )
            object.__setattr__(self, name, number(value))

    @classmethod
    def of(
        cls, budget: "Mapping[str, float] | FileBudget | None"
    ) -> "FileBudget | None":
        """Return a `FileBudget`, from a dict if that is given, or None for None."""
        if budget is None or isinstance(budget, FileBudget):
            return budget
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(budget, Mapping) or not set(budget) <= set(names):
            raise ValueError(
                f"`budget` must be a dict with some of {names}, or a `FileBudget`. "
                f"Received: budget={budget!r}."
            )
        return cls(**budget)

    def excess(self, bytes: float, milliseconds: float) -> float:
        """Return the largest ratio of a cost to its limit; up to 1 is within."""
        pairs = ((bytes, self.bytes), (milliseconds, self.milliseconds))
        return max(cost / limit for cost, limit in pairs if limit is not None)
