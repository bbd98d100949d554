"""The layers whose activation does something: layer sparsity counts them."""

from collections import Counter
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_invprune.contracts import unwrapped
from keras_invprune.graph.signs import (
    RECTIFIERS,
    check_inputs,
    is_rectifier,
    nonnegative_tensors,
)
from keras_invprune.graph.trace import Step, Trace, calls_its_graph, traced, unfolded
from keras_invprune.graph.weights import check_keras, is_graph, weights_by_key

LAYERS = ("Dense", "Conv1D", "Conv2D", "Conv3D")


def rectified_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Return the Dense and convolutional layers with a rectifier, by name.

    Layers of equal names have the paths of their kernels.

    A rectifier is an activation f with f(t) = t for t >= 0, such as ReLU. It may be
    the layer's own or the next layer. Layers with BatchNormalization in between are
    left out, since its statistics affect the signs as well.

    Args:
        model: A built Sequential or Functional model, inner models included.

    Raises:
        ValueError: If the model has no graph.
    """
    return {name: layer for name, (layer, _) in _rectified(traced_graph(model)).items()}


def removable_layers(
    model: keras.Model, nonnegative_inputs: bool | Sequence[str] = False
) -> list[str]:
    """Return the names of the rectified layers whose input is never negative.

    Without a negative weight or bias, their activation is the identity.

    Args:
        model: A built Sequential or Functional model.
        nonnegative_inputs: Whether the model's inputs are never negative, as pixels in
            [0, 1], or the names of the inputs that never are.

    Raises:
        ValueError: If the model has no graph, or has no such input.
    """
    trace = traced_graph(model)
    check_inputs(trace, nonnegative_inputs)
    found = _rectified(trace)
    assumed = {id(layer) for layer, _ in found.values()}
    safe = nonnegative_tensors(trace, nonnegative_inputs, assumed)
    return [name for name, (_, x) in found.items() if {*map(id, x)} <= safe]


def negative_norms(model: keras.Model) -> dict[str, float]:
    """Return ‖W₋‖ of each rectified layer, over the kernel and the bias.

    Args:
        model: A built Sequential or Functional model. Under masks, removed weights
            count as 0.

    Returns:
        ``{name: norm}``, 0 if no weight is negative.

    Raises:
        ValueError: If the model has no graph, or if weights are not finite.
    """
    inner, masks = unwrapped(model)
    layers = rectified_layers(inner)
    values = {
        id(weight.variable): np.asarray(weight.variable, "float64")
        * (np.asarray(masks[key]) if key in masks else 1)
        for key, weight in weights_by_key(inner).items()
    }
    return {name: _norm(name, layer, values) for name, layer in layers.items()}


def active_layers(model: keras.Model) -> list[str]:
    """Return the names of the active layers: S = {j : W_j has a negative entry}.

    Only layers with a rectifier count, see `negative_norms`: the output layer does not.

    Args:
        model: A built Sequential or Functional model.

    Example:
        >>> layers = [keras.layers.Dense(3, "relu", name=name) for name in "ab"]
        >>> model = keras.Sequential([keras.Input((2,)), *layers])
        >>> model.get_layer("b").set_weights([np.ones((3, 3)), np.zeros(3)])
        >>> active_layers(model)
        ['a']

    Raises:
        ValueError: If the model has no graph, or if weights are not finite.

    Source:
        Hebiri, Lederer: Layer Sparsity in Neural Networks (2006.15604). Biases, which
        the paper leaves out, count as weights.
    """
    return [name for name, norm in negative_norms(model).items() if norm > 0]


def traced_graph(model: keras.Model) -> Trace:
    """Return the calls of a model's graph, those of inner models in their places.

    Raises:
        ValueError: If the model has no graph.
    """
    check_graph(model)
    trace = traced(model)
    return trace._replace(steps=list(unfolded(trace.steps)))


def check_graph(model: keras.Model) -> None:
    """Raise unless a model is Sequential or Functional, and built.

    Raises:
        TypeError: If it is not a Keras 3 model.
        ValueError: If it is not built, or is a subclassed model.
    """
    check_keras(model, built=isinstance(model, keras.Sequential))
    if not is_graph(model) or not calls_its_graph(model):
        raise ValueError(
            "This needs the graph of a Sequential or Functional model. Received: "
            f"{model.name!r} ({type(model).__name__}), which has a `call` of its own. "
            "Build it from keras.Input and layers."
        )


def _rectified(trace: Trace) -> dict:
    """Return {name: (layer, the tensors that its calls read)}."""
    readers: dict[int, list] = {}
    for step in trace.steps:
        for tensor in step.reads:
            readers.setdefault(id(tensor), []).append(step.operation)
    calls: dict[int, list] = {}
    for step in trace.steps:
        if type(step.operation).__name__ in LAYERS:
            calls.setdefault(id(step.operation), []).append(step)
    every = Counter(steps[0].operation.name for steps in calls.values())
    found = {}
    for steps in calls.values():
        layer = steps[0].operation
        if all(_has_rectifier(step, readers) for step in steps):
            path = layer.kernel.path.rpartition("/")[0]
            name = path if every[layer.name] > 1 else layer.name
            found[name] = layer, [step.reads[0] for step in steps]
    return found


def _has_rectifier(step: Step, readers: Mapping[int, list]) -> bool:
    activation = step.operation.activation
    if activation in RECTIFIERS:
        return True
    after = readers.get(id(step.made[0]), [])
    linear = activation is keras.activations.linear
    return linear and len(after) == 1 and is_rectifier(after[0])


def _norm(name: str, layer: keras.Layer, values: Mapping[int, np.ndarray]) -> float:
    weights = [values[id(v)] for v in (layer.kernel, layer.bias) if v is not None]
    if not all(np.isfinite(value).all() for value in weights):
        raise ValueError(
            f"The weights of layer {name!r} are not finite: training has diverged. "
            "Lower the learning rate, or load an earlier checkpoint."
        )
    negative = [np.square(np.maximum(0, -value)).sum() for value in weights]
    return float(np.sqrt(sum(negative)))
