"""Which weights a model has, what each is called, and which may be pruned.

A weight's *key* is its object path in the caller's model: layer names (attribute
names inside custom layers and subclassed models) joined with "/", then the
weight's own name, e.g. ``"encoder/dense/kernel"``. A weight without a name goes by
the attribute that holds it. Unlike ``variable.path`` it
is unique in nested models and the same before wrapping, after wrapping and
after stripping.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import keras

PRUNABLE_NAMES = ("kernel", "recurrent_kernel", "pointwise_kernel")
ON_REQUEST_NAMES = ("depthwise_kernel", "embeddings")
FROZEN = "frozen: not trainable"
LISTED = 9  # weights that a message names

# Keras names their kernel like any other, but no input is summed with another in it.
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)

# Their weights have as many axes as the input axes that they tell apart.
ELEMENTWISE = (
    keras.layers.PReLU,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.RMSNormalization,
    keras.layers.SpectralNormalization,  # but for those of the layer inside
)

# In these Keras lists again what other attributes hold, in "_self_..." TensorFlow does.
LISTED_AGAIN = ("_layers", "_trainable_variables", "_non_trainable_variables")
UNNAMED = re.compile(r"variable(_\d+)?")  # counted over all models of the process

Select = Callable[[str, keras.layers.Layer], bool]


class Weight(NamedTuple):
    """A weight with the layer that owns it."""

    layer: keras.layers.Layer
    variable: keras.Variable


def on_request(layer, variable) -> bool:
    """Whether a weight is pruned only when it is selected."""
    return variable.name in ON_REQUEST_NAMES or isinstance(layer, DEPTHWISE)


def is_graph(layer) -> bool:
    """Whether `layer` is a Sequential or Functional model that has symbolic tensors."""
    # A Sequential has none before it is built, nor where a layer infers no shape.
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def sublayers(layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields (name, layer) of the layers directly inside `layer`."""
    listed = is_graph(layer) or isinstance(layer, keras.Sequential)
    if listed:  # names are part of the config, hence stable
        yield from ((child.name, child) for child in layer.layers)
    yield from held(layer, keras.layers.Layer, public=listed)


def held(layer, kind, public=False):
    """Yields (name, object) of the objects of a kind in a layer's attributes.

    With `public`, in those alone whose names do not begin with an underscore.
    """
    for attribute, value in vars(layer).items():
        hidden = attribute in LISTED_AGAIN or attribute.startswith("_self_")
        if not (hidden or (public and attribute.startswith("_"))):
            yield from _found_in(value, attribute.lstrip("_"), kind)


def _found_in(value, name, kind):
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _found_in(child, f"{name}_{key}", kind)
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _found_in(child, f"{name}_{index}", kind)


def walk(layer, path="", seen=None) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields (path, layer) for `layer` and all layers inside it, each once."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in sublayers(layer):
        yield from walk(child, f"{path}/{name}" if path else name, seen)


def set_trainable(layers, trainable):
    """Freezes layers with all inside them, or the reverse."""
    for outer in layers:
        for _, layer in walk(outer):  # a Sequential that was loaded does not pass it on
            layer.trainable = trainable


def own_metrics(model) -> list[keras.metrics.Metric]:
    """What layers hold and update themselves, not what `model` is compiled with."""
    return [
        metric
        for _, layer in walk(model)
        for _, metric in held(
            layer, keras.metrics.Metric, public=isinstance(layer, keras.Model)
        )
    ]


def weights_by_key(model) -> dict[str, Weight]:
    """All trainable and non-trainable weights of `model` by key.

    Args:
        model: A built Keras 3 layer or model.

    Returns:
        ``{key: Weight(layer, variable)}`` in the order of the layers.
    """
    found, seen = {}, set()
    for path, layer in walk(model):
        # Some may be a tied layer's, which holds the variable of another one.
        inner = {id(v) for _, child in sublayers(layer) for v in child.weights} | seen
        own = [variable for variable in layer.weights if id(variable) not in inner]
        for name, variable in zip(_names(layer, own), own, strict=True):
            key = f"{path}/{name}" if path else name
            while key in found:
                key += "'"
            found[key] = Weight(layer, variable)
        seen.update(id(variable) for variable in own)
    return found


def _names(layer, variables) -> list[str]:
    """The names of a layer's own weights; of those without, their attributes'."""
    if not any(UNNAMED.fullmatch(variable.name) for variable in variables):
        return [variable.name for variable in variables]
    attributes = {id(v): name for name, v in held(layer, keras.Variable)}
    return [
        attributes.get(id(v), f"weight_{index}")
        if UNNAMED.fullmatch(v.name)
        else v.name
        for index, v in enumerate(variables)
    ]


def prunable_weights(model, select: Select | Iterable[str] | str | None = None):
    """The weights of `model` that `select` lets be pruned.

    Args:
        model: A built Keras 3 model.
        select: None for the default (every kernel of rank 2 and more whose name
            is one of `PRUNABLE_NAMES`, except those of the head: the last Dense
            layer before each output), a callable ``(key, layer) -> bool`` asked
            for every kernel, depthwise kernel and embedding, or one or several
            keys or layer paths (all that lies under them).

    Returns:
        ``{key: keras.Variable}``.

    Raises:
        ValueError: If nothing is left to prune (says why kernels are not trained), or
            a name in `select` fits nothing.
    """
    named = weights_by_key(model)
    candidates = {
        key: weight for key, weight in named.items() if _can_be_masked(weight.variable)
    }
    if select is None:
        heads = {id(layer) for layer in head_layers(model)}
        chosen = {
            key
            for key, (layer, variable) in candidates.items()
            if not on_request(layer, variable) and id(layer) not in heads
        }
    elif callable(select):
        chosen = {key for key, (layer, _) in candidates.items() if select(key, layer)}
    else:
        names = [select] if isinstance(select, str) else _names_in(select)
        chosen = _under(names, candidates, named)
    if not chosen:
        reasons = _reasons(
            (key, named[key]) for key in named.keys() - candidates.keys()
        )
        raise ValueError(
            "There is nothing to prune: no weight is both prunable and selected. "
            f"Prunable weights of this model: {sorted(candidates) or 'none'}.{reasons} "
            "By default the classification head stays dense; "
            "`select=[...]` names weights or layers to prune."
        )
    return {key: w.variable for key, w in candidates.items() if key in chosen}


def _names_in(select) -> list[str]:
    names = list(select) if isinstance(select, Iterable) else [select]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            "`select` must be a function (key, layer) -> bool, or one or several names "
            f"of weights or layers. Received: select={select!r}."
        )
    return names


def _can_be_masked(variable) -> bool:
    return (
        variable.trainable
        and len(variable.shape) >= 2
        and variable.name in PRUNABLE_NAMES + ON_REQUEST_NAMES
        and keras.backend.is_float_dtype(variable.dtype)
    )


def why_fixed(layer, variable) -> str | None:
    """Why a weight cannot be pruned because it is not trained; None if it is."""
    if not keras.backend.is_float_dtype(variable.dtype):
        return f"quantized to {variable.dtype}: prune before quantizing"
    if variable.trainable:
        return None
    if getattr(layer, "lora_enabled", False):
        return "frozen by LoRA, which trains two small matrices next to it"
    return FROZEN


def _reasons(weights) -> str:
    """A sentence on the kernels that are not trained, with a space before it."""
    names = PRUNABLE_NAMES + ON_REQUEST_NAMES
    fixed = {
        key: why_fixed(layer, variable)
        for key, (layer, variable) in sorted(weights, key=lambda item: item[0])
        if variable.name in names and len(variable.shape) >= 2
    }
    parts = [f"{key!r} is {why}" for key, why in fixed.items() if why]
    more = f" and {len(parts) - LISTED} more" if len(parts) > LISTED else ""
    return f" {'; '.join(parts[:LISTED])}{more}." if parts else ""


def _under(names, candidates, named) -> set[str]:
    chosen = set()
    for name in names:
        fitting, fixed = (
            {k for k in known if k == name or k.startswith(f"{name}/")}
            for known in (candidates, named)
        )
        if not fitting:
            reasons = _reasons((key, named[key]) for key in fixed)
            raise ValueError(
                f"`select` names {name!r}, which is not a prunable weight and holds "
                f"none.{reasons} Prunable weights of this model: {sorted(candidates)}."
            )
        chosen |= fitting
    return chosen


def head_layers(model) -> list[keras.layers.Layer]:
    """The layers that make the model's outputs: their kernels stay dense.

    For one output, the last layer with a kernel, if it is a Dense layer; for
    several, each Dense layer that an output comes from, directly or through layers
    without weights (an activation, a reshape). A subclassed model is called once,
    symbolically, to see which layers come last, as many as it has outputs.
    """
    if is_graph(model) and len(model.outputs) > 1:
        heads = [head for output in model.outputs for head in _behind(model, output)]
        found = list({id(head): head for head in heads}.values())
    else:
        weights = weights_by_key(model).values()
        found = [layer for layer, variable in weights if _can_be_masked(variable)]
        found = found[-1:] if is_graph(model) else _last_called(model, found)
    return [layer for layer in found if isinstance(layer, keras.layers.Dense)]


def kernels(model) -> dict:
    """The weights of two axes and more, by key.

    But for the biases of attention and GRU layers, which have two axes as well, and
    for what a layer multiplies number by number, such as the slopes of PReLU.
    """
    return {
        key: weight
        for key, weight in weights_by_key(model).items()
        if len(weight.variable.shape) > 1
        and weight.variable.name != "bias"
        and not isinstance(weight.layer, ELEMENTWISE)
    }


@contextlib.contextmanager
def observed(layers, see):
    """Calls ``see(layer, output)`` for each output of these layers meanwhile.

    Layers report their outputs to their activity regularizers, which makes those the
    one public place where inner outputs can be observed, in subclassed models too.
    Only what this thread puts out is seen: replicas have a thread each, and take turns
    in the middle of a call.
    """
    here = threading.get_ident(), see
    try:
        for layer in layers:
            if not isinstance(layer.activity_regularizer, _Observer):
                layer.activity_regularizer = _Observer(layer)
            layer.activity_regularizer.listeners.append(here)
        yield
    finally:
        for layer in layers:
            observer = layer.activity_regularizer
            if here in getattr(observer, "listeners", ()):
                observer.listeners.remove(here)
                if not observer.listeners:
                    layer.activity_regularizer = observer.regularizer


class _Observer:
    """Stands in the place of a layer's regularizer while anybody listens."""

    def __init__(self, layer):
        self.layer, self.regularizer = layer, layer.activity_regularizer
        self.listeners = []  # pairs (thread, function)

    def __call__(self, output):
        for thread, see in list(self.listeners):
            if thread == threading.get_ident():
                see(self.layer, output)
        own = self.regularizer
        return keras.ops.zeros(()) if own is None else own(output)


def symbolic_inputs(model):
    """Symbolic tensors like those a subclassed model was built with, () if unknown."""
    shapes = (model.get_build_config() or {}).get("input_shape", ())
    return keras.tree.map_shape_structure(keras.KerasTensor, shapes)


def _last_called(model, layers):
    """Those of `layers` that the call of a subclassed model reaches last."""
    inputs = symbolic_inputs(model)
    if inputs == ():
        return layers[-1:]
    called = []
    try:
        with observed(layers, lambda layer, output: called.append(layer)):
            outputs = keras.tree.flatten(model.compute_output_spec(inputs))
    except Exception:  # a call that needs values: the order of its attributes then
        return layers[-1:]
    return (called or layers)[-len(outputs) :]


def _behind(model, output) -> list:
    """The first layer with weights, going back from an output.

    An inner model stands for all its heads.
    """
    # In the order of calls, and those alone that lead to this output: before the last
    # of a chain of operations of one input stands what made that input.
    for operation in reversed(keras.Model(model.inputs, output).operations):
        if getattr(operation, "weights", None):
            return head_layers(operation) if is_graph(operation) else [operation]
        if isinstance(operation, keras.layers.InputLayer):
            continue  # of the model, though this output does not depend on it
        if not isinstance(operation.input, keras.KerasTensor):  # several inputs
            return []
    return []
