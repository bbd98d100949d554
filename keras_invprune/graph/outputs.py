"""Compares the outputs of a model and its copy on drawn inputs.

Outputs are compared in evaluation mode; with layers of the author's own, in training
mode as well. Losses that layers add count as outputs.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.attributes import PLAIN, is_of, own_attributes
from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.observe import observed
from keras_invprune.graph.rows import parts_of
from keras_invprune.graph.twins import FORGOTTEN, DifferentError, described
from keras_invprune.graph.weights import walk

logger = logging.getLogger("keras_invprune")

MANY = 64  # maximum number of known values to draw from
TOLERANCES = {"float16": 1e-2, "bfloat16": 5e-2}  # shares of an output's size
LEAST = 1e-5  # the size of an output is at least this share of the largest in its row
LENGTHS = (8, 32, 128)  # lengths to try for axes of unknown length
SCALES = (1, -1000, 1000, 30)  # of the rows of drawn inputs
FEW = 2  # rows for models of Keras's own layers, whose configs say all
RUNS = 4  # of a random model, to know its own spread
SPREADS = 10  # the copy of a random model may be this many spreads away


class _Draw(NamedTuple):
    """How inputs are drawn: functions (random, shape) -> array."""

    floats: Callable
    integers: Callable
    strings: Callable


def _chosen(values: Any) -> Callable:
    return lambda random, shape: random.choice(values, shape)


def _scaled(start: int) -> Callable:
    """Draw one row, and multiply it by each of the scales from `start` on."""
    return lambda random, shape: (
        random.normal(size=(1, *shape[1:])) * _scales(start, shape)
    )


def _scaled_integers(start: int) -> Callable:
    return lambda random, shape: np.floor(
        random.uniform(size=shape) * (np.abs(_scales(start, shape)) + 1)
    )


def _scales(start: int, shape: Sequence[int]) -> np.ndarray:
    rows = np.resize(np.roll(SCALES, -start), shape[0])
    return rows.reshape(-1, *[1] * (len(shape) - 1))


def _at_edges(start: int, missing: float) -> _Draw:
    """Draw rows of masks and indices that leave nothing, the first half, all, or some.

    Args:
        start: The first of these kinds.
        missing: The value of floats at steps that the model masks.
    """

    def floats(random: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        values = random.normal(size=shape)
        if len(shape) < 3:
            return values
        left = _left(random, shape[:-1], start + 1)  # not where indices are missing
        return np.where(left[..., None], values, missing)

    return _Draw(floats, lambda random, shape: _left(random, shape, start), WORDS)


def _left(random: np.random.Generator, shape: Sequence[int], start: int) -> np.ndarray:
    """Return what is not masked: nothing, the first half, all, some, and so on."""
    rows, *rest = shape
    first = np.arange(math.prod(rest[-1:])) < 0.5 * math.prod(rest[-1:])
    some = random.random(rest) < 0.5
    some &= random.random(rest[:-1])[..., None] < 0.5 if rest else True
    kinds = [False, first if rest else True, True, some]
    found = [kinds[(start + row) % len(kinds)] for row in range(rows)]
    return np.stack([np.broadcast_to(each, rest) for each in found])


def _uniform(high: int) -> Callable:
    return lambda random, shape: random.uniform(0, high, shape)


WORDS, DIGITS = _chosen(["a", "b"]), _chosen(["1", "2", "30"])
# Rows that are not multiples of one another.
DIFFERENT = _Draw(
    lambda random, shape: random.normal(size=shape) * _scales(0, shape),
    _chosen([0, 1]),
    WORDS,
)
# Until a model takes one of these: some want pixels, indices or numbers in text.
FURTHER = [
    _Draw(_uniform(1), _chosen([0, 1]), WORDS),
    _Draw(_uniform(1), _chosen([0, 1]), DIGITS),
    _Draw(_uniform(255), _chosen([1, 2]), DIGITS),
    _Draw(_chosen([0.0, 1.0]), _chosen([0]), DIGITS),
    _Draw(_chosen([1.0, 2.0]), _chosen([1]), WORDS),
]


def check_outputs(
    model: keras.Model, copied: keras.Model, *, training: bool = True
) -> None:
    """Compare the outputs of both models on drawn inputs.

    A model that rejects all drawn inputs is not compared. Of a model that is random in
    evaluation, only what exceeds its own spread is seen. Both are logged.

    Args:
        model: The given model.
        copied: The copy.
        training: Whether custom layers are compared in training mode, too. Their random
            states must then be the same.

    Raises:
        DifferentError: If they differ; the message names the first layer that does.
    """
    modes = (False, True) if training and _has_own(model) else (False,)
    ran = False
    for draw, needed in _draws(model):
        if needed or not ran:
            ran |= any([_runs_alike(model, copied, draw, mode) for mode in modes])
    if not ran:
        logger.warning(
            "Model %r rejects all drawn inputs, so the outputs of its copy were not "
            "compared. Compare them on your own inputs.",
            model.name,
        )


def answered(
    model: keras.Model, changed: Callable = lambda inputs: inputs
) -> Iterator[tuple[Any, list]]:
    """Yield drawn inputs that a model takes, each with its outputs in evaluation.

    Args:
        model: A built Keras model.
        changed: ``changed(inputs)`` returns what the model is run on instead.

    Returns:
        Pairs (inputs in the structure that the model takes, flat list of outputs).
    """
    ran = False
    for draw, needed in [(DIFFERENT, True), *_draws(model)]:
        if needed or not ran:
            for drawn in _tried(model, draw, len(SCALES)):
                with contextlib.suppress(Exception):  # as layers on such inputs may
                    inputs = changed(drawn)
                    outputs, ran = outputs_of(model, inputs, in_parts=True), True
                    break
            else:
                continue
            yield inputs, outputs


def outputs_of(
    model: keras.Model,
    inputs: Nested,
    training: bool = False,
    values: Sequence[tuple[keras.Variable, Tensor]] = (),
    in_parts: bool = False,
) -> list[np.ndarray]:
    """Return the outputs and the losses of a call that changes no state.

    Args:
        model: A built Keras model.
        inputs: A batch.
        training: Whether the call is one of training.
        values: Pairs (variable, value that it has in this call).
        in_parts: Whether large rows may be run a few at a time, if the model is known
            to keep rows apart (`parts_of`). There are no losses then.
    """
    parts = parts_of(model, inputs) if in_parts else [inputs]
    scope = keras.StatelessScope(values, collect_losses=True)
    with scope, _attributes_kept(model):
        runs = [keras.tree.flatten(model(x, training=training)) for x in parts]
    if len(runs) > 1:
        return [np.concatenate(each) for each in zip(*runs, strict=True)]
    return [np.asarray(part) for part in (*runs[0], *scope.losses)]


def _has_own(model: keras.Model) -> bool:
    """Return whether a layer's class is not one of Keras."""
    return any(not is_of(layer, "keras") for _, layer in walk(model))


def _draws(model: keras.Model) -> Iterator[tuple[_Draw, bool]]:
    """Yield (draw, whether it is needed even if the model takes an earlier one)."""
    specs = keras.tree.flatten(input_structure(model))
    rows = min([spec.shape[0] or len(SCALES) for spec in specs], default=1)
    missing = _masked_values(model)
    for start in range(0, len(SCALES), rows):
        yield _Draw(_scaled(start), _scaled_integers(start), WORDS), True
    if not all(keras.backend.is_float_dtype(spec.dtype) for spec in specs) or missing:
        for start in range(0, len(SCALES), rows):
            yield _at_edges(start, [*missing, 0.0][0]), True
    for size in sorted(_table_sizes(model), reverse=True):
        yield _Draw(_scaled(0), _chosen(size), WORDS), True
    if known := _known_values(model):
        words, numbers = known.get(str, ["a", "b"]), known.get(int, [0, 1])
        yield _Draw(_scaled(0), _chosen(numbers), _chosen(words)), True
    yield from ((draw, False) for draw in FURTHER)


def _masked_values(model: keras.Model) -> list[float]:
    """Return the values of floats at steps that the model masks."""
    kind = keras.layers.Masking
    return [layer.mask_value for _, layer in walk(model) if isinstance(layer, kind)]


def _table_sizes(model: keras.Model) -> set[int]:
    """Return how many indices each embedding takes."""
    tables = [x for _, x in walk(model) if isinstance(x, keras.layers.Embedding)]
    return {table.input_dim for table in tables}


def _runs_alike(
    model: keras.Model, copied: keras.Model, draw: _Draw, training: bool
) -> bool:
    """Return whether the model could be run; raise if the outputs differ."""
    for inputs in _tried(model, draw):
        try:
            expected = outputs_of(model, inputs, training)
        except Exception:  # custom layers may raise anything on such inputs
            continue
        _compare(model, copied, inputs, training, expected)
        return True
    return False


def _compare(
    model: keras.Model,
    copied: keras.Model,
    inputs: Nested,
    training: bool,
    expected: list[np.ndarray],
) -> None:
    try:
        found = outputs_of(copied, inputs, training)
    except Exception as error:
        raise DifferentError(
            f"The copy fails on inputs that the model accepts: {error}. {FORGOTTEN}"
        ) from error
    if _close(expected, found, model):
        return
    again = [outputs_of(model, inputs, training) for _ in range(RUNS)]
    if not all(_close(expected, each, model) for each in again):
        if training or _is_within_spread(expected, found, again):
            return
    path, layer = _first_that_differs(model, copied, inputs, training)
    raise DifferentError(
        f"{described(path, layer)} has different outputs in the copy (by up to "
        f"{_distance(expected, found):.3g} at the model's outputs"
        f"{', in training mode' if training else ''}). {FORGOTTEN}"
    )


def _is_within_spread(
    expected: list[np.ndarray], found: list[np.ndarray], again: list[list[np.ndarray]]
) -> bool:
    spread = max(_distance(expected, each) for each in again)
    logger.warning(
        "The model's outputs are random, so those of its copy were compared only "
        "within %d times their spread.",
        SPREADS,
    )
    return _distance(expected, found) <= SPREADS * spread


def _known_values(model: keras.Model) -> dict:
    """Return the strings and integers in the layers' vocabularies and tables."""
    held = []
    for _, layer in walk(model):
        held += own_attributes(layer).values()
        if hasattr(layer, "get_vocabulary"):
            held.append(layer.get_vocabulary())
    lists = [list(v) for v in held if isinstance(v, dict | list | tuple | set) and v]
    found = {
        kind: [item for items in lists for item in items if type(item) is kind]
        for kind in (str, int)
    }
    return {kind: items[:MANY] for kind, items in found.items() if items}


def _tried(model: keras.Model, draw: _Draw, rows: int | None = None) -> Iterator:
    """Yield inputs of the lengths to try."""
    specs = input_structure(model)
    rows = rows or (len(SCALES) if _has_own(model) else FEW)
    for length in LENGTHS if keras.tree.flatten(specs) else ():
        yield _drawn(specs, rows, length, draw)


def _drawn(specs: Nested, rows: int, length: int, draw: _Draw) -> Nested:
    random = np.random.default_rng(0)

    def values(spec: keras.KerasTensor) -> Tensor:
        shape = [rows if spec.shape[0] is None else spec.shape[0]]
        shape += [length if size is None else size for size in spec.shape[1:]]
        if spec.dtype == "string":
            return keras.ops.convert_to_tensor(draw.strings(random, shape))
        is_float = keras.backend.is_float_dtype(spec.dtype)
        drawn = (draw.floats if is_float else draw.integers)(random, shape)
        return keras.ops.cast(drawn, spec.dtype)

    return keras.tree.map_structure(values, specs)


@contextlib.contextmanager
def _attributes_kept(model: keras.Model) -> Iterator[None]:
    """Restore the custom attributes and variables that a call changes."""
    before = [
        (layer, name, value, value.numpy() if isinstance(value, tf.Variable) else None)
        for _, layer in walk(model)
        for name, value in own_attributes(layer).items()
        if isinstance(value, (*PLAIN, tf.Variable))
    ]
    try:
        yield
    finally:
        for layer, name, value, content in before:
            if isinstance(value, tf.Variable):
                value.assign(content)
            elif vars(layer).get(name) is not value:
                setattr(layer, name, value)


def is_text(output: np.ndarray) -> bool:
    """Return whether an output holds text, which has neither size nor distance."""
    return output.dtype.kind in "OSU"


def _close(
    expected: list[np.ndarray], found: list[np.ndarray], model: keras.Model
) -> bool:
    if [part.shape for part in expected] != [part.shape for part in found]:
        return False
    return all(
        _near(one, other, TOLERANCES.get(model.compute_dtype, 1e-4))
        for one, other in zip(expected, found, strict=True)
    )


def _near(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    if not np.issubdtype(one.dtype, np.number):
        return np.array_equal(one, other)
    return bool(np.all(_differences(one, other) <= tolerance * _sizes(one)))


def _differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return abs(one - other): 0 for equal values, NaN included.

    It is infinite where only one is finite, or where they are not finite otherwise.
    """
    one, other = (np.asarray(part, "float64") for part in (one, other))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.abs(one - other)
    return np.where(same, 0.0, np.where(np.isnan(far), np.inf, far))


def _sizes(output: np.ndarray) -> np.ndarray:
    """Return the size of each row and channel of an output: its largest value."""
    output = np.asarray(output, "float64")
    finite = np.where(np.isfinite(output), np.abs(output), 0.0)
    if output.ndim == 0:
        return finite
    row = np.max(finite, tuple(range(1, output.ndim)), initial=0.0, keepdims=True)
    between = tuple(range(1, output.ndim - 1))
    channel = np.max(finite, between, initial=0.0, keepdims=True)
    return np.maximum(channel, LEAST * row)


def _distance(expected: list[np.ndarray], found: list[np.ndarray]) -> float:
    return max(
        float(np.max(_differences(one, other), initial=0.0))
        if one.shape == other.shape and np.issubdtype(one.dtype, np.number)
        else np.inf
        for one, other in zip(expected, found, strict=True)
    )


def _first_that_differs(
    model: keras.Model, copied: keras.Model, inputs: Nested, training: bool
) -> tuple[str, keras.Layer]:
    paths = {id(layer): path for path, layer in walk(model)}
    runs = [_inner_outputs(each, inputs, training) for each in (model, copied, model)]
    for (layer, *parts), (_, *others), (_, *again) in zip(*runs, strict=False):
        spread = 0.0 if _close(parts, again, model) else _distance(parts, again)
        near = _close(parts, others, model)
        if not near and _distance(parts, others) > SPREADS * spread:
            return paths[id(layer)], layer
    return "", model


def _inner_outputs(model: keras.Model, inputs: Nested, training: bool) -> list[tuple]:
    """Return tuples (layer, *its outputs) in the order of the calls."""
    layers, seen = [layer for path, layer in walk(model) if path], []

    def see(layer: keras.Layer, output: Tensor) -> None:
        seen.append((layer, *map(np.asarray, keras.tree.flatten(output))))

    with observed(layers, see):
        outputs_of(model, inputs, training)
    return seen
