"""A Keras model as a text and arrays, and back.

The text is the JSON of Keras's config. The arrays are what each layer saves itself, in
the order of the layers, as in a .keras file.
"""

import copy
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_invprune.exporting.ways_out import reason, what_helps
from keras_invprune.graph.weights import walk
from keras_invprune.packing.arrays import DTYPES, Array, unsigned
from keras_invprune.packing.container import KERAS, Contents
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.limits import check_config, check_orthogonal
from keras_invprune.packing.sequential import built_once

MODEL = "model.keras"  # what an export says of that file is true here as well
NO_MODEL = "The file is damaged: its config is not that of a model."


class Slot(NamedTuple):
    """A place for an array in a model.

    Attributes:
        layer: The layer that saves it.
        path: Where the layer is in the model.
        name: The layer's own name for the array.
        value: The variable or array.
    """

    layer: keras.layers.Layer
    path: str
    name: str
    value: Any

    @property
    def key(self) -> str:
        """The name in messages and reports."""
        own = getattr(self.value, "name", self.name)
        return f"{self.path}/{own}" if self.path else own

    @property
    def dtype(self) -> str:
        """The name of its dtype."""
        return keras.backend.standardize_dtype(self.value.dtype)


def slots(model: keras.Model) -> Iterator[Slot]:
    """Yield what the layers of a model save, layer by layer."""
    for path, layer in walk(model):
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        for name, value in store.items():
            yield Slot(layer, path, name, value)


def contents_of(model: keras.Model) -> Contents:
    """Return the text and the arrays of a model. Negative zeros become zeros.

    Raises:
        PackError: If its config cannot be written, if a layer saves files, or if an
            array has another dtype.
    """
    for path, layer in walk(model):
        if hasattr(layer, "save_assets"):
            _check_assets(path, layer)
    try:
        config = keras.saving.serialize_keras_object(model)
        for part in _classes(config):  # inner models may be compiled, too
            part.pop("compile_config", None)
        text = json.dumps(config, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise PackError(
            f"The config of {model.name!r} cannot be written. Give custom classes a "
            "`get_config` that returns all arguments of the constructor. Keras "
            f"reports: {error}"
        ) from error
    return Contents(KERAS, text.encode(), [_array_of(slot) for slot in slots(model)])


def _check_assets(path: str, layer: keras.Layer) -> None:
    """Raise if a layer keeps a vocabulary in a file, not in its config."""
    with tempfile.TemporaryDirectory() as folder:
        layer.save_assets(folder)
        if files := os.listdir(folder):
            raise PackError(
                f"Layer {path!r} ({type(layer).__name__}) saves {', '.join(files)}, "
                "and a packed file holds arrays only. Pass the vocabulary to the "
                "layer's constructor, so that its config has it."
            )


def _array_of(slot: Slot) -> Array:
    if slot.dtype not in DTYPES:
        raise PackError(
            f"{slot.key} has the dtype {slot.dtype}, and only {', '.join(DTYPES)} can "
            "be packed. Convert it first."
        )
    values = np.asarray(keras.ops.convert_to_numpy(slot.value))
    if "float" in slot.dtype:
        values = np.where(values == 0, np.zeros_like(values), values)
    bits = np.asarray(values, order="C").view(unsigned(slot.dtype))
    return Array(slot.dtype, bits)


def model_of(contents: Contents) -> keras.Model:
    """Return the model of a text and arrays.

    Raises:
        PackError: If its config cannot be read, names classes that are neither Keras's
            nor registered, or describes other arrays than the file holds.
    """
    config, known = _config_of(contents.text)
    _check_shapes(config, known, contents.arrays)
    model = _built(config, known)
    stores: dict[int, dict[str, np.ndarray]] = {}
    found = list(slots(model))
    for slot, array in zip(found, contents.arrays, strict=True):
        kind = np.asarray(keras.ops.convert_to_numpy(slot.value)).dtype
        stores.setdefault(id(slot.layer), {})[slot.name] = array.bits.view(kind)
    for layer in {id(slot.layer): slot.layer for slot in found}.values():
        layer.load_own_variables(stores[id(layer)])
    return model


def _config_of(text: bytes) -> tuple[dict, dict[str, Any]]:
    """Return a config, and the registered classes and functions that it names."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackError(
            f"The file is damaged: its config is not JSON ({error})."
        ) from error
    if not isinstance(config, dict):
        raise PackError(NO_MODEL)
    check_config(config)
    known = {}
    for part in _classes(config):
        part.pop("compile_config", None)  # optimizers take memory
        name = str(part.get("registered_name") or part["class_name"])
        if not str(part["class_name"]).startswith("__") and "module" not in part:
            raise PackError(f"{NO_MODEL} {name!r:.80} has no module.")
        module, own = part.get("module"), part.get("config")
        if isinstance(own, dict) and own.get("stateful"):
            raise PackError(
                f"The config has a stateful {name}. Its states take memory that no "
                "array of a packed file accounts for. Make the layer with "
                "`stateful=False`, and set its weights."
            )
        if (found := keras.saving.get_registered_object(name)) is not None:
            known[name] = found
        elif str(module).partition(".")[0] not in ("None", "keras", "builtins"):
            raise PackError(
                f"The file names {module}.{name}, which is not registered, and only "
                "registered classes are loaded. If you trust it, import its module, "
                "and give it `@keras.saving.register_keras_serializable()`."
            )
        known |= built_once(part, found)
    return config, known


def _classes(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of a config that name a class or a function."""
    left = [config]
    while left:
        part = left.pop()
        if isinstance(part, dict) and "class_name" in part:
            yield part
        if isinstance(part, dict | list):
            left += part.values() if isinstance(part, dict) else part


def _built(config: dict[str, Any], known: dict[str, Any]) -> keras.Model:
    try:
        # Keras takes parts out of the config while it reads it.
        given = copy.deepcopy(config)
        with keras.saving.custom_object_scope(known):
            model = keras.saving.deserialize_keras_object(given, safe_mode=True)
    except Exception as error:
        text = reason(MODEL, error)
        helps = [f" What may help: {each}." for each in what_helps(MODEL, text)]
        said = "".join([f"Keras cannot build the model: {text}.", *helps])
        raise PackError(said) from error
    if not isinstance(model, keras.Model):
        raise PackError(NO_MODEL)
    return model


def _check_shapes(
    config: dict[str, Any], known: dict[str, Any], arrays: Sequence[Array]
) -> None:
    """Raise unless a config describes these arrays; no memory is taken for them.

    Variables that are made in Keras's stateless scope wait for their values. In a
    thread of their own, nobody else's variables wait with them.
    """
    found: list[Any] = []
    policy = keras.config.dtype_policy()  # each thread has its own

    def build() -> None:
        try:
            keras.config.set_dtype_policy(policy)
            with keras.StatelessScope(initialize_variables=False):
                every = list(slots(_built(config, known)))
                found.extend((s.dtype, tuple(s.value.shape)) for s in every)
            kernels = [s.value.shape for s in every if _is_orthogonal(s.layer)]
            check_orthogonal(kernels)
        except Exception as error:
            found[:] = [error]

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    if found and isinstance(found[0], Exception):
        raise found[0]
    held = [(array.dtype, array.bits.shape) for array in arrays]
    if found != held:
        raise PackError(
            f"The config describes the arrays {found!r:.300}, and the file holds "
            f"{held!r:.300}. The file is damaged, or the config is incomplete: a "
            "`get_config` leaves something out, or two models share a layer, which "
            "becomes two layers in Keras's config."
        )


def _is_orthogonal(layer: keras.Layer) -> bool:
    """Return whether a layer has an initializer that takes more than linear time."""
    return any(
        isinstance(value, keras.initializers.Orthogonal)
        for value in vars(layer).values()
    )
