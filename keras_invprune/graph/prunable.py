"""Which weights may be pruned, and which layers are heads, which stay dense."""

from collections.abc import Callable, Iterable, Mapping

import keras

from keras_invprune.graph.inputs import symbolic_inputs
from keras_invprune.graph.observe import observed
from keras_invprune.graph.weights import Weight, is_graph, weights_by_key

PRUNABLE_NAMES = ("kernel", "recurrent_kernel", "pointwise_kernel")
ON_REQUEST_NAMES = ("depthwise_kernel", "embeddings")
FROZEN = "frozen: not trainable"
LISTED = 9  # maximum number of weights that a message names
# Keras calls their weight "kernel", too, but it does not sum over inputs.
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
Select = Callable[[str, keras.layers.Layer], bool]


def on_request(layer: keras.Layer, variable: keras.Variable) -> bool:
    """Return whether a weight is pruned only when it is selected."""
    return variable.name in ON_REQUEST_NAMES or isinstance(layer, DEPTHWISE)


def is_depthwise(layer: keras.Layer, variable: keras.Variable) -> bool:
    """Return whether a weight filters each input channel by itself."""
    return variable.name == "depthwise_kernel" or isinstance(layer, DEPTHWISE)


def prunable_weights(
    model: keras.Model,
    select: Select | Iterable[str] | str | None = None,
    weights: Mapping[str, Weight] | None = None,
) -> dict[str, keras.Variable]:
    """Return the weights of `model` to prune.

    Args:
        model: A built Keras 3 model.
        select: None for the default: every kernel of rank >= 2 whose name is one of
            `PRUNABLE_NAMES`, except those of the heads, the last Dense layers before
            the outputs. Or a callable ``(key, layer) -> bool``, called for every
            kernel, depthwise kernel and embedding. Or one or several keys or layer
            paths; a path selects all weights below it.
        weights: The result of `weights_by_key(model)`; None to compute it.

    Returns:
        ``{key: keras.Variable}``.

    Raises:
        TypeError: If `select` is none of these.
        ValueError: If there is nothing to prune, or if a name in `select` matches no
            prunable weight. The message says why kernels are not trained.
    """
    named = weights_by_key(model) if weights is None else weights
    candidates = {
        key: weight for key, weight in named.items() if _can_be_masked(weight.variable)
    }
    if select is None:
        heads = {id(layer) for layer in head_layers(model, named)}
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
            "By default, the classification head stays dense. Name weights or layers "
            "to prune with `select=[...]`."
        )
    return {key: w.variable for key, w in candidates.items() if key in chosen}


def _names_in(select: Iterable[str]) -> list[str]:
    names = list(select) if isinstance(select, Iterable) else [select]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            "`select` must be a function (key, layer) -> bool, or one or several names "
            f"of weights or layers. Received: select={select!r}."
        )
    return names


def _has_prunable_name(variable: keras.Variable) -> bool:
    """Return whether a weight could be masked, if it is trained."""
    names = PRUNABLE_NAMES + ON_REQUEST_NAMES
    return len(variable.shape) >= 2 and variable.name in names


def _can_be_masked(variable: keras.Variable) -> bool:
    return (
        _has_prunable_name(variable)
        and variable.trainable
        and keras.backend.is_float_dtype(variable.dtype)
    )


def why_fixed(layer: keras.Layer, variable: keras.Variable) -> str | None:
    """Return why a weight is not trained and cannot be pruned, or None if it can."""
    if not keras.backend.is_float_dtype(variable.dtype):
        return f"quantized to {variable.dtype}: prune before quantizing"
    if variable.trainable:
        return None
    if getattr(layer, "lora_enabled", False):
        return "frozen by LoRA, which trains two small matrices next to it"
    return FROZEN


def _reasons(weights: Iterable[tuple[str, Weight]]) -> str:
    """Return why weights cannot be pruned, in sentences after a space, or ""."""
    weights = sorted(weights, key=lambda item: item[0])
    names = PRUNABLE_NAMES + ON_REQUEST_NAMES
    fixed = {
        key: why_fixed(layer, variable)
        for key, (layer, variable) in weights
        if _has_prunable_name(variable)
    }
    parts = [f"{key!r} is {why}" for key, why in fixed.items() if why]
    others = [
        key
        for key, (_, variable) in weights
        if variable.trainable
        and len(variable.shape) >= 2
        and variable.name not in names
    ]
    if others and not parts:
        return (
            f" Only weights named {', '.join(names)} are pruned, and {others[:LISTED]} "
            'are not. In your own layer, use `add_weight(name="kernel", ...)`.'
        )
    more = f" and {len(parts) - LISTED} more" if len(parts) > LISTED else ""
    return f" {'; '.join(parts[:LISTED])}{more}." if parts else ""


def _under(
    names: Iterable[str], candidates: Mapping[str, Weight], named: Mapping[str, Weight]
) -> set[str]:
    chosen = set()
    for name in names:
        fitting, fixed = (
            {k for k in known if k == name or k.startswith(f"{name}/")}
            for known in (candidates, named)
        )
        if not fitting:
            reasons = _reasons((key, named[key]) for key in fixed)
            raise ValueError(
                "`select` must name prunable weights or layers that have some. "
                f"Received: {name!r}, which matches none.{reasons} Prunable weights of "
                f"this model: {sorted(candidates)}."
            )
        chosen |= fitting
    return chosen


def head_layers(
    model: keras.Model, weights: Mapping[str, Weight] | None = None
) -> list[keras.layers.Layer]:
    """Return the layers that make the model's outputs. Their kernels stay dense.

    They are the same layers whether their kernels are trained, frozen or quantized.

    For one output, this is the last layer with a kernel, if it is a Dense layer. For
    several outputs, these are the Dense layers that make them, directly or through
    layers without weights (an activation, a reshape). A subclassed model is called
    once, symbolically; its last layers, as many as it has outputs, are taken.

    Args:
        model: A built Keras 3 model.
        weights: The result of `weights_by_key(model)`; None to compute it.
    """
    if is_graph(model) and len(model.outputs) > 1:
        heads = [head for output in model.outputs for head in _behind(model, output)]
        found = list({id(head): head for head in heads}.values())
    else:
        weights = weights_by_key(model) if weights is None else weights
        found = [layer for layer, v in weights.values() if _has_prunable_name(v)]
        found = found[-1:] if is_graph(model) else _last_called(model, found)
    return [layer for layer in found if isinstance(layer, keras.layers.Dense)]


def _last_called(model: keras.Model, layers: list[keras.Layer]) -> list[keras.Layer]:
    """Return the layers that a subclassed model calls last, one for each output."""
    inputs = symbolic_inputs(model)
    if inputs == ():
        return layers[-1:]
    called = []
    try:
        with observed(layers, lambda layer, output: called.append(layer)):
            outputs = keras.tree.flatten(model.compute_output_spec(inputs))
    except Exception:  # the call needs values: fall back to the order of attributes
        return layers[-1:]
    return (called or layers)[-len(outputs) :]


def _behind(model: keras.Model, output: keras.KerasTensor) -> list:
    """Return the first layer with weights, going back from an output.

    An inner model is replaced by all of its heads.
    """
    # Only the operations that lead to this output, in the order of their calls: in a
    # chain of operations with one input each, every operation follows its input's.
    for operation in reversed(keras.Model(model.inputs, output).operations):
        if getattr(operation, "weights", None):
            return head_layers(operation) if is_graph(operation) else [operation]
        if isinstance(operation, keras.layers.InputLayer):
            continue  # an input of the model that this output does not depend on
        if not isinstance(operation.input, keras.KerasTensor):  # several inputs
            return []
    return []
