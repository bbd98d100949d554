"""Writes SavedModels in evaluation mode, with names that every runtime accepts."""

import contextlib
import io
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import keras
import tensorflow as tf

from keras_invprune.contracts import Nested
from keras_invprune.exporting.batches import stateful_layers

PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
# Names that a signature's arguments cannot have, since `f(**{name: array})` uses them.
TAKEN = {"self"}


def safe_names(names: Iterable[str], prefix: str = "input") -> dict[str, str]:
    """Return names that are valid in a SavedModel and a .tflite file.

    They consist of ASCII letters, digits and "_", begin with a letter, differ in more
    than case, and are not Python keywords. Valid names are kept.

    Args:
        names: Unique strings.
        prefix: Prefix for names that do not begin with a letter.

    Returns:
        ``{name: safe name}``, in the order of `names`.
    """
    found, taken = {}, set()
    # Valid names first: "a b" must not become "a_b" if that is a name, too.
    for name in sorted(names, key=lambda name: _safe(name, prefix) != name):
        base = safe = _safe(name, prefix)
        number = 1
        while safe.lower() in taken:
            number += 1
            safe = f"{base}_{number}"
        taken.add(safe.lower())
        found[name] = safe
    return {name: found[name] for name in names}


def _safe(name: str, prefix: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not name[:1].isalpha():
        name = f"{prefix}_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in TAKEN else name


def named_outputs(outputs: Nested) -> dict:
    """Return the tensors of a structure by their names in the files.

    The names are the keys of a dict of tensors, and "output_0" and so on for all other
    structures.
    """
    names = output_names(outputs)
    if names:
        return {names[key]: tensor for key, tensor in outputs.items()}
    parts = keras.tree.flatten(outputs)
    return {f"output_{i}": part for i, part in enumerate(parts)}


def output_names(outputs: Nested) -> dict[str, str]:
    """Return ``{key: name in the files}`` for a dict of tensors, {} for others."""
    flat = isinstance(outputs, dict) and not any(
        map(keras.tree.is_nested, outputs.values())
    )
    if flat and all(isinstance(key, str) for key in outputs):
        return safe_names(outputs, "output")
    return {}


def write_saved_model(model: keras.Model, structure: Nested, path: str | Path) -> None:
    """Write a SavedModel whose endpoint "serve" runs the model in evaluation mode.

    Args:
        model: A Keras 3 model.
        structure: A `keras.InputSpec` for each input, in the structure that the model
            takes, with names from `safe_names`.
        path: Folder to write to.
    """
    write_saved_models({"serve": (model, structure)}, path)


def write_saved_models(
    endpoints: Mapping[str, tuple[keras.Model, Nested]], path: str | Path
) -> None:
    """Write one SavedModel with an endpoint for each of several models.

    Keras's own `export` leaves the mode to each layer, and layers that augment images
    are in training mode by default.

    Args:
        endpoints: ``{name: (model, structure)}``; see `write_saved_model`.
        path: Folder to write to.
    """
    archive = keras.export.ExportArchive()
    for name, (model, structure) in endpoints.items():
        archive.track(model)
        archive.add_endpoint(name, _in_evaluation(model), [structure])
    with contextlib.redirect_stdout(io.StringIO()):  # Keras 3.8 prints nevertheless
        archive.write_out(path, verbose=False)


def _in_evaluation(model: keras.Model) -> Callable[[Nested], Nested]:
    def serve(inputs: Nested) -> Nested:
        outputs = model(inputs, training=False)
        nested = isinstance(outputs, dict) or any(
            map(
                keras.tree.is_nested,
                outputs if isinstance(outputs, (list, tuple)) else (),
            )
        )
        return named_outputs(outputs) if nested else outputs

    return serve


def load_saved_model(
    path: str | Path, model: keras.Model
) -> Callable[[Nested], Nested]:
    """Return the endpoint of a SavedModel, which starts every call in the same state.

    Args:
        path: Folder of the SavedModel.
        model: The model that it was made from.

    Raises:
        ValueError: If it calls Python code, which the folder does not contain.
    """
    loaded = tf.saved_model.load(str(path))
    (function,) = loaded.serve.concrete_functions
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    python = {node.op for node in nodes} & PYTHON_OPS
    if python:
        raise ValueError(
            f"The graph calls Python code ({', '.join(sorted(python))}), which a "
            "SavedModel does not contain"
        )
    stateful = bool(stateful_layers(model))
    states = [(v, v.numpy()) for v in function.variables if stateful]

    def serve(inputs: Nested) -> Nested:
        for variable, value in states:
            variable.assign(value)
        return loaded.serve(inputs)  # the reference keeps `loaded` alive

    return serve
