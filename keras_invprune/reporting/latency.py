"""How long networks take in LiteRT, predicted from a table of measured layers.

It makes "litert-cpu" a runtime of `keras_invprune.allocation.Budget`.
"""

import dataclasses
import itertools
import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from keras_invprune.allocation.budget import RUNTIMES, Shapes, macs_of
from keras_invprune.exporting import litert
from keras_invprune.exporting.export import export
from keras_invprune.exporting.serving import safe_names, write_saved_models
from keras_invprune.graph.layouts import layout_of
from keras_invprune.graph.trace import traced, unfolded
from keras_invprune.graph.weights import Weight, kernels, shapes_of, weights_by_key
from keras_invprune.saving import Configured

logger = logging.getLogger("keras_invprune")

PARTS = (1, 2, 4)  # a layer is measured at 1, 1/2 and 1/4 of its widths, and at 1
ROUNDS, MOST = 5, 30  # interleaved rounds, and the runs of each one
LONG = 20  # milliseconds after which a round ends
LEAST = 1e-6  # milliseconds of a layer, which a file that does nothing may exceed
WITHOUT = ("_initializer", "_regularizer", "_constraint")  # they take no time
Axes = Sequence[tuple[str, int]]  # (key of a weight, axis of it)


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
        inputs, outputs = _width(self.inputs, shapes), _width(self.outputs, shapes)
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
    def from_config(cls, config: dict[str, Any]):
        """Return the table of a config."""
        measured = [Measured(**each) for each in config["layers"]]
        return cls(**{**config, "layers": measured})


class LiteRT:
    """LiteRT on one thread of the CPU, with its default delegate.

    All times are lower quartiles of interleaved runs, so other work on the machine
    matters little.
    """

    def milliseconds(self, model: keras.Model) -> float:
        """Return the milliseconds of one input in the .tflite file of `export`.

        The file takes one row at a time, unless the model has another batch size.

        Raises:
            ExportError: If there is no such file, or if its outputs differ.
            ValueError: If an axis of the inputs has an unknown length.
        """
        structure = litert.signature(model)
        rows = litert.batch_of(structure) or 1
        for spec in keras.tree.flatten(structure):
            if None in spec.shape[1:]:
                raise ValueError(
                    "Milliseconds are measured on inputs of a known shape. Received: "
                    f"shape {spec.shape} of {spec.name!r}. Give `keras.Input` all "
                    "lengths, or give a budget of MACs."
                )
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            export(model, made, formats=("tflite",), batch_size=rows)
            content = (made / "model.tflite").read_bytes()
        run = _runner(litert.runtime(content, delegate=True), model, rows)
        (found,) = lower_quartiles([run])
        return found / rows

    def cost(self, model: keras.Model) -> LatencyTable:
        """Return the table of a model; see `latency_table`."""
        return latency_table(model, self.milliseconds(model), milliseconds_alone)


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
    (nothing,) = alone([_model(layers.ReLU(), (1,))])
    measured = _measured(list(_places(model, weights)), shapes, alone, nothing)
    known = {key for each in measured for key, _ in (*each.inputs, *each.outputs)}
    count = sum(macs[key] * math.prod(shapes[key]) for key in known)
    speed = sum(each(shapes) for each in measured) / count if count else 1.0
    others = {k: n * speed for k, n in macs.items() if n and k not in known}
    table = LatencyTable(min(nothing, dense / 2), 1.0, measured, others)
    scale = (dense - table.fixed) / (table(shapes) - table.fixed)
    return dataclasses.replace(table, scale=scale)


def milliseconds_alone(models: Sequence[keras.Model]) -> list[float]:
    """Return the milliseconds of models of one input each, from one .tflite file."""
    named = {f"model_{number}": model for number, model in enumerate(models)}
    endpoints = {name: (m, litert.signature(m)) for name, m in named.items()}
    with tempfile.TemporaryDirectory() as folder:
        write_saved_models(endpoints, folder)
        content, _ = litert.convert(Path(folder), ())
    with litert.pages_in_a_log():
        found = litert.runtimes(content, delegate=True)
    by_name = found if len(named) > 1 else {"model_0": found["serving_default"]}
    return lower_quartiles([_runner(by_name[name], m, 1) for name, m in named.items()])


def lower_quartiles(runs: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the lower quartile of the milliseconds of each function, interleaved."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, found in zip(runs, times, strict=True):
            run()  # not timed: the last one has filled the caches
            found += _timed(run)
    return [float(np.percentile(found, 25)) for found in times]


def _timed(run) -> list[float]:
    found: list[float] = []
    while len(found) < MOST and sum(found) < LONG:
        begin = time.perf_counter()
        run()
        found.append((time.perf_counter() - begin) * 1e3)
    return found


def _runner(runtime, model, rows):
    inputs = litert.inputs(litert.signature(model), rows=rows)
    names = safe_names(list(inputs))
    batch = {names[name]: array for name, array in inputs.items()}
    return lambda: runtime(batch)


class _Form(NamedTuple):
    """Where the widths of a kind of layers are, and the option that sets the outputs.

    Weights are given by the path of their attribute. `option` is None if the inputs
    decide the outputs.
    """

    inputs: tuple[str, int]
    outputs: tuple[str, int]
    option: str | None


DENSE = _Form(("kernel", 0), ("kernel", 1), "units")
CONVOLUTION = _Form(("kernel", -2), ("kernel", -1), "filters")
TRANSPOSED = _Form(("kernel", -1), ("kernel", -2), "filters")
DEPTHWISE = _Form(("kernel", -2), ("kernel", -1), None)
SEPARABLE = _Form(("depthwise_kernel", -2), ("pointwise_kernel", -1), "filters")
RECURRENT = _Form(("cell.kernel", 0), ("cell.recurrent_kernel", 0), "units")
FORMS = {
    layers.Dense: DENSE,
    layers.Conv1D: CONVOLUTION,
    layers.Conv2D: CONVOLUTION,
    layers.Conv3D: CONVOLUTION,
    layers.Conv1DTranspose: TRANSPOSED,
    layers.Conv2DTranspose: TRANSPOSED,
    layers.Conv3DTranspose: TRANSPOSED,
    layers.DepthwiseConv1D: DEPTHWISE,
    layers.DepthwiseConv2D: DEPTHWISE,
    layers.SeparableConv1D: SEPARABLE,
    layers.SeparableConv2D: SEPARABLE,
    layers.SimpleRNN: RECURRENT,
    layers.LSTM: RECURRENT,
    layers.GRU: RECURRENT,
}


@dataclasses.dataclass(frozen=True)
class _Place:
    """A layer in a model: how to make it alone, and where its widths are.

    `lengths` are those of its input, with None in the place of the channels.
    """

    layer: keras.Layer
    lengths: tuple[int | None, ...]
    kind: type[keras.Layer]
    config: dict[str, Any]
    option: str | None
    inputs: Axes
    outputs: Axes

    @property
    def same(self) -> str:
        """What equal layers at equal places have in common, but for their widths."""
        known = {k: v for k, v in self.config.items() if k not in ("name", self.option)}
        return json.dumps([self.kind.__name__, self.lengths, known], default=str)

    def widths(self, shapes: Shapes) -> list[list[int]]:
        """Return the widths of inputs, and of outputs, to measure it at."""
        inputs, outputs = _width(self.inputs, shapes), _width(self.outputs, shapes)
        return [_parts(inputs), _parts(outputs) if self.option else [outputs]]

    def alone(self, inputs: int, outputs: int) -> keras.Model:
        """Return a model of the layer alone, for one input."""
        config = dict(self.config)
        if self.option:
            config[self.option] = outputs
        lengths = [inputs if length is None else length for length in self.lengths]
        return _model(self.kind.from_config(config), lengths)


def _parts(width) -> list[int]:
    return sorted({1, *(max(1, width // part) for part in PARTS)})


def _model(layer, shape) -> keras.Model:
    x = keras.Input(batch_shape=(1, *shape), dtype=layer.compute_dtype)
    return keras.Model(x, layer(x))


def _places(model, weights: dict[str, Weight]) -> Iterator[_Place]:
    """Yield each call of a layer that can be made alone."""
    keys = {id(w.variable): key for key, w in kernels(weights).items()}
    for step in unfolded(traced(model).steps):
        layer = step.operation
        if type(layer) is layers.EinsumDense:
            place = _as_dense(step, keys)
        elif type(layer) in FORMS and getattr(layer, "groups", 1) == 1:
            place = _of_form(step, keys, FORMS[type(layer)])
        else:
            continue
        if place is not None:
            yield place


def _of_form(step, keys, form) -> _Place | None:
    layer, (_, *lengths) = step.operation, step.reads[0].shape
    first = getattr(layer, "data_format", None) == "channels_first"
    lengths[0 if first else -1] = None
    axes = []
    for path, axis in (form.inputs, form.outputs):
        variable = attrgetter(path)(layer)
        if id(variable) not in keys:
            return None
        axes.append([(keys[id(variable)], axis % len(variable.shape))])
    config = _timed_config(layer)
    return _Place(layer, tuple(lengths), type(layer), config, form.option, *axes)


def _as_dense(step, keys) -> _Place | None:
    """Return the place of a Dense layer that does what an EinsumDense does."""
    layer = step.operation
    layout = layout_of(layer, layer.kernel)
    if layout is None:
        return None
    key, shape = keys[id(layer.kernel)], layer.kernel.shape
    axes = [[(key, axis) for axis in side] for side in layout[1:]]
    size = math.prod(shape[axis] for axis in layout.inputs)
    rows = math.prod(step.reads[0].shape[1:]) // size
    config = {"dtype": layer.get_config()["dtype"]}
    return _Place(layer, (rows, None), layers.Dense, config, "units", *axes)


def _timed_config(layer) -> dict[str, Any]:
    """Return the part of a layer's config that its time depends on."""
    config = layer.get_config().items()
    return {k: v for k, v in config if k != "trainable" and not k.endswith(WITHOUT)}


def _measured(places, shapes, alone, nothing) -> list[Measured]:
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


def _grid(place, widths, alone, nothing) -> list[list[float]] | None:
    """Return the times at each width of inputs and of outputs, which never fall."""
    try:
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


def _width(axes, shapes) -> int:
    return math.prod(shapes[key][axis] for key, axis in axes)
