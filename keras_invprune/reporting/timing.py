"""Measures how long LiteRT takes: for models' files, and for many small models.

It runs on one thread of the CPU, with its default delegate. Times that are compared
are lower quartiles of interleaved runs, so other work on the machine matters little.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.contracts import Nested
from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.export import export
from keras_invprune.exporting.precision import in_float32
from keras_invprune.exporting.serving import safe_names, write_saved_models
from keras_invprune.exporting.timing import MOST, lower_quartiles, times


def milliseconds(
    tflite: str | Path, model: keras.Model, x: Nested = None, runs: int = 200
) -> dict[str, float]:
    """Time one input through LiteRT.

    If the file takes batches of several rows, the time is that of a batch divided by
    its rows.

    Args:
        tflite: Path of the .tflite file.
        model: The Keras model that it was made from.
        x: Inputs. None: random ones.
        runs: Number of timed runs, in rounds of at most 30 runs or 20 milliseconds.

    Returns:
        ``{"median", "low", "high"}``: median and quartiles in milliseconds.
    """
    runtime = litert.runtime(Path(tflite).read_bytes(), delegate=True)
    rows = runtime.batch or 1
    (found,) = times([_runner(runtime, model, rows, x)], math.ceil(runs / MOST))
    return {name: value / rows for name, value in found._asdict().items()}


def milliseconds_of_files(models: Sequence[keras.Model]) -> list[float]:
    """Return the milliseconds of one input in each .tflite file of `export`.

    A file takes one row at a time, unless its model has another batch size. The files
    take turns.

    Raises:
        ExportError: If there is no such file, or if its outputs differ.
        ValueError: If an axis of the inputs has an unknown length.
    """
    rows = [_rows(model) for model in models]
    runs = [_runner(_file(m, n), m, n) for m, n in zip(models, rows, strict=True)]
    found = lower_quartiles(runs)
    return [time / count for time, count in zip(found, rows, strict=True)]


def _rows(model: keras.Model) -> int:
    """Return how many rows a model's file takes at a time.

    Raises:
        ValueError: If an axis of the inputs has an unknown length.
    """
    structure = converter.signature(model)
    for spec in keras.tree.flatten(structure):
        if None in spec.shape[1:]:
            raise ValueError(
                "Milliseconds are measured on inputs of a known shape. Received: "
                f"shape {spec.shape} of {spec.name!r}. Give `keras.Input` all "
                "lengths, or count MACs instead."
            )
    return converter.batch_of(structure) or 1


def _file(model: keras.Model, rows: int) -> Callable:
    """Return the runtime of a model's .tflite file."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        export(model, made, formats=("tflite",), batch_size=rows)
        content = (made / "model.tflite").read_bytes()
    return litert.runtime(content, delegate=True)


def milliseconds_alone(models: Sequence[keras.Model]) -> list[float]:
    """Return the milliseconds of models of one input each, from one .tflite file."""
    named = {f"model_{number}": model for number, model in enumerate(models)}
    endpoints = {name: (m, converter.signature(m)) for name, m in named.items()}
    with tempfile.TemporaryDirectory() as folder:
        with in_float32(*models):
            write_saved_models(endpoints, folder)
        content, _ = converter.convert(Path(folder), ())
    with converter.stderr_to_log():
        found = litert.runtimes(content, delegate=True)
    by_name = found if len(named) > 1 else {"model_0": found["serving_default"]}
    return lower_quartiles([_runner(by_name[name], m, 1) for name, m in named.items()])


def _runner(
    runtime: Callable, model: keras.Model, rows: int, x: Nested = None
) -> Callable[[], Any]:
    """Return a function that runs a batch: the first rows of `x`, or random ones."""
    inputs = converter.inputs(converter.signature(model), x, rows)
    names = safe_names(list(inputs))
    batch = {
        names[name]: np.resize(array, (rows, *array.shape[1:]))
        for name, array in inputs.items()
    }
    return lambda: runtime(batch)
