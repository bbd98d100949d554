"""Runs a file on the same rows as the Keras model, and compares the outputs."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Nested
from keras_invprune.exporting import converter
from keras_invprune.exporting.accuracy import accuracy, predicted_classes
from keras_invprune.exporting.batches import (
    Run,
    in_batches,
    reset_states,
    stateful_layers,
)
from keras_invprune.exporting.serving import named_outputs, output_names, safe_names
from keras_invprune.exporting.ways_out import RANDOM
from keras_invprune.graph.outputs import is_text
from keras_invprune.graph.weights import is_graph

LEAST = 1e-6  # allowed for outputs that are only rounding errors
COMPARED_ROWS, COMPARED_BATCHES = 256, 32

logger = logging.getLogger("keras_invprune")


class Differs(ValueError):
    """The outputs of a file differ from those of the Keras model."""


class Random(ValueError):
    """The Keras model itself gives different outputs when it is run again."""


class SameOutputs:
    """Compares a file's outputs with those of the Keras model, on the same rows.

    Attributes:
        inputs: Arrays by name, the rows that are compared.
        outputs: Keras's outputs for them, arrays by name.
        accuracy: The accuracy on all rows; None without class labels.
    """

    def __init__(
        self, model: keras.Model, x: Nested, y: Nested, batch_size: int | None
    ):
        self.model = model
        self.structure = converter.signature(model, batch_size)
        self.file_batch = converter.batch_of(self.structure)
        self.batch = converter.batch_of(converter.signature(model))
        own = isinstance(model, keras.Sequential) and is_graph(model)
        if self.file_batch is None and own:
            _say_if_any_batch_will_do(model)
        inputs = converter.inputs(self.structure, x)
        self.names = safe_names(list(inputs))
        rows = len(next(iter(inputs.values())))
        labels = labels_of(y)
        for part in labels:
            if not np.ndim(part) or len(part) != rows:
                given = f"{len(part)} labels y" if np.ndim(part) else f"y={part!r}"
                raise ValueError(
                    "`data` must have one label for each row. Received: "
                    f"{rows} rows x and {given}."
                )
        most = min(COMPARED_ROWS, COMPARED_BATCHES * (self.file_batch or COMPARED_ROWS))
        self._all = inputs
        self.inputs = {name: array[:most] for name, array in inputs.items()}
        outputs = _on_cpu(self.of_keras(model), self.inputs, self.batch)
        self.outputs = {name: numbers(array) for name, array in outputs.items()}
        if not all(np.isfinite(sizes_of(a)).all() for a in self.outputs.values()):
            raise ValueError(
                "The outputs of the Keras model must be finite. Received: NaN or "
                "infinity on these inputs."
            )
        self.accuracy = None
        if len(labels) == len(outputs) == 1:
            (output,), (only,) = self.every[1].values(), labels
            self.accuracy = accuracy(output, only)

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return len(next(iter(self._all.values())))

    @functools.cached_property
    def every(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The inputs of all rows, and Keras's outputs."""
        return self._all, _on_cpu(self.of_keras(self.model), self._all, self.batch)

    def renamed(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return ``{name: name in the files}`` of renamed inputs, and of outputs."""
        both = []
        for kind, names in (("input", self.names), ("output", self.output_names)):
            both.append({name: safe for name, safe in names.items() if name != safe})
            for name, safe in both[-1].items():
                logger.warning("The %s %r is named %r in the files.", kind, name, safe)
        inputs, outputs = both
        return inputs, outputs

    def named(self) -> Nested:
        """Return the structure of inputs, with their names in the files."""
        specs = [
            keras.InputSpec(dtype=s.dtype, shape=s.shape, name=self.names[s.name])
            for s in keras.tree.flatten(self.structure)
        ]
        return keras.tree.pack_sequence_as(self.structure, specs)

    def of_keras(self, model: keras.Model) -> Run:
        """Return a function that runs a Keras model from its initial states."""

        def run(structure: Nested) -> Nested:
            reset_states(model)
            outputs = model(structure, training=False)
            self.output_names = output_names(outputs)
            return outputs

        return self.by_name(run)

    def by_name(self, call: Callable[[Nested], Nested]) -> Run:
        """Return `call` with arrays by name instead of structures, in and out."""

        def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            arrays = list(inputs.values())
            outputs = call(keras.tree.pack_sequence_as(self.structure, arrays))
            named = named_outputs(outputs)
            return {k: keras.ops.convert_to_numpy(v) for k, v in named.items()}

        return run

    def of_runtime(self, runtime: Callable[[], Callable], states: bool = False) -> Run:
        """Return a function that runs a file.

        Args:
            runtime: A function that loads the file. What it returns takes arrays by the
                names in the file.
            states: Whether each call continues with the states of the last one. If
                not, a file with states is loaded again for each call.
        """
        kept = states or not stateful_layers(self.model)
        stateless = runtime() if kept else None

        def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            by_file = {self.names[name]: array for name, array in inputs.items()}
            return (stateless or runtime())(by_file)

        return run

    def __call__(self, run: Run, tolerance: float, batch: int | None) -> dict[str, Any]:
        """Return the figures of a file, see `export`.

        Args:
            run: A function from arrays by name to arrays by name, which runs the file.
            tolerance: Largest difference, as a share of the largest output.
            batch: Exact number of rows in a batch, or None for any.

        Raises:
            Differs: If an output differs by more than the tolerance.
            Random: If it does so because the Keras model is random.
        """
        worst, same_class, fault = self._difference(run, tolerance, batch)
        if not fault:
            return {"max_abs_error": worst, "same_class": same_class}
        again = self.of_keras(self.model)
        if self._difference(again, tolerance, self.batch)[-1]:
            raise Random(
                f"the Keras model {RANDOM}, so no file can have the same outputs"
            )
        raise Differs(fault)

    def _difference(
        self, run: Run, tolerance: float, batch: int | None
    ) -> tuple[float, float | None, str]:
        """Return max |difference|, share of rows of the same class, and any fault."""
        found = _on_cpu(run, self.inputs, batch)
        worst = 0.0
        for name, expected in self.outputs.items():
            error = difference(numbers(found[name]), expected)
            limit = tolerance * sizes_of(expected).max() + LEAST
            if not error <= limit:  # also true for NaN
                fault = f"output {name!r} is off by {error:.3g}, allowed {limit:.3g}"
                return error, None, fault
            worst = max(worst, error)
        return worst, _same_class(found, self.outputs), ""


def numbers(output: np.ndarray) -> np.ndarray:
    """Return an output as float64; text stays as it is."""
    return output if is_text(output) else output.astype(float)


def sizes_of(output: np.ndarray) -> np.ndarray:
    """Return the absolute values of an output of `numbers`, 0 for text."""
    return np.abs(np.zeros(output.shape) if is_text(output) else output)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return max |one - other| of two outputs of `numbers`; for text, 0 or infinity."""
    if is_text(other):
        return 0.0 if np.array_equal(one, other) else np.inf
    return float(np.abs(one - other).max())


def _same_class(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> float | None:
    """Return the share of rows with the same largest output; None without classes."""
    outputs = [*expected.values()]
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
        return None
    one, other = (predicted_classes(a) for a in (*found.values(), *outputs))
    return float(np.mean(one == other))


def labels_of(y: Nested) -> list:
    """Return a list of the labels of each output, from a dict, a list or an array."""
    if y is None:
        return []
    several = isinstance(y, (list, tuple)) and all(hasattr(p, "shape") for p in y)
    if isinstance(y, dict) or (several and any(map(np.ndim, y))):
        return keras.tree.flatten(y)
    return [y]


def _say_if_any_batch_will_do(model: keras.Model) -> None:
    size = model.input_shape[0]
    if size is not None:
        logger.warning(
            "The files take batches of any size, although the input shape of %r has "
            "%d rows, since that may be the size of the first batch. To fix the size, "
            "use `batch_size=%d`, or a named `keras.Input(batch_shape=..., name=...)`.",
            model.name,
            size,
            size,
        )


def _on_cpu(
    run: Run, inputs: dict[str, np.ndarray], batch: int | None
) -> dict[str, np.ndarray]:
    # On the CPU, like LiteRT: a GPU may round float32 factors to 11 bits (TF32).
    with tf.device("/CPU:0"):
        return in_batches(run, inputs, batch)
