"""The only module that imports TF-MOT, and tf_keras with it.

Importing TF-MOT sets TF_USE_LEGACY_KERAS=1, which changes what `tf.keras` means in
this process and its child processes. This module resolves `tf.keras` first and
restores the environment afterwards.
"""

import functools
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard, cast

import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Arrays, Tensor

VARIABLE = "TF_USE_LEGACY_KERAS"
TfKerasModel = Any
"""A model of tf_keras, which is imported when it is used."""
TfKerasLayer = Any
"""A layer of tf_keras."""


def _import_tfmot() -> Any:
    _ = tf.keras.layers  # resolves the lazy module as the user has set it
    before = os.environ.get(VARIABLE)
    try:
        with warnings.catch_warnings():
            # TF-MOT 0.8.1 compares versions with distutils.
            warnings.simplefilter("ignore", DeprecationWarning)
            import tensorflow_model_optimization
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
    return tensorflow_model_optimization.sparsity.keras


sparsity = _import_tfmot()
PruningSchedule = sparsity.PruningSchedule

# Never changes the masks. It is one of TF-MOT's own schedules, since TF-MOT's loader
# knows no others; it begins after the end of any training.
NEVER = sparsity.ConstantSparsity(0.0, begin_step=2**62)


def is_own(schedule: object) -> TypeGuard[Any]:
    """Return whether the class of `schedule` is TF-MOT's own."""
    return type(schedule).__module__.startswith("tensorflow_model_optimization")


def ask(schedule: Any, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Call one of TF-MOT's schedules as its wrapper does: in a graph, step by step.

    Called eagerly, or with all steps at once, a power may differ in its last bit; the
    graph also rewrites 1 - s. Either may change a count by one weight where it is
    rounded from a half.

    Args:
        schedule: A schedule for which `is_own` is true.
        steps: Array of steps, shape [n].

    Returns:
        Two arrays of shape [n]: whether to prune, and the sparsity in float64, so
        that 1 - sparsity equals TF-MOT's float32 density exactly.
    """
    config, kind = schedule.get_config()["config"], cast(Any, type(schedule))
    should_prune, density = _graph_of(kind, tuple(config.items()))(steps)
    return should_prune.numpy(), 1.0 - density.numpy().astype("float64")


@functools.lru_cache(maxsize=8)  # tracing takes longer than running it for an epoch
def _graph_of(cls: Any, config: tuple) -> Callable:
    schedule = cls(**dict(config))

    def answer(step: Tensor) -> tuple[Tensor, Tensor]:
        should_prune, sparsity = schedule(step)
        return should_prune, 1 - sparsity

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def graph(steps: Tensor) -> tuple[Tensor, Tensor]:
        return tf.map_fn(answer, steps, fn_output_signature=(tf.bool, tf.float32))

    return graph


def is_tf_keras(thing: object) -> bool:
    """Return whether `thing` is a model or callback of tf_keras (Keras 2)."""
    return any(
        cls.__module__.split(".")[0] == "tf_keras" for cls in type(thing).__mro__
    )


def prune(
    model: TfKerasModel,
    make_masks: Callable[[Arrays], Arrays],
    select: Callable | Iterable[str] | str | None = None,
    matrices: bool = False,
) -> TfKerasModel:
    """Wrap a tf_keras model in TF-MOT's own wrappers and set their masks once.

    Args:
        model: A built tf_keras Sequential or Functional model, left unchanged.
        make_masks: ``{key: array} -> {key: bool array}``; weights that it leaves out
            stay dense.
        select: None for all weights that TF-MOT prunes, except a Dense head; a
            callable ``(key, layer) -> bool``; or an iterable of keys or layer paths.
        matrices: Whether `make_masks` needs arrays whose last two axes are [inputs,
            outputs]. Transposed convolutions store them in the reverse order.

    Returns:
        The wrapped model. Train it with TF-MOT's `UpdatePruningStep`; strip it with
        `strip_pruning`.

    Raises:
        TypeError: If `model` is neither a Sequential nor a Functional model.
        ValueError: If `model` is wrapped already, if there is nothing to prune, or if
            a name in `select` matches no prunable weight.
    """
    wrapped = _wrap(_copy(model))
    weights = _prunable_weights(wrapped)
    chosen = _chosen(wrapped, weights, select)
    turned = {key for key in chosen if matrices and _is_transposed(weights[key][0])}

    def turn(arrays: Arrays) -> Arrays:
        swapped = {k: np.swapaxes(arrays[k], -1, -2) for k in turned & arrays.keys()}
        return arrays | swapped

    values = {key: weights[key][1].numpy() for key in chosen}
    for key, value in turn(make_masks(turn(values))).items():
        _, variable, mask = weights[key]
        mask.assign(tf.cast(value, mask.dtype))
        variable.assign(variable * mask)
    return wrapped


def _is_transposed(layer: TfKerasLayer) -> bool:
    return type(layer).__name__.endswith("Transpose")


def strip(model: TfKerasModel) -> TfKerasModel:
    """Apply all masks to the weights, then run TF-MOT's `strip_pruning`.

    TF-MOT itself applies the masks only at the end of an epoch.

    Raises:
        ValueError: If `model` has no pruning wrappers.
    """
    wrappers = _wrappers(model)
    if not wrappers:
        raise ValueError(f"Model {model.name!r} has no pruning wrappers of TF-MOT.")
    for wrapper in wrappers.values():
        for variable, mask, _ in wrapper.pruning_vars:
            variable.assign(variable * mask)
    return sparsity.strip_pruning(model)


def _copy(model: TfKerasModel) -> TfKerasModel:
    import tf_keras

    if not isinstance(model, tf_keras.Model) or not (
        isinstance(model, tf_keras.Sequential) or getattr(model, "inputs", None)
    ):
        raise TypeError(
            "A tf_keras model must be Sequential or Functional: TF-MOT prunes no "
            f"others. Received: {model!r} of type {type(model).__name__}."
        )
    if _wrappers(model):
        raise ValueError(
            f"Model {model.name!r} already has pruning wrappers of TF-MOT. Call "
            "strip_pruning(model) first."
        )
    copied = tf_keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    return copied


def _wrap(layer: TfKerasLayer) -> TfKerasLayer:
    import tf_keras

    if isinstance(layer, tf_keras.Model):
        return tf_keras.models.clone_model(layer, clone_function=_wrap)
    try:
        return sparsity.prune_low_magnitude(layer, pruning_schedule=NEVER)
    except ValueError:  # a layer that TF-MOT does not know
        if any(len(weight.shape) > 1 for weight in layer.trainable_weights):
            warnings.warn(
                f"TF-MOT cannot prune {layer.name!r} ({type(layer).__name__}): its "
                "weights stay dense.",
                stacklevel=2,
            )
        return layer


def _wrappers(model: TfKerasModel, path: str = "") -> dict[str, TfKerasLayer]:
    """Return the wrappers in `model` and its inner models, by the path of the layer."""
    found = {}
    for layer in model.layers:
        if hasattr(layer, "layers"):
            found |= _wrappers(layer, f"{path}{layer.name}/")
        elif hasattr(layer, "pruning_vars"):
            found[path + layer.layer.name] = layer
    return found


def _prunable_weights(wrapped: TfKerasModel) -> dict[str, tuple]:
    """Return ``{key: (layer, weight, mask)}``, with keys as in `weights_by_key`."""
    found = {}
    for path, wrapper in _wrappers(wrapped).items():
        for variable, mask, _ in wrapper.pruning_vars:
            name = variable.name.split(":")[0]
            # The part that distinguishes the weights of one layer: "query/kernel".
            key = f"{path}/{name.partition(f'{wrapper.layer.name}/')[2] or name}"
            while key in found:
                key += "'"
            found[key] = (wrapper.layer, variable, mask)
    return found


def _chosen(
    wrapped: TfKerasModel,
    weights: dict[str, tuple],
    select: Callable | Iterable[str] | str | None,
) -> list[str]:
    if select is None:
        heads = _heads(wrapped)
        chosen = [key for key, (layer, *_) in weights.items() if layer not in heads]
    elif callable(select):
        chosen = [key for key, (layer, *_) in weights.items() if select(key, layer)]
    else:
        names = [select] if isinstance(select, str) else select
        under = {n: [k for k in weights if f"{k}/".startswith(f"{n}/")] for n in names}
        missing = [name for name, keys in under.items() if not keys]
        if missing:
            raise ValueError(
                "`select` must name prunable weights or layers that have some. "
                f"Received: {missing}, which match none. Prunable weights of this "
                f"model: {sorted(weights)}."
            )
        chosen = [key for keys in under.values() for key in keys]
    if not chosen:
        raise ValueError(
            "There is nothing to prune: no weight is both prunable and selected. "
            f"Weights that TF-MOT prunes in this model: {sorted(weights) or 'none'}. "
            "By default, the classification head stays dense. Name weights or layers "
            "to prune with `select=[...]`."
        )
    return chosen


def _heads(wrapped: TfKerasModel) -> list[TfKerasLayer]:
    """Return the output layers and the last prunable layer, if they are Dense."""
    wrappers = [w for w in _wrappers(wrapped).values() if w.pruning_vars]
    outputs = [w for w in wrappers if w.name in wrapped.output_names]
    heads = [wrapper.layer for wrapper in [*outputs, *wrappers[-1:]]]
    return [layer for layer in heads if type(layer).__name__ == "Dense"]
