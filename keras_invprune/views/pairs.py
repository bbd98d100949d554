"""Positive pairs: two random versions of the same examples."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_invprune.contracts import Nested, View
from keras_invprune.saving import name_of
from keras_invprune.views.image_view import ImageView
from keras_invprune.views.presets import images
from keras_invprune.views.rows import ScarfCorruption

REMEDY = (
    "Pass `views=`: a callable or Keras layer that takes the model's input "
    "structure and returns a random version of it, or a pair (f, g) of these."
)


def positive_pair(views: Any, x: Nested):
    """Returns two random versions of `x`.

    `(f(x), f(x))`, two draws, for a single view f; `(f(x), g(x))` for a pair.

    Args:
        views: a callable, or a pair (f, g) of callables where None stands for the
            input itself.
        x: a batch, in whatever structure the views take.

    Returns:
        A pair (x1, x2).
    """
    return tuple(_view(view, x) for view in as_pair(views))


def _view(view, x):
    """One view; ours take the array itself where it is in a list or dict of one."""
    if view is None:
        return x
    if _rank(view) is None:
        return _checked(view, x, as_in_training(view, x))
    return keras.tree.map_structure(lambda part: as_in_training(view, part), x)


def _checked(view, x, made):
    """What a view has made, if it can stand in the place of `x`.

    Raises:
        ValueError: If it is of another structure or shape, such as None.
    """
    parts, own = keras.tree.flatten(x), keras.tree.flatten(made)
    shapes = [getattr(part, "shape", None) for part in own]
    fits = len(own) == len(parts) and None not in shapes
    if fits and all(map(_same_shape, shapes, [part.shape for part in parts])):
        return made
    name = View.of(view).name or name_of(view)
    raise ValueError(
        f"The view {name!r} must return a version of its input, {_shapes(parts)}, in "
        f"the same structure and of the same shape. Received: {_shapes(own)}."
    )


def _same_shape(one, other) -> bool:
    """Whether two shapes may be the same, where None stands for any length."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in pairs)


def _shapes(parts) -> str:
    kinds = [
        f"shape {tuple(part.shape)}" if hasattr(part, "shape") else repr(part)
        for part in parts
    ]
    return " and ".join(kinds) or "nothing"


def as_in_training(function: Any, x: Nested):
    """Calls it; a Keras layer that is idle in evaluation, such as noise, is not."""
    layer = isinstance(function, keras.layers.Layer)
    if layer and "training" in inspect.signature(function.call).parameters:
        return function(x, training=True)
    return function(x)


CHANNELS = (1, 3, 4)  # of gray and color images, the latter also with transparency


def channels_come_first(shape: tuple[int, ...]) -> bool | None:
    """Whether images have [channels, height, width]; None if that is not clear.

    As Keras is configured (`keras.config.image_data_format`), unless only the other
    axis is as long as channels are many, and the image would not be square either.

    Args:
        shape: of a batch of images.
    """
    first = keras.config.image_data_format() == "channels_first"
    outer, middle, channels = reversed(shape[1:]) if first else shape[1:]
    reverse = outer in CHANNELS and channels not in CHANNELS and outer != middle
    return None if reverse else first


def channels_last(view: Callable):
    """A view of images [height, width, channels] for [channels, height, width]."""
    back, forth = keras.layers.Permute((2, 3, 1)), keras.layers.Permute((3, 1, 2))
    return keras.layers.Pipeline([back, view, forth])


def default_views(inputs: Nested):
    """Returns the views that suit a model's inputs.

    One input of rank 4 is taken for images, if its numbers are floats or of 8 bits:
    they get `(None, images())`, which sees them as [height, width, channels] where
    Keras is configured for channels first. One of floats and rank 2 is taken for rows,
    which get `(None, ScarfCorruption())`.

    Args:
        inputs: the model's symbolic inputs: a list or another structure of
            `keras.KerasTensor`.

    Returns:
        A pair, as `positive_pair` takes it.

    Raises:
        ValueError: for anything else: several inputs, dicts, other ranks, integers;
            if it is not clear which axis of images is that of the channels.
    """
    tensor = _single(inputs)
    if tensor is not None:
        rank, floats = len(tensor.shape), keras.backend.is_float_dtype(tensor.dtype)
        if rank == ImageView.rank and (floats or tensor.dtype == "uint8"):
            return None, _of_images(inputs, tensor.shape)
        if rank == ScarfCorruption.rank and floats:
            return None, ScarfCorruption()
    raise ValueError(
        "There are default views for one input of rank 4 (images) or one of floats and "
        "rank 2 (rows) "
        f"only. Received: {_describe(inputs)}. {REMEDY}"
    )


def _of_images(inputs, shape):
    first = channels_come_first(shape)
    if first is None:
        raise ValueError(
            "The default views take images as `keras.config.image_data_format()` says, "
            f"{keras.config.image_data_format()!r}, and these look like the reverse. "
            f"Received: {_describe(inputs)}. Set that format before the model is made "
            f"(`keras.config.set_image_data_format`). Or: {REMEDY}"
        )
    return channels_last(images()) if first else images()


def check_views(views: Any, inputs: Nested):
    """Raises unless `views` can be applied to a model's inputs.

    Args:
        views: what was given as views.
        inputs: the model's symbolic inputs, as for `default_views`.

    Raises:
        TypeError: if `views` is neither a callable nor a pair of callables or None.
        ValueError: if a view is made for another rank than that of the input.
    """
    for view in as_pair(views):
        rank = _rank(view)
        if rank is None:
            continue
        tensor = _single(inputs)
        if tensor is None or len(tensor.shape) != rank:
            name = View.of(view).name or name_of(view)
            raise ValueError(
                f"{name!r} makes views of one input of rank "
                f"{rank}. Received: {_describe(inputs)}. {REMEDY}"
            )


def are_compilable(views: Any) -> bool:
    """Whether all views are made of this package's layers, which XLA compiles."""
    return all(view is None or _is_ours(view) for view in as_pair(views))


def moves(view: Callable) -> bool:
    """Whether a view is known to move what is in an image to another place."""
    known = View.of(view)
    return known.moves or any(map(moves, known.layers))


def _is_ours(view):
    inside = View.of(view).layers
    if inside:
        return all(map(_is_ours, inside))
    known = isinstance(view, ImageView | ScarfCorruption | keras.layers.Permute)
    return known and view.supports_jit  # a subclass may say no


def as_pair(views: Any):
    """The two views of what was given: one twice, or a pair, of which one may be None.

    Raises:
        TypeError: If it is neither, or a class.
    """
    for view in views if isinstance(views, tuple | list) else [views]:
        if isinstance(view, type):
            raise TypeError(
                f"A view must be an object, and {view.__name__} is a class. Make one: "
                f"{view.__name__}()."
            )
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
    known = View.of(view)
    ranks = [known.rank, *map(_rank, known.layers)]
    return next((rank for rank in ranks if isinstance(rank, int)), None)
