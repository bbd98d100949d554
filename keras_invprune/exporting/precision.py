"""Lets a model of mixed precision compute in float32, as the runtimes of files do."""

import contextlib
from collections.abc import Iterator

import keras

from keras_invprune.graph.weights import walk

FLOAT32 = "float32"


def note(model: keras.Model) -> str:
    """Return what is said of the files of a model of mixed precision, else ""."""
    policies = sorted({layer.dtype_policy.name for layer in _mixed(model)})
    named = " and ".join(map(repr, policies))
    return named and (
        f"The file computes in float32, since LiteRT does not support the dtype policy "
        f"{named}."
    )


@contextlib.contextmanager
def in_float32(*models: keras.Model) -> Iterator[None]:
    """Let layers of mixed precision compute in float32 within the context.

    Their weights are float32 already. What is traced meanwhile, such as a SavedModel,
    computes in float32 for good.
    """
    found = [(layer, layer.dtype_policy) for x in models for layer in _mixed(x)]
    try:
        for layer, _ in found:
            layer.dtype_policy = FLOAT32
        yield
    finally:
        for layer, policy in found:
            layer.dtype_policy = policy


def _mixed(model: keras.Model) -> list[keras.Layer]:
    return [
        layer
        for _, layer in walk(model)
        if layer.variable_dtype == FLOAT32 != layer.compute_dtype
        and not layer.dtype_policy.quantization_mode
    ]
