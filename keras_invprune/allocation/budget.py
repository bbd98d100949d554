"""Budgets: how much of a network may remain, in place of a share to remove."""

import dataclasses
import logging
import math
from collections.abc import Mapping

import keras
import numpy as np

from keras_invprune.arguments import is_number, number
from keras_invprune.graph.frugal import frugal
from keras_invprune.graph.macs import kernel_uses
from keras_invprune.graph.outputs import answered
from keras_invprune.graph.weights import (
    check_keras,
    check_plain,
    shapes_of,
    weights_by_key,
)
from keras_invprune.masks.groups import ROUNDING
from keras_invprune.runtimes import RUNTIMES, Cost, Shapes
from keras_invprune.saving import Configured, named

logger = logging.getLogger("keras_invprune")

LISTED = 5  # the maximum number of keys in a message


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True, repr=False)
class Budget(Configured):
    """What `prune` may leave of a network, in place of a share to remove.

    Give one of the first three. The fewest groups of the lowest scores are removed with
    which `keras_invprune.compact` meets the budget. It counts what compaction leaves,
    so the pattern must be "units". The schedule moves the cost from that of the
    given network to the budget.

    MACs and bytes are exact; a warning names kernels of layers whose arithmetic is
    unknown, which do not count as MACs. Milliseconds are predicted from a table of
    measured layers. `prune` then times up to ten files of smaller networks, without the
    units of the lowest magnitude, and takes the largest one that meets the budget.
    Where other scores lead to other widths, the file may differ. `check` measures it in
    the end.

    Args:
        macs: Multiply-accumulate operations of all kernels for one input, as a share
            of the given network's (a float up to 1), or their number (an int).
        bytes: Size of all weights, as a share (a float), or in bytes (an int).
        milliseconds: Time of one input in the .tflite file.
        runtime: What measures the milliseconds, a name in
            `keras_invprune.runtimes.RUNTIMES`.

    Example:
        >>> dense = [keras.layers.Dense(8), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((4,)), *dense])
        >>> Budget(macs=0.5).measure(model)  # 4 · 8 + 8 · 2
        48.0
        >>> Budget(macs=12).share(dense=48)
        0.25
    """

    macs: float | int | None = None
    bytes: float | int | None = None
    milliseconds: float | None = None
    runtime: str = "litert-cpu"

    def __post_init__(self) -> None:
        """Validate the fields."""
        given = {k: v for k, v in vars(self).items() if k in KINDS and v is not None}
        if len(given) != 1:
            raise ValueError(
                f"A budget has one of {', '.join(KINDS)}. Received: {self!r}. Pass "
                "one, such as Budget(macs=0.5)."
            )
        ((name, value),) = given.items()
        if not (is_number(value) and math.isfinite(value) and value > 0):
            raise ValueError(
                f"`{name}` must be a positive number. Received: {name}={value!r}."
            )
        object.__setattr__(self, name, number(value))
        if self._is_share and value > 1:
            raise ValueError(
                f"As a float, `{name}` is a share of the given network's, up to 1. "
                f"Received: {name}={value!r}. Pass an int for their number."
            )
        if name == "milliseconds":
            named(self.runtime, RUNTIMES, "runtime")

    def __repr__(self) -> str:
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
    def unit(self) -> str:
        """Return the unit of what is counted, as messages write it."""
        return {"macs": "MACs"}.get(self.kind, self.kind)

    @property
    def _is_share(self) -> bool:
        value = getattr(self, self.kind)
        return isinstance(value, float) and self.kind != "milliseconds"

    def measure(self, model: keras.Model) -> float:
        """Return what a plain model costs; milliseconds are those of its file.

        Raises:
            TypeError: If it is not a Keras 3 model.
            ValueError: If the model carries masks, or is not built.
        """
        check_plain(model, "budget.measure(kip.compact({}))")
        check_keras(model, built=True)
        if self.kind == "milliseconds":
            (found,) = RUNTIMES[self.runtime].milliseconds([model])
            return found
        return self.cost(model)(shapes_of(weights_by_key(model)))

    def cost(self, model: keras.Model) -> Cost:
        """Return what networks like this model cost, by the shapes of their weights.

        Args:
            model: A built, plain model. For milliseconds, its file and its layers are
                measured, which takes about a minute for ten different layers.

        Raises:
            ValueError: If the model takes no drawn inputs, so that its MACs or
                milliseconds are unknown.
        """
        if self.kind == "milliseconds":
            return RUNTIMES[self.runtime].cost(model)
        return (macs_of if self.kind == "macs" else _bytes_of)(model)

    def share(self, dense: float) -> float:
        """Return the share that the budget leaves of a cost, up to 1."""
        return min(1.0, self._limit(dense) / dense)

    def check(self, model: keras.Model, dense: keras.Model | None = None) -> float:
        """Measure a compact model, and log a warning if it misses the budget.

        Args:
            model: A plain model, such as `keras_invprune.compact` returns.
            dense: The model that was given to `prune`, of which a share is a share.

        Returns:
            Its MACs, bytes or milliseconds; the milliseconds are those of its file.

        Raises:
            ValueError: If the budget is a share, and `dense` is None, or if a model
                carries masks.
        """
        if self._is_share and dense is None:
            raise ValueError(
                f"{self!r} is a share of the given network's {self.unit}. Pass that "
                "network, too: `budget.check(small, dense=model)`."
            )
        limit = self._limit(self.measure(dense) if self._is_share else math.nan)
        found = self.measure(model)
        log = logger.info if found <= limit * (1 + ROUNDING) else logger.warning
        log(
            "%r allows %.5g %s, and %r takes %.5g (%+.1f %%).",
            self,
            limit,
            self.unit,
            model.name,
            found,
            100 * (found / limit - 1),
        )
        return found

    def _limit(self, dense: float) -> float:
        value = float(getattr(self, self.kind))
        return value * dense if self._is_share else value


KINDS = ("macs", "bytes", "milliseconds")


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Sum(Configured):
    """A cost that each entry of a weight adds to.

    Args:
        each: ``{key: cost of one entry}``.
    """

    each: Mapping[str, float]

    def __call__(self, shapes: Shapes) -> float:
        """Return the cost of weights of these shapes."""
        return float(sum(n * math.prod(shapes[key]) for key, n in self.each.items()))


def macs_of(model: keras.Model) -> Sum:
    """Return the MACs of networks like a model.

    Kernels of layers whose arithmetic is unknown do not count. A warning names them.

    Raises:
        ValueError: If none are known.
    """
    with frugal(model):
        inputs = next((inputs for inputs, _ in answered(model)), None)
        uses = {} if inputs is None else kernel_uses(model, inputs)
    if not any(uses.values()):
        raise ValueError(
            f"The MACs of {model.name!r} are unknown: it takes no drawn inputs, or has "
            "no kernels of Keras's layers. Use a budget of bytes."
        )
    if unknown := [key for key, count in uses.items() if count is None]:
        logger.warning(
            "The MACs of %d kernels of %r are unknown and count as 0, however many of "
            "their units are removed: %s. Use a budget of bytes to count all weights.",
            len(unknown),
            model.name,
            ", ".join(unknown[:LISTED]) + ", ..." * (len(unknown) > LISTED),
        )
    return Sum({key: count or 0 for key, count in uses.items()})


def _bytes_of(model: keras.Model) -> Sum:
    dtypes = {
        key: variable.value.dtype.as_numpy_dtype
        for key, (_, variable) in weights_by_key(model).items()
    }
    return Sum({key: np.dtype(dtype).itemsize for key, dtype in dtypes.items()})
