"""Positive pairs: two random versions of the same examples."""

import inspect

import keras

from keras_invprune.views.image_view import ImageView
from keras_invprune.views.presets import images
from keras_invprune.views.rows import ScarfCorruption

REMEDY = (
    "Pass `views=`: a callable or Keras layer that takes the model's input "
    "structure and returns a random version of it, or a pair (f, g) of these."
)


def positive_pair(views, x):
    """Returns two random versions of `x`.

    `(f(x), f(x))`, two draws, for a single view f; `(f(x), g(x))` for a pair.

    Args:
        views: a callable, or a pair (f, g) of callables where None stands for the
            input itself.
        x: a batch, in whatever structure the views take.

    Returns:
        A pair (x1, x2).
    """
    return tuple(_view(view, x) for view in _as_pair(views))


def _view(view, x):
    """One view; ours take the array itself where it is in a list or dict of one."""
    if view is None:
        return x
    if _rank(view) is None:
        return as_in_training(view, x)
    return keras.tree.map_structure(lambda part: as_in_training(view, part), x)


def as_in_training(function, x):
    """Calls it; a Keras layer that is idle in evaluation, such as noise, is not."""
    layer = isinstance(function, keras.layers.Layer)
    if layer and "training" in inspect.signature(function.call).parameters:
        return function(x, training=True)
    return function(x)


def default_views(inputs):
    """Returns the views that suit a model's inputs.

    One float input of rank 4 is taken for images, which get `images()`; one of
    rank 2 for rows, which get `(None, ScarfCorruption())`.

    Args:
        inputs: the model's symbolic inputs: a list or another structure of
            `keras.KerasTensor`.

    Returns:
        A layer or a pair, as `positive_pair` takes them.

    Raises:
        ValueError: for anything else: several inputs, dicts, other ranks, integers.
    """
    tensor = _single(inputs)
    if tensor is not None and keras.backend.is_float_dtype(tensor.dtype):
        if len(tensor.shape) == ImageView.rank:
            return images()
        if len(tensor.shape) == ScarfCorruption.rank:
            return None, ScarfCorruption()
    raise ValueError(
        "There are default views for one float input of rank 4 (images) or 2 (rows) "
        f"only. Received: {_describe(inputs)}. {REMEDY}"
    )


def check_views(views, inputs):
    """Raises unless `views` can be applied to a model's inputs.

    Args:
        views: what was given as views.
        inputs: the model's symbolic inputs, as for `default_views`.

    Raises:
        TypeError: if `views` is neither a callable nor a pair of callables or None.
        ValueError: if a view is made for another rank than that of the input.
    """
    for view in _as_pair(views):
        rank = _rank(view)
        if rank is None:
            continue
        tensor = _single(inputs)
        if tensor is None or len(tensor.shape) != rank:
            raise ValueError(
                f"{getattr(view, 'name', view)!r} makes views of one input of rank "
                f"{rank}. Received: {_describe(inputs)}. {REMEDY}"
            )


def are_compilable(views) -> bool:
    """Whether all views are made of this package's layers, which XLA compiles."""
    return all(view is None or _is_ours(view) for view in _as_pair(views))


def _is_ours(view):
    inside = getattr(view, "layers", None)
    if inside:
        return all(map(_is_ours, inside))
    known = isinstance(view, ImageView | ScarfCorruption)
    return known and view.supports_jit  # a subclass may say no


def _as_pair(views):
    if callable(views):
        return views, views
    if isinstance(views, (tuple, list)) and len(views) == 2:
        given = [view for view in views if view is not None]
        if given and all(map(callable, given)):
            return tuple(views)
    raise TypeError(
        "`views` must be a callable or a pair of callables, one of which may be None. "
        f"Received: views={views!r}. {REMEDY}"
    )


def _single(inputs):
    """The only tensor of `inputs`, or None if there are several or a dict."""
    if isinstance(inputs, (tuple, list)) and len(inputs) == 1:
        inputs = inputs[0]
    return inputs if hasattr(inputs, "shape") else None


def _describe(inputs):
    """Names what was found, for messages."""
    tensors = keras.tree.flatten(inputs)
    kind = f" in a {type(inputs).__name__}" if len(tensors) > 1 else ""
    kind = " in a dict" if isinstance(inputs, dict) else kind
    found = ", ".join(f"{t.name!r} {tuple(t.shape)} {t.dtype}" for t in tensors)
    return f"{len(tensors)} input{'s' * (len(tensors) != 1)}{kind}: {found}"


def _rank(view):
    """Rank that a view layer is made for; of a composite, that of its layers."""
    ranks = [getattr(view, "rank", None), *map(_rank, getattr(view, "layers", ()))]
    return next((rank for rank in ranks if isinstance(rank, int)), None)
