"""The calls a Sequential or Functional model is made of, with the tensors of each.

`layer.input` and `layer.output` are those of a layer's first call, wherever that was:
of an inner model its own, of a layer that two models share the other model's. So the
model is called again, layer by layer, and each call is written down.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_invprune.graph.weights import is_graph


class Step(NamedTuple):
    """One call of a layer, an inner model or an operation."""

    operation: Any
    reads: list
    made: list


class Trace(NamedTuple):
    """A model's calls, from new symbolic tensors to others, in their structures."""

    inputs: Any
    outputs: Any
    steps: list[Step]


def traced(model: keras.Model, assumed: Any = None) -> Trace:
    """Calls the layers of a graph model again, each on what it reads in the graph.

    Args:
        model: A Sequential or Functional model.
        assumed: None to call them on the model's own inputs. Or the length to give
            to axes of any length, for shapes that are numbers.
    """
    if isinstance(model, keras.Sequential):
        view = keras.Model(model.inputs[0], model.outputs[0])
    else:  # keeps dicts of inputs and outputs as they are
        view = keras.Model(model.input, model.output)
    if assumed is None:
        return _called(view, view.input)
    inputs = [_sized(x, assumed, x.name) for x in view.inputs]
    return _called(view, keras.tree.pack_sequence_as(view.input, inputs))


def _sized(tensor, assumed=None, name=None):
    """A new input like `tensor`, but for the length of its unknown axes."""
    batch, *lengths = tensor.shape
    shape = (batch, *(length or assumed for length in lengths))
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name)


def _called(view, inputs) -> Trace:
    steps = []

    def call(operation, *args, **kwargs):
        result = operation(*args, **kwargs)
        steps.append(Step(operation, _tensors((args, kwargs)), _tensors(result)))
        return result

    twin = keras.models.clone_model(
        view, inputs, clone_function=lambda layer: layer, call_function=call
    )
    return Trace(inputs, twin.output, steps)


def _tensors(structure) -> list:
    flat = keras.tree.flatten(structure)
    return [part for part in flat if isinstance(part, keras.KerasTensor)]


def unfolded(steps: Any) -> Iterator[Step]:
    """Yields the steps, before each call of an inner model the calls inside it."""
    for step in steps:
        inner = _inside(step) if is_graph(step.operation) else None
        if inner is None:
            yield step
            continue
        # What the inner model reads is what it is given, under another name.
        entries = zip(keras.tree.flatten(inner.inputs), step.reads, strict=True)
        given = {id(entry): tensor for entry, tensor in entries}
        for operation, reads, made in unfolded(inner.steps):
            yield Step(operation, [given.get(id(x), x) for x in reads], made)
        outputs = [given.get(id(x), x) for x in keras.tree.flatten(inner.outputs)]
        for output, made in zip(outputs, step.made, strict=True):
            yield Step(step.operation, [output], [made])


def _inside(step):
    """The calls inside an inner model, for what it is given; None where unknown."""
    model = step.operation
    if len(model.inputs) != len(step.reads):  # a mask beside the inputs
        return None
    view = keras.Model(model.inputs, model.outputs)
    return _called(view, [_sized(tensor) for tensor in step.reads])
