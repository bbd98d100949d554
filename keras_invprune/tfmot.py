"""The only place that imports TF-MOT, and with it tf_keras.

Importing TF-MOT sets TF_USE_LEGACY_KERAS=1, which changes what `tf.keras` means
in this process and in its children. Here `tf.keras` is resolved first and the
environment is put back as it was.
"""

import os
import warnings

import tensorflow as tf

VARIABLE = "TF_USE_LEGACY_KERAS"


def _import_tfmot():
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


class _Fixed(PruningSchedule):
    """Never renews the masks, so that those set once are kept."""

    def __call__(self, step):
        return tf.constant(False), tf.constant(0.0)

    def get_config(self):
        return {"class_name": "ConstantSparsity", "config": FIXED}


FIXED = {"target_sparsity": 0.0, "begin_step": 0, "end_step": 0, "frequency": 1}


def is_tf_keras(thing) -> bool:
    """Whether `thing` is a tf_keras (Keras 2) model."""
    return any(cls.__module__.split(".")[0] == "tf_keras" for cls in type(thing).__mro__)


def prune(model, make_masks, select=None):
    """Wraps a tf_keras model with TF-MOT's own wrappers, masks set once.

    Args:
        model: A built tf_keras Sequential or Functional model, left untouched.
        make_masks: ``{key: array} -> {key: bool array}``.
        select: None for all that TF-MOT prunes, except a Dense head; a callable
            ``(key, layer) -> bool``; or an iterable of keys or layer names.

    Returns:
        The wrapped model. Train it with TF-MOT's `UpdatePruningStep`; strip it with
        `strip_pruning`.
    """
    import tf_keras

    copied = tf_keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    wrapped = sparsity.prune_low_magnitude(copied, pruning_schedule=_Fixed())
    weights, masks = {}, {}
    for layer in wrapped.layers:
        for variable, mask, _ in getattr(layer, "pruning_vars", ()):
            name = variable.name.split("/")[-1].split(":")[0]
            key = f"{layer.layer.name}/{name}"
            weights[key], masks[key] = (layer.layer, variable), mask
    chosen = _chosen(weights, select)
    values = {key: weights[key][1].numpy() for key in chosen}
    for key, mask in make_masks(values).items():
        masks[key].assign(tf.cast(mask, masks[key].dtype))
        weights[key][1].assign(weights[key][1] * masks[key])
    return wrapped


def _chosen(weights, select):
    if select is None:
        last = list(weights.values())[-1][0]
        dense_head = type(last).__name__ == "Dense"
        return [k for k, (layer, _) in weights.items() if not dense_head or layer is not last]
    if callable(select):
        return [key for key, (layer, _) in weights.items() if select(key, layer)]
    names = set(select)
    return [key for key in weights if key in names or key.rsplit("/", 1)[0] in names]
