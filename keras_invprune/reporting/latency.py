"""How long networks take in LiteRT, predicted from a table of measured layers.

It adds "litert-cpu" to `keras_invprune.runtimes.RUNTIMES`, for budgets and merging.
"""

import dataclasses
import itertools
import json
import logging
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import layers

from keras_invprune.allocation.budget import macs_of
from keras_invprune.graph.weights import shapes_of, weights_by_key
from keras_invprune.reporting.alone import Axes, Place, places, single, width_of
from keras_invprune.reporting.timing import milliseconds_alone, milliseconds_of_files
from keras_invprune.runtimes import RUNTIMES, Shapes
from keras_invprune.saving import Configured

logger = logging.getLogger("keras_invprune")

LEAST = 1e-6  # milliseconds of a layer, which a file that does nothing may exceed


@dataclasses.dataclass(frozen=True)
class Measured:
    """A call of a layer, measured alone at several widths.

    Args:
        name: Name of the layer.
        inputs: The axes whose lengths give the width of its inputs.
        outputs: The axes whose lengths give that of its outputs.
        widths: The widths of inputs, and those of outputs, increasing.
        milliseconds: The time of a call at each width of inputs and of outputs, more
            than that of a file that does nothing.
    """

    name: str
    inputs: Axes
    outputs: Axes
    widths: Sequence[Sequence[int]]
    milliseconds: Sequence[Sequence[float]]

    def __call__(self, shapes: Shapes) -> float:
        """Return the milliseconds of a call for weights of these shapes."""
        inputs, outputs = width_of(self.inputs, shapes), width_of(self.outputs, shapes)
        rows = [np.interp(outputs, self.widths[1], row) for row in self.milliseconds]
        return float(np.interp(inputs, self.widths[0], rows))


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class LatencyTable(Configured):
    """The milliseconds of networks by the shapes of their weights.

    ``fixed + scale · (milliseconds of the layers + Σ others · entries)``. `scale` makes
    it exact for the given network. So separate activations, additions, pooling and
    layers of your own are taken to shrink in proportion to the layers with kernels.

    Args:
        fixed: The milliseconds of a file that does nothing.
        scale: See above.
        layers: The calls of layers that were measured alone.
        others: ``{key: milliseconds of one entry}`` of all other kernels: those of
            attention, of layers inside wrappers, of grouped convolutions, and of those
            that LiteRT does not take alone. They count by their MACs, at the mean speed
            of the measured layers.
    """

    fixed: float
    scale: float
    layers: Sequence[Measured]
    others: dict[str, float]

    def __call__(self, shapes: Shapes) -> float:
        """Return the milliseconds of a network with weights of these shapes."""
        measured = sum(layer(shapes) for layer in self.layers)
        rest = sum(each * math.prod(shapes[key]) for key, each in self.others.items())
        return self.fixed + self.scale * float(measured + rest)

    def get_config(self) -> dict:
        """Return the constructor's arguments as JSON holds them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the table of a config."""
        measured = [Measured(**each) for each in config["layers"]]
        return cls(**{**config, "layers": measured})


class LiteRT:
    """LiteRT on one thread of the CPU, with its default delegate.

    All times are lower quartiles of interleaved runs, so other work on the machine
    matters little.
    """

    def milliseconds(self, models: Sequence[keras.Model]) -> list[float]:
        """Return the milliseconds of one input in each .tflite file of `export`.

        A file takes one row at a time, unless its model has another batch size. The
        files take turns.

        Raises:
            ExportError: If there is no such file, or if its outputs differ.
            ValueError: If an axis of the inputs has an unknown length.
        """
        return milliseconds_of_files(models)

    def cost(self, model: keras.Model) -> LatencyTable:
        """Return the table of a model; see `latency_table`."""
        (dense,) = self.milliseconds([model])
        return latency_table(model, dense, milliseconds_alone)


RUNTIMES["litert-cpu"] = LiteRT()


def latency_table(
    model: keras.Model,
    dense: float,
    alone: Callable[[Sequence[keras.Model]], Sequence[float]],
) -> LatencyTable:
    """Return the table of a model's layers. Equal layers are measured once.

    Args:
        model: A built Sequential or Functional model.
        dense: The milliseconds of its file.
        alone: ``models -> milliseconds of each``.
    """
    weights = weights_by_key(model)
    shapes = shapes_of(weights)
    macs = macs_of(model).each
    (nothing,) = alone([single(layers.ReLU(), (1,))])
    measured = _measured(list(places(model, weights)), shapes, alone, nothing)
    known = {key for each in measured for key, _ in (*each.inputs, *each.outputs)}
    count = sum(macs[key] * math.prod(shapes[key]) for key in known)
    speed = sum(each(shapes) for each in measured) / count if count else 1.0
    others = {k: n * speed for k, n in macs.items() if n and k not in known}
    table = LatencyTable(min(nothing, dense / 2), 1.0, measured, others)
    scale = (dense - table.fixed) / (table(shapes) - table.fixed)
    return dataclasses.replace(table, scale=scale)


def _measured(
    places: Sequence[Place],
    shapes: Shapes,
    alone: Callable[[Sequence[keras.Model]], Sequence[float]],
    nothing: float,
) -> list[Measured]:
    """Return the places that can be measured alone, with their times."""
    found: list[Measured] = []
    times: dict[str, list[list[float]] | None] = {}
    for number, place in enumerate(places, 1):
        widths = place.widths(shapes)
        same = f"{place.same} {widths}"
        if same not in times:
            name = place.layer.name
            logger.info("Timing %r, call %d of %d.", name, number, len(places))
            times[same] = _grid(place, widths, alone, nothing)
        if (grid := times[same]) is not None:
            axes = place.inputs, place.outputs
            found.append(Measured(place.layer.name, *axes, widths, grid))
    return found


def _grid(
    place: Place,
    widths: Sequence[list[int]],
    alone: Callable[[Sequence[keras.Model]], Sequence[float]],
    nothing: float,
) -> list[list[float]] | None:
    """Return the times at each width of inputs and of outputs, which never fall."""
    try:
        with warnings.catch_warnings():  # Keras's, of a softmax over one unit
            warnings.simplefilter("ignore", UserWarning)
            found = alone([place.alone(*each) for each in itertools.product(*widths)])
    except Exception as error:  # Keras and the converter may raise anything
        logger.warning(
            "%r cannot be timed alone, so it counts by its MACs: %s",
            place.layer.name,
            str(error).partition("\n")[0],
        )
        return None
    grid = np.reshape(found, [len(each) for each in widths])
    grid = np.maximum(grid - nothing, LEAST)
    for axis in (0, 1):
        grid = np.maximum.accumulate(grid, axis)
    return grid.tolist()
