"""Observes the outputs of inner layers while a model runs."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

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
            if here in getattr(observer, "listeners", ()):
                observer.listeners.remove(here)
                if not observer.listeners:
                    layer.activity_regularizer = observer.regularizer


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
