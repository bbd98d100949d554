"""Observes or changes what inner layers compute while a model runs."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from keras_invprune.contracts import Tensor


@contextlib.contextmanager
def observed(
    layers: Iterable[keras.Layer], see: Callable[[keras.Layer, Tensor], object]
) -> Iterator[None]:
    """Call ``see(layer, output)`` for each output of these layers inside the context.

    Layers pass their outputs to their activity regularizers. This is the only public
    place where inner outputs can be observed, also in subclassed models. Only outputs
    of the current thread are observed: each replica has a thread, and the threads take
    turns in the middle of a call.
    """
    here = threading.get_ident(), see
    try:
        for layer in layers:
            if not isinstance(layer.activity_regularizer, _Observer):
                layer.activity_regularizer = _Observer(layer)
            layer.activity_regularizer.listeners.append(here)
        yield
    finally:
        for layer in layers:
            observer = layer.activity_regularizer
            if isinstance(observer, _Observer) and here in observer.listeners:
                observer.listeners.remove(here)
                if not observer.listeners:
                    layer.activity_regularizer = observer.regularizer


@contextlib.contextmanager
def activations_through(
    layers: Sequence[keras.Layer], function: Callable[[Callable, Tensor], Tensor]
) -> Iterator[None]:
    """Make layers apply ``function(activation, z)`` inside the context.

    Args:
        layers: Layers that have an activation.
        function: It gets the layer's own activation, and what this would be applied to.
    """
    own = [layer.activation for layer in layers]
    try:
        for layer, activation in zip(layers, own, strict=True):
            layer.activation = functools.partial(function, activation)
        yield
    finally:
        for layer, activation in zip(layers, own, strict=True):
            layer.activation = activation


@contextlib.contextmanager
def changed_before_activation(
    layers: Sequence[keras.Layer],
    change: Callable[[keras.Layer, Tensor, Tensor], Tensor],
) -> Iterator[None]:
    """Make layers use ``change(layer, inputs, z)`` instead of z inside the context.

    Args:
        layers: Layers of one input. They apply an activation to z, or return z.
        change: It gets the inputs of a call, and returns a tensor of z's shape.
    """
    own = [getattr(layer, "activation", None) for layer in layers]
    try:
        for layer in layers:
            layer.call = _changed_call(layer, change)
        yield
    finally:
        for layer, activation in zip(layers, own, strict=True):
            del layer.call
            if activation is not None:
                layer.activation = activation


def _changed_call(
    layer: keras.Layer, change: Callable[[keras.Layer, Tensor, Tensor], Tensor]
) -> Callable:
    call, activation = layer.call, getattr(layer, "activation", None)

    def changed(inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if activation is None:
            return change(layer, inputs, call(inputs, *args, **kwargs))
        layer.activation = lambda z: activation(change(layer, inputs, z))
        return call(inputs, *args, **kwargs)

    return changed


class _Observer:
    """Replaces a layer's activity regularizer as long as there are listeners."""

    def __init__(self, layer: keras.Layer):
        self.layer, self.regularizer = layer, layer.activity_regularizer
        self.listeners = []  # pairs (thread, function)

    def __call__(self, output: keras.KerasTensor) -> Tensor:
        for thread, see in list(self.listeners):
            if thread == threading.get_ident():
                see(self.layer, output)
        own = self.regularizer
        return keras.ops.zeros(()) if own is None else own(output)
