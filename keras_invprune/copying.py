"""A new model with the same architecture and weights."""

import os
import tempfile

import keras

from keras_invprune.weights import walk, weights_by_key


def copy_model(model):
    """Returns a copy of a built Keras model that shares nothing with it.

    The model is saved and loaded again, so that the copy has all that Keras knows to
    be the model's: class, weights, seeds, vocabularies. It is not compiled.

    Raises:
        ValueError: The model cannot be rebuilt from its config; says what to do.
    """
    layers = {type(layer) for _, layer in walk(model)}
    classes = {keras.saving.get_registered_name(cls): cls for cls in layers}
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "model.keras")
            model.save(file)
            # The caller's own lambdas are no risk to the caller.
            copied = keras.models.load_model(
                file, classes, compile=False, safe_mode=False
            )
        _check(model, copied)
        copied.dtype_policy = model.dtype_policy  # Keras leaves it out of most configs
        _freeze_alike(model, copied)
    except Exception as error:
        raise ValueError(
            f"Model {model.name!r} ({type(model).__name__}) cannot be rebuilt from its "
            "config. Give its custom classes a `get_config`, register them and its "
            "custom functions with `@keras.saving.register_keras_serializable()`, or "
            "prune the model itself: copy=False (its weights will change). Keras "
            f"reports: {error}"
        ) from error
    return copied


def _freeze_alike(model, copied):
    """Subclassed models do not have in their config which layers are frozen."""
    twins = dict(walk(copied))
    for path, layer in walk(model):  # outer layers first: they set those inside
        if path in twins and twins[path].trainable != layer.trainable:
            twins[path].trainable = layer.trainable


def _check(model, copied):
    different = weights_by_key(model).keys() ^ weights_by_key(copied).keys()
    if different:
        raise ValueError(f"these weights are not in both: {sorted(different)}.")
    # A Sequential model is made without a word though one of its layers fails.
    if hasattr(model, "outputs") and not hasattr(copied, "outputs"):
        raise ValueError("a lambda can use nothing but its arguments when loaded.")
