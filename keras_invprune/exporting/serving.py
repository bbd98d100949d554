"""The SavedModel: traced in evaluation mode, with names that every runtime takes."""

import contextlib
import io
import keyword
import re
from collections.abc import Iterable
from pathlib import Path

import keras
import tensorflow as tf

from keras_invprune.contracts import Nested
from keras_invprune.exporting.batches import stateful_layers

PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
# What a signature's arguments cannot be called: `f(**{name: array})` has it already.
TAKEN = {"self"}


def safe_names(names: Iterable[str], prefix: str = "input") -> dict[str, str]:
    """Names that a SavedModel and a .tflite file can have, by the given ones.

    They begin with a letter, go on with letters of ASCII, digits and "_", differ in
    more than case, and are no word of Python. Names that are so are kept.

    Args:
        names: Unique strings.
        prefix: What is put before a name that begins otherwise.

    Returns:
        ``{name: safe name}``, in the order of `names`.
    """
    found, taken = {}, set()
    # First those that can stay: "a b" must not take the name of "a_b".
    for name in sorted(names, key=lambda name: _safe(name, prefix) != name):
        base = safe = _safe(name, prefix)
        number = 1
        while safe.lower() in taken:
            number += 1
            safe = f"{base}_{number}"
        taken.add(safe.lower())
        found[name] = safe
    return {name: found[name] for name in names}


def _safe(name, prefix) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not name[:1].isalpha():
        name = f"{prefix}_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in TAKEN else name


def named_outputs(outputs: Nested) -> dict:
    """The tensors of a structure, by the names that they have in the files.

    The keys of a dict of tensors; "output_0" and so on for all other structures.
    """
    names = output_names(outputs)
    if names:
        return {names[key]: tensor for key, tensor in outputs.items()}
    parts = keras.tree.flatten(outputs)
    return {f"output_{i}": part for i, part in enumerate(parts)}


def output_names(outputs: Nested) -> dict[str, str]:
    """``{key: name in the files}`` of a dict of tensors; {} of other structures."""
    flat = isinstance(outputs, dict) and not any(
        map(keras.tree.is_nested, outputs.values())
    )
    if flat and all(isinstance(key, str) for key in outputs):
        return safe_names(outputs, "output")
    return {}


def write_saved_model(model: keras.Model, structure: Nested, path: str | Path):
    """Writes a SavedModel whose endpoint "serve" runs the model in evaluation mode.

    Keras's own `export` leaves it to each layer, and those that augment images are in
    training mode unless they are told otherwise.

    Args:
        model: A Keras 3 model.
        structure: A `keras.InputSpec` for each input, in the structure that the model
            takes, with names from `safe_names`.
        path: Where to.
    """

    def serve(inputs):
        outputs = model(inputs, training=False)
        nested = isinstance(outputs, dict) or any(
            map(
                keras.tree.is_nested,
                outputs if isinstance(outputs, (list, tuple)) else (),
            )
        )
        return named_outputs(outputs) if nested else outputs

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, [structure])
    with contextlib.redirect_stdout(io.StringIO()):  # Keras 3.8 prints all the same
        archive.write_out(path, verbose=False)


def load_saved_model(path: str | Path, model: keras.Model):
    """The endpoint of a SavedModel, which begins each call with the same states.

    Args:
        path: Folder of the SavedModel.
        model: What it was made of.

    Raises:
        ValueError: If it calls Python code, which the folder does not hold.
    """
    loaded = tf.saved_model.load(str(path))
    (function,) = loaded.serve.concrete_functions
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    python = {node.op for node in nodes} & PYTHON_OPS
    if python:
        raise ValueError(
            f"The graph calls Python code ({', '.join(sorted(python))}), which a "
            "SavedModel does not hold"
        )
    stateful = bool(stateful_layers(model))
    states = [(v, v.numpy()) for v in function.variables if stateful]

    def serve(inputs):
        for variable, value in states:
            variable.assign(value)
        return loaded.serve(inputs)  # by name: it must keep `loaded` alive

    return serve
