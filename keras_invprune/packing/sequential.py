"""Makes a Sequential model from its config, and builds it once.

Keras builds it again after each layer that it reads, which takes time that is quadratic
in the number of layers.
"""

from typing import Any

import keras


def built_once(part: dict[str, Any], kind: Any) -> dict[str, type]:
    """Return the class that makes a part of a config, and name it in the part.

    Args:
        part: The config of a layer or model; changed if it is a Sequential.
        kind: The class or function that is registered for it; None for one of Keras's.

    Returns:
        Custom objects for `keras.saving.custom_object_scope`; none if Keras should make
        the part as always.
    """
    module = str(part.get("module")).partition(".")[0]
    if kind is None and module == "keras" and part["class_name"] == "Sequential":
        kind = keras.Sequential
    is_sequential = isinstance(kind, type) and issubclass(kind, keras.Sequential)
    if not is_sequential:
        return {}
    inherited = keras.Sequential.from_config.__func__
    own = getattr(kind.from_config, "__func__", None) is not inherited
    if own or kind.add is not keras.Sequential.add:
        return {}
    name = f"keras_invprune>once>{kind.__module__}.{kind.__qualname__}"
    part["registered_name"] = name
    return {name: type("BuiltOnce", (_BuiltOnce,), {"kind": kind})}


class _BuiltOnce:
    """Stands for a Sequential while its config is read."""

    kind: type[keras.Sequential]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> keras.Sequential:
        """Return the model, as Keras's own method does."""
        made = cls.kind(name=config["name"])
        layers = [keras.saving.deserialize_keras_object(c) for c in config["layers"]]
        for index, layer in enumerate(layers, 1):
            made.add(layer, rebuild=index == len(layers))
        shape = config.get("build_input_shape")
        if not made.built and isinstance(shape, list | tuple) and shape:
            made.build(tuple(shape))
        return made
