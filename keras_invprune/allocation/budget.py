"""Budgets: how much of a network may remain, in the place of a share to remove."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Protocol

import keras
import numpy as np

from keras_invprune.graph.macs import kernel_uses
from keras_invprune.graph.outputs import answered
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.saving import Configured, named

Shapes = Mapping[str, tuple[int, ...]]
Cost = Callable[[Shapes], float]
"""``{key: shape of the weight} -> cost`` of a network with weights of these shapes."""


class Runtime(Protocol):
    """Measures how long models take. See `RUNTIMES`."""

    def milliseconds(self, model: keras.Model) -> float:
        """Return the milliseconds that the model's file takes for one input."""

    def cost(self, model: keras.Model) -> Cost:
        """Return the milliseconds by shape, from a table of measured layers."""


RUNTIMES: dict[str, Runtime] = {}
"""Runtimes by name; `keras_invprune.reporting.latency` adds "litert-cpu"."""


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True, repr=False)
class Budget(Configured):
    """What `prune` may leave of a network, in the place of a share to remove.

    Give one of the first three. The fewest groups of the lowest scores are removed with
    which `keras_invprune.compact` meets the budget. It counts what compaction leaves,
    so that the pattern must be "units". The schedule moves the cost from that of the
    given network to the budget.

    Args:
        macs: Multiply-accumulate operations of all kernels for one input, as a share
            of the given network's (a float up to 1), or their number (an int).
        bytes: Size of all weights, as a share (a float), or in bytes (an int).
        milliseconds: Time for one input.
        runtime: What measures the milliseconds, a name in `RUNTIMES`.

    Example:
        >>> dense = [keras.layers.Dense(8), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((4,)), *dense])
        >>> Budget(macs=0.5).measure(model)  # 4 · 8 + 8 · 2
        48.0
        >>> Budget(macs=12).share(model)
        0.25
    """

    macs: float | int | None = None
    bytes: float | int | None = None
    milliseconds: float | None = None
    runtime: str = "litert-cpu"

    def __post_init__(self):
        """Validate the fields."""
        given = {k: v for k, v in vars(self).items() if k in KINDS and v is not None}
        if len(given) != 1:
            raise ValueError(
                f"A budget has one of {', '.join(KINDS)}. Received: {self!r}. Give "
                "one, such as Budget(macs=0.5)."
            )
        ((name, value),) = given.items()
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and value > 0):
            raise ValueError(
                f"`{name}` must be a positive number. Received: {name}={value!r}."
            )
        if self._is_share and value > 1:
            raise ValueError(
                f"As a float, `{name}` is a share of the given network's, up to 1. "
                f"Received: {name}={value!r}. Give an int for their number."
            )
        if name == "milliseconds":
            named(self.runtime, RUNTIMES, "runtime")

    def __repr__(self):
        """Return the fields that are given."""
        given = {name: getattr(self, name) for name in (*KINDS, "runtime")}
        if self.milliseconds is None:
            del given["runtime"]
        fields = [f"{name}={v!r}" for name, v in given.items() if v is not None]
        return f"Budget({', '.join(fields)})"

    @property
    def kind(self) -> str:
        """Return what is counted: "macs", "bytes" or "milliseconds"."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def _is_share(self) -> bool:
        value = getattr(self, self.kind)
        return isinstance(value, float) and self.kind != "milliseconds"

    def measure(self, model: keras.Model) -> float:
        """Return what a plain model costs; milliseconds are those of its file."""
        if self.kind == "milliseconds":
            return RUNTIMES[self.runtime].milliseconds(model)
        return self.cost(model)(_shapes(model))

    def cost(self, model: keras.Model) -> Cost:
        """Return what networks like this model cost, by the shapes of their weights.

        Args:
            model: A built, plain model.
        """
        if self.kind == "milliseconds":
            return RUNTIMES[self.runtime].cost(model)
        return (_macs if self.kind == "macs" else _bytes)(model)

    def share(self, model: keras.Model) -> float:
        """Return the share of a plain model's cost that the budget leaves, up to 1."""
        value = float(getattr(self, self.kind))
        return min(1.0, value if self._is_share else value / self.measure(model))


KINDS = ("macs", "bytes", "milliseconds")


def _shapes(model) -> dict[str, tuple[int, ...]]:
    return {key: tuple(w.variable.shape) for key, w in weights_by_key(model).items()}


def _macs(model) -> Cost:
    inputs = next((inputs for inputs, _ in answered(model)), None)
    if inputs is None:
        raise ValueError(
            f"The MACs of {model.name!r} are unknown, since it takes no drawn inputs. "
            "Give a budget of bytes."
        )
    uses = {key: count or 0 for key, count in kernel_uses(model, inputs).items()}
    return lambda shapes: float(
        sum(count * math.prod(shapes[key]) for key, count in uses.items())
    )


def _bytes(model) -> Cost:
    sizes = {
        key: np.dtype(variable.value.dtype.as_numpy_dtype).itemsize
        for key, (_, variable) in weights_by_key(model).items()
    }
    return lambda shapes: float(
        sum(size * math.prod(shapes[key]) for key, size in sizes.items())
    )
