"""Refuses layers whose calls run when no masks are read.

Rematerialization repeats a call for the gradients after it has ended. The masked
weights would get no gradient and stay untrained, without an error. A call that is a
`tf.function` was traced before there were masks, when the graph was made, and its trace
is used again. The weights would be trained as if they had no masks.
"""

from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf
from keras import ops, tree

from keras_invprune.contracts import Nested
from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.weights import walk


def check_scopes(wrapper: keras.Layer, masked: Iterable[keras.Variable]) -> None:
    """Raise if a layer that reads masked weights is called without its masks.

    It was made inside `keras.RematScope`, or its `call` is a `tf.function`.

    Args:
        wrapper: The layer that sets the masks.
        masked: The masked weights inside it.

    Raises:
        ValueError: If there is such a layer.
    """
    own = {id(variable) for variable in masked}
    reading = {
        path.removeprefix("layer/"): layer  # wrapped: users know it as the model
        for path, layer in walk(wrapper)
        if any(id(v) in own for v in layer.weights)
    }
    traced = [
        type(layer).__name__
        for layer in reading.values()
        if isinstance(layer.call, tf.types.experimental.PolymorphicFunction)
    ]
    if traced:
        raise ValueError(
            f"A `call` that is a tf.function cannot be masked: {traced[-3:]}. Remove "
            "the decorator: `fit` and `predict` compile all layers together."
        )
    again = [path for path, layer in reading.items() if _is_recomputed(layer)]
    again = [path for path in again if path not in ("", "layer")] or again
    if again:
        raise ValueError(
            f"Layers made inside keras.RematScope cannot be masked: {again[-3:]}. Make "
            "or load the model outside of the scope, or call `prune(copy=True)` "
            "outside of it: the copy keeps its activations."
        )


def _is_recomputed(layer: keras.Layer) -> bool:
    scope = getattr(layer, "_remat_mode", None)  # Keras has no public name for it
    if scope is None or scope.mode in (None, "activations"):
        return False
    return scope.mode != "list_of_layers" or layer.name in scope.layer_names


def check_gradients(
    pruned: Callable,
    inner: keras.Model,
    masked: Mapping[str, keras.Variable],
    masks: Mapping[str, keras.Variable],
) -> None:
    """Raise if a weight has a gradient in the plain model, but none under its mask.

    Or if the mask itself has none. Only layers that are not Keras's own are suspected:
    `keras.remat`, `tf.recompute_grad` and `tf.function` are called in their code.

    Args:
        pruned: The model under masks.
        inner: The plain model.
        masked: ``{key: variable}``.
        masks: ``{key: variable of 0 and 1}``.

    Raises:
        ValueError: If there is such a weight.
    """
    if not any(_is_foreign(layer) for _, layer in walk(inner)):
        return
    without = _without_gradient(pruned, inner, masked)
    if without:
        without -= _without_gradient(inner, inner, masked)
    if without:
        raise ValueError(
            "Masked weights would not be trained, since they get no gradient: "
            f"{sorted(without)[:3]}. Their layers are probably computed again for the "
            "gradients, by keras.remat or tf.recompute_grad. Call these layers "
            "directly, or leave their weights out of `select`."
        )
    unread = _without_gradient(pruned, inner, masks, training=False)
    if unread:
        unread -= _without_gradient(inner, inner, masked, training=False)
    if unread:
        raise ValueError(
            f"Masks would not be read in training: {sorted(unread)[:3]}. Their layers "
            "are probably called in a tf.function. Remove the decorator: `fit` and "
            "`predict` compile all layers together."
        )


def _is_foreign(layer: keras.Layer) -> bool:
    """Return whether the code of a layer's call is not Keras's own."""
    of_keras = type(layer).__module__.partition(".")[0] == "keras"
    return bool(layer.weights) and (not of_keras or "call" in vars(layer))


def _without_gradient(
    call: Callable,
    inner: keras.Model,
    variables: Mapping[str, keras.Variable],
    training: bool = True,
) -> set[str]:
    """Return the keys of variables that the outputs of a call do not depend on.

    Nothing is computed: the call is only traced. The result is empty where that fails.
    """
    inputs, found = input_structure(inner), []

    def trace(x: Nested) -> None:
        values = [variable.value for variable in variables.values()]
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = tree.flatten(call(x, training=training))
            total = sum(ops.sum(ops.cast(output, "float32")) for output in outputs)
        found.extend(tape.gradient(total, values))

    specs = tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), inputs)
    try:
        tf.function(trace).get_concrete_function(specs)
    except Exception:  # the call may need data, and its own error comes in training
        return set()
    return {
        key for key, gradient in zip(variables, found, strict=True) if gradient is None
    }
