"""Runs a file on the rows that Keras was run on, and compares the outputs."""

import functools
import logging
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Nested
from keras_invprune.exporting import litert
from keras_invprune.exporting.accuracy import accuracy, predicted_classes
from keras_invprune.exporting.batches import in_batches, reset_states, stateful_layers
from keras_invprune.exporting.serving import named_outputs, output_names, safe_names
from keras_invprune.exporting.ways_out import RANDOM
from keras_invprune.graph.weights import is_graph

LEAST = 1e-6  # allowed of outputs that are nothing but rounding
COMPARED_ROWS, COMPARED_BATCHES = 256, 32

logger = logging.getLogger("keras_invprune")


class SameOutputs:
    """Compares a file's outputs with those of the Keras model, on the same rows."""

    def __init__(
        self, model: keras.Model, x: Nested, y: Nested, batch_size: int | None
    ):
        self.model = model
        self.structure = litert.signature(model, batch_size)
        self.file_batch = litert.batch_of(self.structure)
        self.batch = litert.batch_of(litert.signature(model))
        own = isinstance(model, keras.Sequential) and is_graph(model)
        if self.file_batch is None and own:
            _say_if_any_batch_will_do(model)
        inputs = litert.inputs(self.structure, x)
        self.names = safe_names(list(inputs))
        rows = len(next(iter(inputs.values())))
        labels = _labels(y)
        for part in labels:
            if len(part) != rows:
                raise ValueError(
                    f"`data` has {rows} rows of x, but {len(part)} labels y."
                )
        most = min(COMPARED_ROWS, COMPARED_BATCHES * (self.file_batch or COMPARED_ROWS))
        self.inputs = {name: array[:most] for name, array in inputs.items()}
        run = self.of_keras(model)
        outputs = _on_cpu(run, self.inputs if y is None else inputs, self.batch)
        self.outputs = {k: v[:most].astype(float) for k, v in outputs.items()}
        if not all(np.isfinite(array).all() for array in self.outputs.values()):
            raise ValueError("The Keras model gives NaN or infinity on these inputs.")
        self.accuracy = None
        if len(labels) == len(outputs) == 1:
            self.accuracy = accuracy(*outputs.values(), *labels)

    def renamed(self) -> tuple[dict[str, str], dict[str, str]]:
        """``{name: name in the files}`` of inputs and of outputs that are renamed."""
        both = []
        for kind, names in (("input", self.names), ("output", self.output_names)):
            both.append({name: safe for name, safe in names.items() if name != safe})
            for name, safe in both[-1].items():
                logger.warning("The %s %r is called %r in the files.", kind, name, safe)
        inputs, outputs = both
        return inputs, outputs

    def named(self):
        """The structure of inputs, with the names that they have in the files."""
        specs = [
            keras.InputSpec(dtype=s.dtype, shape=s.shape, name=self.names[s.name])
            for s in keras.tree.flatten(self.structure)
        ]
        return keras.tree.pack_sequence_as(self.structure, specs)

    def of_keras(self, model: keras.Model):
        """Runs a Keras model from its states at rest."""

        def run(structure):
            reset_states(model)
            outputs = model(structure, training=False)
            self.output_names = output_names(outputs)
            return outputs

        return self.by_name(run)

    def by_name(self, call: Callable):
        """Makes arrays by name of what `call` takes and returns in a structure."""

        def run(inputs):
            arrays = list(inputs.values())
            outputs = call(keras.tree.pack_sequence_as(self.structure, arrays))
            named = named_outputs(outputs)
            return {k: keras.ops.convert_to_numpy(v) for k, v in named.items()}

        return run

    def of_litert(self, content: bytes, delegate: bool):
        """Runs a .tflite file; anew for each batch where there are states to reset."""
        runtime = functools.partial(litert.runtime, content, delegate=delegate)
        stateless = None if stateful_layers(self.model) else runtime()

        def run(inputs):
            by_file = {self.names[name]: array for name, array in inputs.items()}
            return (stateless or runtime())(by_file)

        return run

    def __call__(self, run: Callable, tolerance: float, batch: int) -> dict:
        """What was found of a file: see `export`.

        Raises:
            ValueError: Unless all outputs are within the tolerance.
        """
        worst, same_class, fault = self._difference(run, tolerance, batch)
        if not fault:
            return {"max_abs_error": worst, "same_class": same_class}
        again = self.of_keras(self.model)
        if self._difference(again, tolerance, self.batch)[-1]:
            raise ValueError(
                f"the Keras model {RANDOM}, so that no file can be like it"
            )
        raise ValueError(fault)

    def _difference(self, run, tolerance, batch) -> tuple[float, float | None, str]:
        """Max |difference|, share of rows of the same class, and what is too large."""
        found = _on_cpu(run, self.inputs, batch)
        worst = 0.0
        for name, expected in self.outputs.items():
            error = float(np.abs(found[name].astype(float) - expected).max())
            limit = tolerance * np.abs(expected).max() + LEAST
            if not error <= limit:  # NaN is within no limit.
                fault = f"output {name!r} is off by {error:.3g}, allowed {limit:.3g}"
                return error, None, fault
            worst = max(worst, error)
        return worst, _same_class(found, self.outputs), ""


def _same_class(found, expected) -> float | None:
    """Share of the rows whose largest output is the same one; None without classes."""
    outputs = [*expected.values()]
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
        return None
    one, other = (predicted_classes(a) for a in (*found.values(), *outputs))
    return float(np.mean(one == other))


def _labels(y) -> list:
    """The labels of each output: of several in a dict, or in a list of arrays."""
    if y is None:
        return []
    several = isinstance(y, (list, tuple)) and all(hasattr(p, "shape") for p in y)
    if isinstance(y, dict) or (several and any(map(np.ndim, y))):
        return keras.tree.flatten(y)
    return [y]


def _say_if_any_batch_will_do(model):
    size = model.input_shape[0]
    if size is not None:
        logger.warning(
            "The files take batches of any size, although the input shape of %r has "
            "%d rows: that may be the first batch it saw. `batch_size=%d` fixes it, "
            "and so does a name, `keras.Input(batch_shape=..., name=...)`.",
            model.name,
            size,
            size,
        )


def _on_cpu(run, inputs, batch) -> dict[str, np.ndarray]:
    # On the CPU, as LiteRT: a GPU may round float32 factors to 11 bits (TF32).
    with tf.device("/CPU:0"):
        return in_batches(run, inputs, batch)
