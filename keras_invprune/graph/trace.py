"""The calls of a Sequential or Functional model, with the tensors of each.

`layer.input` and `layer.output` belong to a layer's first call, which may have been
elsewhere: for an inner model, in its own graph; for a shared layer, in another model.
Therefore the model is called again, layer by layer, and each call is recorded.
"""

import contextlib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.weights import is_graph


class Step(NamedTuple):
    """One call of a layer, an inner model or an operation.

    `arguments` are its (args, kwargs), in which the tensors of `reads` occur.
    """

    operation: Any
    reads: list
    made: list
    arguments: tuple = ((), {})


@keras.saving.register_keras_serializable("keras_invprune")
class FirstStep(keras.Operation):
    """Takes the first step of a sequence, [batch, steps, ...] to [batch, ...]."""

    def call(self, x: Tensor) -> Tensor:
        """Return it."""
        return x[:, 0]


@keras.saving.register_keras_serializable("keras_invprune")
class EachStep(keras.Operation):
    """Has the same value at each step of a sequence, which may come with a mask."""

    def call(self, x: Tensor, sequence: Tensor) -> Tensor:
        """Return `x` for each step of `sequence`, as [batch, steps, ...]."""
        return keras.ops.repeat(x[:, None], sequence.shape[1], axis=1)


class Trace(NamedTuple):
    """A model's calls, with its symbolic inputs and outputs in their structures."""

    inputs: Any
    outputs: Any
    steps: list[Step]


def traced(model: keras.Model, assumed: int | None = None) -> Trace:
    """Call the layers of a graph model again and return the calls.

    Args:
        model: A Sequential or Functional model.
        assumed: None to use the model's own inputs. Or the length to assume for axes
            of unknown length, so that all shapes are known.
    """
    if isinstance(model, keras.Sequential):
        view = keras.Model(model.inputs[0], model.outputs[0])
    else:  # keeps dicts of inputs and outputs
        view = keras.Model(model.input, model.output)
    if assumed is None:
        return _called(view, view.input)
    inputs = [_sized(x, assumed, x.name) for x in view.inputs]
    return _called(view, keras.tree.pack_sequence_as(view.input, inputs))


def _sized(
    tensor: keras.KerasTensor, assumed: int | None = None, name: str | None = None
) -> keras.KerasTensor:
    """Return a new input like `tensor`, with `assumed` for axes of unknown length."""
    batch, *lengths = tensor.shape
    shape = (batch, *(length or assumed for length in lengths))
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name)


def _called(view: keras.Model, inputs: Nested) -> Trace:
    steps = []

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Nested:
        step, result = _step(operation, args, kwargs)
        steps.append(step)
        return result

    twin = keras.models.clone_model(
        view, inputs, clone_function=lambda layer: layer, call_function=call
    )
    return Trace(inputs, twin.output, steps)


def _step(operation: keras.Operation, args: tuple, kwargs: dict) -> tuple[Step, Nested]:
    """Return a call and what it makes."""
    given = args, kwargs
    with _lengths_found(operation, given):
        result = operation(*args, **kwargs)
    return Step(operation, _tensors(given), _tensors(result), given), result


@contextlib.contextmanager
def _lengths_found(operation: keras.Operation, given: tuple) -> Iterator[None]:
    """Let an EinsumDense tell the lengths that its config leaves open, for one call."""
    if type(operation) is not keras.layers.EinsumDense or "." in operation.equation:
        yield
        return
    shape = _output_shape(operation, _tensors(given)[0])
    operation.compute_output_shape = lambda input_shape: shape
    try:
        yield
    finally:
        del operation.compute_output_shape


def _output_shape(layer: keras.layers.EinsumDense, tensor: keras.KerasTensor) -> tuple:
    """Return the shape of an EinsumDense output; None where nothing tells a length."""
    operands, target = layer.equation.replace(" ", "").split("->")
    source, _ = operands.split(",")
    sizes = dict(zip(source, tensor.shape, strict=True))
    pairs = zip(target, (None, *layer.partial_output_shape), strict=True)
    return tuple(sizes.get(x) or length for x, length in pairs)


def named(operation: Any, arguments: tuple) -> dict[str, Any]:
    """Return the arguments of a call by name, also those that are given by position.

    Args:
        operation: The layer or operation; None if the call returns what it reads.
        arguments: Its (args, kwargs).
    """
    args, kwargs = arguments
    if operation is None:
        return dict(kwargs)
    names = [
        name
        for name, parameter in inspect.signature(operation.call).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _tensors(structure: Nested) -> list:
    flat = keras.tree.flatten(structure)
    return [part for part in flat if isinstance(part, keras.KerasTensor)]


def unfolded(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps; the calls inside an inner model precede the model's own."""
    for step in steps:
        inner = _inside(step) if is_graph(step.operation) else None
        if inner is None:
            yield step
            continue
        # Replace the inner model's inputs by the tensors that it is called with.
        entries = zip(keras.tree.flatten(inner.inputs), step.reads, strict=True)
        given = {id(entry): tensor for entry, tensor in entries}
        for inside in unfolded(inner.steps):
            yield inside._replace(reads=[given.get(id(x), x) for x in inside.reads])
        outputs = [given.get(id(x), x) for x in keras.tree.flatten(inner.outputs)]
        for output, made in zip(outputs, step.made, strict=True):
            yield Step(step.operation, [output], [made])


def entered(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps like `unfolded`, and a step for each entry to an inner model.

    The operation of such a step is the `InputLayer`, that of an exit is None. The steps
    inside read the tensors that an entry makes, so the arguments of all steps hold the
    tensors that they read. What `TimeDistributed` calls is between `FirstStep` and
    `EachStep`. An inner model or a wrapper that is always in training mode, or a model
    that has a `call` of its own, stays one step.
    """
    for step in steps:
        inner = _inside(step) if _can_be_entered(step) else None
        if inner is None:
            at_one = _at_one_step(step)
            yield from entered(at_one) if at_one else [step]
            continue
        entries = keras.tree.flatten(inner.inputs)
        doors = entry_layers(step.operation)
        for door, given, entry in zip(doors, step.reads, entries, strict=True):
            yield Step(door, [given], [entry], ((given,), {}))
        yield from entered(inner.steps)
        outputs = keras.tree.flatten(inner.outputs)
        for output, made in zip(outputs, step.made, strict=True):
            yield Step(None, [output], [made], ((output,), {}))


def _can_be_entered(step: Step) -> bool:
    trained = named(step.operation, step.arguments).get("training")
    return is_graph(step.operation) and calls_its_graph(step.operation) and not trained


def _at_one_step(step: Step) -> list[Step]:
    """Return the calls of `TimeDistributed` at one step; none if they are unknown."""
    wrapper = step.operation
    trained = named(wrapper, step.arguments).get("training")
    if type(wrapper) is not keras.layers.TimeDistributed or trained:
        return []
    if len(step.reads) != 1:  # a mask is passed as well
        return []
    try:
        entry, first = _step(FirstStep(name=wrapper.name), (step.reads[0],), {})
        inner, last = _step(wrapper.layer, (first,), {})
    except Exception:  # as the layer may on symbolic calls
        return []
    if len(inner.made) != 1:
        return []
    given = last, step.reads[0]
    exit_ = Step(EachStep(name=wrapper.name), [*given], step.made, (given, {}))
    return [entry, inner, exit_]


def calls_its_graph(model: keras.Model) -> bool:
    """Return whether a graph model computes its graph and nothing else."""
    x = keras.Input(())
    known = keras.Sequential, type(keras.Model(x, x))
    return any(type(model).call is kind.call for kind in known)


def entry_layers(model: keras.Model) -> list[keras.layers.InputLayer]:
    """Return the `InputLayer` of each of a graph model's inputs."""
    view = keras.Model(model.inputs, model.outputs)
    kind = keras.layers.InputLayer
    found = {id(x.output): x for x in view.layers if isinstance(x, kind)}
    return [found[id(x)] for x in model.inputs]


def _inside(step: Step) -> Trace | None:
    """Return the calls inside an inner model for its inputs here; None if unknown."""
    model = step.operation
    if len(model.inputs) != len(step.reads):  # a mask is passed as well
        return None
    view = keras.Model(model.inputs, model.outputs)
    return _called(view, [_sized(tensor) for tensor in step.reads])
