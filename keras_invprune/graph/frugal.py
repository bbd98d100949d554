"""Runs a model without keeping what its inner layers have made.

Keras keeps the outputs of all layers until a Functional model has run: ten times the
weights' memory for one image, or more. Nothing but memory differs here.
"""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from keras_invprune.contracts import Nested
from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.trace import Step, calls_its_graph, traced
from keras_invprune.graph.weights import is_graph, walk


@contextlib.contextmanager
def frugal(*models: keras.Model) -> Iterator[None]:
    """Free each tensor inside of the models after its last use, within the context.

    Their graphs, and those of models inside them, are run call by call. The values are
    those that Keras computes. What has a `call` of its own runs as it is.
    """
    layers = {id(x): x for model in models for _, x in walk(model)}.values()
    changed = []
    try:
        for layer in layers:
            if is_graph(layer) and calls_its_graph(layer) and "call" not in vars(layer):
                with contextlib.suppress(Exception):  # as layers may on symbolic calls
                    layer.call = _Calls(layer)
                    changed.append(layer)
        yield
    finally:
        for layer in changed:
            del layer.call


class _Calls:
    """The `call` of a graph model that forgets tensors which nothing reads any more."""

    def __init__(self, model: keras.Model):
        self._own, self._specs = model.call, input_structure(model)
        self._trace = traced(model)
        self._train = [_takes_training(x.operation) for x in self._trace.steps]
        self._last = []  # for each step the tensors that nothing reads later
        needed = {id(x) for x in keras.tree.flatten(self._trace.outputs)}
        for step in reversed(self._trace.steps):
            here = {id(x) for x in (*step.reads, *step.made)}
            self._last.append(here - needed)
            needed |= here
        self._last.reverse()

    def __call__(
        self,
        inputs: Nested,
        training: bool | None = None,
        mask: Nested = None,
        **others: Any,
    ) -> Nested:
        """Return what the model makes of inputs.

        The arguments are those of the model's own `call`, which runs if the inputs have
        a mask or are yet to be converted, or if it is given others than these three.
        """
        given = keras.tree.flatten([mask, others])
        if any(x is not None for x in given) or not self._fits(inputs):
            return self._own(inputs, training, mask, **others)
        return self._run(keras.tree.flatten(inputs), training)

    def _fits(self, inputs: Nested) -> bool:
        """Return whether inputs are as the layers read them."""
        try:
            keras.tree.assert_same_structure(inputs, self._specs)
        except ValueError:
            return False
        parts = keras.tree.flatten(inputs), keras.tree.flatten(self._specs)
        return all(
            keras.ops.is_tensor(part)
            and keras.backend.standardize_dtype(part.dtype) == spec.dtype
            and len(part.shape) == len(spec.shape)
            for part, spec in zip(*parts, strict=True)
        )

    def _run(self, inputs: list, training: bool | None) -> Nested:
        entries = keras.tree.flatten(self._trace.inputs)
        known = {id(x): part for x, part in zip(entries, inputs, strict=True)}
        steps = self._trace.steps, self._train, self._last
        for step, train, last in zip(*steps, strict=True):
            made = keras.tree.flatten(_made(step, known, training if train else None))
            known.update({id(x): y for x, y in zip(step.made, made, strict=True)})
            del made
            for tensor in last:
                known.pop(tensor, None)
        outputs = self._trace.outputs
        found = keras.tree.map_structure(lambda x: known[id(x)], outputs)
        alone = isinstance(outputs, list | tuple) and len(outputs) == 1
        return found[0] if alone else found


def _made(step: Step, known: dict[int, Any], training: bool | None) -> Nested:
    """Return what a call makes; `training` counts more than what the graph says."""

    def value(part: Any) -> Any:
        return known[id(part)] if isinstance(part, keras.KerasTensor) else part

    args, kwargs = keras.tree.map_structure(value, step.arguments)
    if training is not None:
        kwargs["training"] = training
    return step.operation(*args, **kwargs)


def _takes_training(operation: keras.Operation) -> bool:
    names = inspect.signature(operation.call).parameters
    return isinstance(operation, keras.Layer) and "training" in names
