"""Positive pairs: two random versions of the same examples."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_invprune.contracts import Nested, View, Views
from keras_invprune.saving import Missing, name_of
from keras_invprune.views.image_view import ImageView
from keras_invprune.views.presets import images
from keras_invprune.views.rows import ScarfCorruption

REMEDY = (
    "Pass `views=`: a callable or Keras layer that takes the model's inputs and "
    "returns a random version of them in the same structure, or a pair (f, g) of these."
)


def positive_pair(views: Views, x: Nested) -> tuple[Nested, Nested]:
    """Return two random versions of `x`.

    For a single view f, they are two draws `(f(x), f(x))`; for a pair, `(f(x), g(x))`.

    Args:
        views: A callable, or a pair (f, g) of callables, where None means the input
            itself.
        x: A batch, in the structure that the views take.

    Returns:
        A pair (x1, x2).
    """
    return tuple(_view(view, x) for view in as_pair(views))


def _view(view: Callable | None, x: Nested) -> Nested:
    """Return one view. Our layers are applied to the array inside a structure."""
    if view is None:
        return x
    if _rank(view) is None:
        return _checked(view, x, _made(view, x))
    return keras.tree.map_structure(lambda part: as_in_training(view, part), x)


def _made(view: Callable, x: Nested) -> Nested:
    """Return what a view of the user's own returns.

    Raises:
        ValueError: If the view fails, with its name.
    """
    if isinstance(view, Missing):
        return view(x)  # which says what to do
    try:
        return as_in_training(view, x)
    except Exception as error:  # a view may raise anything
        parts = keras.tree.flatten(x)
        symbolic = all(map(tf.is_symbolic_tensor, parts))
        advice = (
            " It is called with one batch of symbolic tensors, so it must take one "
            "argument and use keras.ops or TensorFlow instead of NumPy."
        )
        raise ValueError(
            f"The view {_name(view)!r} failed with {type(error).__name__}: {error}"
            f"{advice if symbolic else ''}"
        ) from error


def _name(view: Callable | None) -> str:
    return View.of(view).name or name_of(view)


def _checked(view: Callable, x: Nested, made: Nested) -> Nested:
    """Return `made`, the output of a view, if it can replace `x`.

    Raises:
        ValueError: If `made` has another structure or shape, or is None.
    """
    parts, own = keras.tree.flatten(x), keras.tree.flatten(made)
    shapes = [getattr(part, "shape", None) for part in own]
    pairs = zip(shapes, (part.shape for part in parts), strict=False)
    fits = len(own) == len(parts) and isinstance(made, dict) == isinstance(x, dict)
    name = _name(view)
    if fits and all(one is not None and _same_shape(one, two) for one, two in pairs):
        message = f"The view {name!r} must keep the number of rows of its input."
        for part, one in zip(parts, own, strict=True):  # unknown before a batch comes
            tf.debugging.assert_equal(tf.shape(one)[0], tf.shape(part)[0], message)
        return made
    in_dict = " in a dict" if isinstance(made, dict) else ""
    raise ValueError(
        f"The view {name!r} must return a version of its input, {_shapes(parts)}, with "
        f"the same structure and shape. Received: {_shapes(own)}{in_dict}."
    )


def _same_shape(one: Sequence, other: Sequence) -> bool:
    """Return whether two shapes may be equal, where None means any length."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in pairs)


def _shapes(parts: list) -> str:
    kinds = [
        f"shape {tuple(part.shape)}" if hasattr(part, "shape") else repr(part)
        for part in parts
    ]
    return " and ".join(kinds) or "nothing"


def as_in_training(function: Callable, x: Nested) -> Nested:
    """Call `function` in training mode, so that noise layers stay active."""
    if isinstance(function, keras.layers.Layer):
        if "training" in inspect.signature(function.call).parameters:
            return function(x, training=True)
    return function(x)


CHANNELS = (1, 3, 4)  # grayscale, color, and color with transparency


def channels_come_first(shape: Sequence[int | None]) -> bool | None:
    """Return whether images are [channels, height, width]; None if it is unclear.

    The answer is Keras's setting (`keras.config.image_data_format`). It is unclear if,
    by that setting, the image is not square and its number of channels is unusual,
    while the opposite axis has a usual number.

    Args:
        shape: The shape of a batch of images.
    """
    first = keras.config.image_data_format() == "channels_first"
    outer, middle, channels = reversed(shape[1:]) if first else shape[1:]
    reverse = outer in CHANNELS and channels not in CHANNELS and outer != middle
    return None if reverse else first


def channels_last(view: Callable) -> keras.layers.Pipeline:
    """Return a view of [channels, height, width] from one of channels-last images."""
    back, forth = keras.layers.Permute((2, 3, 1)), keras.layers.Permute((3, 1, 2))
    return keras.layers.Pipeline([back, view, forth])


def default_views(inputs: Nested) -> tuple[None, keras.Layer]:
    """Return the views that suit a model's inputs.

    A single input of rank 4 with floats or 8-bit integers is assumed to be images. Its
    views are `(None, images())`; if Keras is configured for channels first, the axes
    are moved for them. A single input of rank 2 with floats is assumed to be rows. Its
    views are `(None, ScarfCorruption())`.

    Args:
        inputs: The model's symbolic inputs, a list or another structure of
            `keras.KerasTensor`.

    Returns:
        A pair for `positive_pair`.

    Raises:
        ValueError: If the input is anything else (several inputs, a dict, another rank
            or dtype), or if it is unclear which axis of images is the channels.
    """
    tensor = _single(inputs)
    if tensor is not None:
        rank, floats = len(tensor.shape), keras.backend.is_float_dtype(tensor.dtype)
        if rank == ImageView.rank and (floats or tensor.dtype == "uint8"):
            return None, _of_images(inputs, tensor.shape)
        if rank == ScarfCorruption.rank and floats:
            return None, ScarfCorruption()
    raise ValueError(
        "Default views exist only for a single input of rank 4 (images), or of rank 2 "
        f"with floats (rows). Received: {_describe(inputs)}. {REMEDY}"
    )


def _of_images(inputs: Nested, shape: Sequence[int | None]) -> keras.Layer:
    first = channels_come_first(shape)
    if first is None:
        raise ValueError(
            "The default views follow `keras.config.image_data_format()`, which is "
            f"{keras.config.image_data_format()!r}, but these images look like the "
            f"opposite. Received: {_describe(inputs)}. Set the format before the model "
            f"is made (`keras.config.set_image_data_format`). Or: {REMEDY}"
        )
    return channels_last(images()) if first else images()


def check_views(views: Views, inputs: Nested) -> None:
    """Raise unless `views` can be applied to a model's inputs.

    Args:
        views: A callable, or a pair of callables, of which one may be None.
        inputs: The model's symbolic inputs, as for `default_views`.

    Raises:
        TypeError: If `views` is neither a callable nor such a pair.
        ValueError: If a view expects another rank than that of the input.
    """
    for view in as_pair(views):
        rank = _rank(view)
        if rank is None:
            continue
        tensor = _single(inputs)
        if tensor is None or len(tensor.shape) != rank:
            raise ValueError(
                f"The view {_name(view)!r} needs a single input of rank {rank}. "
                f"Received: {_describe(inputs)}. {REMEDY}"
            )


def are_compilable(views: Views) -> bool:
    """Return whether XLA can compile all views: they consist of our own layers."""
    return all(view is None or _is_ours(view) for view in as_pair(views))


def moves(view: Callable | None) -> bool:
    """Return whether a view is known to move objects to other positions in an image."""
    known = View.of(view)
    return known.moves or any(map(moves, known.layers))


def _is_ours(view: Any) -> bool:
    inside = View.of(view).layers
    if inside:
        return all(map(_is_ours, inside))
    known = isinstance(view, ImageView | ScarfCorruption | keras.layers.Permute)
    return known and view.supports_jit  # a subclass may not support it


def as_pair(views: Views) -> tuple[Callable | None, Callable | None]:
    """Return a pair of views: a single view twice, or the pair itself.

    Raises:
        TypeError: If `views` is neither a callable nor a pair of callables (one of
            which may be None), or if a view is a class.
    """
    for view in views if isinstance(views, tuple | list) else [views]:
        if isinstance(view, type):
            raise TypeError(
                f"A view must be an object, not a class. Received: {view.__name__}. "
                f"Write {view.__name__}()."
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


def _single(inputs: Nested) -> keras.KerasTensor | None:
    """Return the only tensor of `inputs`, or None if there are several or a dict."""
    if isinstance(inputs, (tuple, list)) and len(inputs) == 1:
        inputs = inputs[0]
    return inputs if hasattr(inputs, "shape") else None


def _describe(inputs: Nested) -> str:
    """Return a description of the inputs for messages."""
    tensors = keras.tree.flatten(inputs)
    kind = f" in a {type(inputs).__name__}" if len(tensors) > 1 else ""
    kind = " in a dict" if isinstance(inputs, dict) else kind
    found = ", ".join(f"{t.name!r} {tuple(t.shape)} {t.dtype}" for t in tensors)
    return f"{len(tensors)} input{'s' * (len(tensors) != 1)}{kind}: {found}"


def _rank(view: Callable | None) -> int | None:
    """Return the rank that a view layer expects, or that of the layers inside it."""
    known = View.of(view)
    ranks = [known.rank, *map(_rank, known.layers)]
    return next((rank for rank in ranks if isinstance(rank, int)), None)
