"""A new model with the same architecture and weights."""

import keras


def copy_model(model):
    """Returns a copy of a built Keras model that shares nothing with it.

    Raises:
        ValueError: The model cannot be rebuilt from its config; says what to do.
    """
    try:
        copied = keras.models.clone_model(model)
        if not copied.built:
            copied.build_from_config(model.get_build_config())
        copied.set_weights(model.get_weights())
    except Exception as error:
        raise ValueError(
            f"Model {model.name!r} ({type(model).__name__}) cannot be rebuilt from its "
            f"config: {error} Give its custom classes a `get_config` and register "
            "them with `@keras.saving.register_keras_serializable()`, or prune the "
            "model itself: copy=False (its weights will change)."
        ) from error
    return copied
