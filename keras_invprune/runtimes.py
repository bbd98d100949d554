"""Runtimes by name: what measures how long models take, for budgets and for merging.

`keras_invprune.reporting.latency` adds "litert-cpu". A runtime of your own is an object
with the methods of `Runtime`, under a new name in `RUNTIMES`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras

Shapes = Mapping[str, tuple[int, ...]]
Cost = Callable[[Shapes], float]
"""``{key: shape of the weight} -> cost`` of a network with weights of these shapes."""


class Runtime(Protocol):
    """Measures how long models take. See `RUNTIMES`.

    If a cost has a `get_config`, a half-pruned model is saved with it and resumes with
    the same milliseconds. Otherwise they are measured again.
    """

    def milliseconds(self, models: Sequence[keras.Model]) -> list[float]:
        """Return the milliseconds that each model's file takes for one input.

        The files take turns, so that their times can be compared.
        """

    def cost(self, model: keras.Model) -> Cost:
        """Return the milliseconds by shape, those of the given model included."""


RUNTIMES: dict[str, Runtime] = {}
