"""A path over strengths of layer sparsity: from all layers to few, warm-started."""

import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.merge import Merged, merge_layers
from keras_invprune.contracts import Nested
from keras_invprune.graph.active import active_layers
from keras_invprune.graph.copying import copy_model, custom_objects
from keras_invprune.graph.given_rows import check_repeatable
from keras_invprune.proximal import NegativeParts, Proximal
from keras_invprune.proximal.base import check_strength
from keras_invprune.pruning.checkpoint import SEED, seed_states
from keras_invprune.pruning.checks import check_model
from keras_invprune.pruning.rewind import inner_optimizer
from keras_invprune.saving import load_arrays, save_arrays, write_json

STATE = "path.json"
WEIGHT = "arr_"  # as `np.savez` names what has no name


@dataclass(frozen=True)
class Point:
    """The solution for one strength.

    Attributes:
        strength: r.
        active: Number of active layers, see `active_layers`.
        depth: Number of Dense and convolutional layers that are left after merging.
        metrics: Loss and metrics on the validation data.
    """

    strength: float
    active: int
    depth: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class LayerPath:
    """The solutions along a path, from the first strength to the last.

    Attributes:
        model: The model, with the weights of the last point.
        points: What was found at each strength.
        weights: ``model.get_weights()`` at each strength.
        nonnegative_inputs: As given to `layer_path`.
    """

    model: keras.Model
    points: tuple[Point, ...]
    weights: tuple[list[np.ndarray], ...]
    nonnegative_inputs: bool | Sequence[str]

    def merged(self, index: int, *, runtime: str | None = None) -> Merged:
        """Return the solution of a point, with the layers removed that do nothing.

        Compile and fit its model to refit it without the penalty.

        Args:
            index: That of the point.
            runtime: What measures each merge, see `merge_layers`.
        """
        chosen = copy_model(self.model, otherwise="")
        chosen.set_weights(self.weights[index])
        return merge_layers(
            chosen, nonnegative_inputs=self.nonnegative_inputs, runtime=runtime
        )

    def to_json(self) -> dict[str, Any]:
        """Return the points as what `json.dumps` takes."""
        return {"points": [asdict(point) for point in self.points]}

    def __str__(self) -> str:
        """Return a table of the points."""
        return "\n".join(map(_line, self.points))


def layer_path(
    model: keras.Model,
    strengths: Sequence[float],
    x: Nested,
    y: Nested = None,
    *,
    validation_data: Nested,
    nonnegative_inputs: bool | Sequence[str] = False,
    rising: bool = True,
    folder: str | os.PathLike | None = None,
    seed: int | None = None,
    show: Callable[[Point], None] | None = None,
    **fit_options: Any,
) -> LayerPath:
    """Train for one strength after the other, each from the solution before.

    Each point trains with `NegativeParts` and a fresh copy of the compiled optimizer.
    Its depth, loss and metrics are those on the validation data. Choose a point, then
    refit it without the penalty: ``path.merged(index).model``, compile, fit.

    Args:
        model: A built and compiled Sequential or Functional model. It is not changed.
        strengths: r >= 0 of each point, in the order of training; usually rising.
        x: Training inputs, or a data set, as for `keras.Model.fit`.
        y: Targets.
        validation_data: ``(x, y)``, ``(x, y, sample_weight)`` or a data set, which
            loss and metrics are measured on.
        nonnegative_inputs: Whether the model's inputs are never negative, or the names
            of the inputs that never are.
        rising: Whether strengths rise with depth, so that the last layers go first, see
            `NegativeParts.of`.
        folder: Where each point is saved once it is finished. A path that was
            interrupted resumes after its last finished point. None saves nothing.
        seed: Seeds the order of the rows at each point, so that a path that was
            interrupted ends like one that was not. None leaves the random state alone.
        show: ``show(point)`` after each point, such as ``print``.
        **fit_options: Further arguments of `keras.Model.fit`, such as ``epochs``.

    Returns:
        `LayerPath`.

    Raises:
        TypeError: If the strengths are not a list of numbers.
        ValueError: If the model is not built, not compiled or under masks, if no layer
            may be removed, if a strength is negative, if the folder holds a path of
            other strengths, data or settings, or if the weights are not finite
            (training has diverged). If the loss or a metric cannot be computed on the
            validation data, what Keras raises, before any training.

    Source:
        Hebiri, Lederer: Layer Sparsity in Neural Networks (2006.15604), for the idea
        of regularizing and refitting.
    """
    values = _checked(model, strengths)
    check_repeatable((x, y), "x")
    check_repeatable(validation_data, "validation_data")
    work, compiled = copy_model(model, otherwise=""), _compiled(model)
    _compile(work, compiled, NegativeParts.of(work, 0.0, nonnegative_inputs))
    _measured(work, validation_data, steps=1)  # raises before anything is done
    about = {
        "strengths": values,
        "shapes": [list(weight.shape) for weight in work.weights],
        "nonnegative_inputs": nonnegative_inputs,
        "rising": rising,
        "seed": seed,
        "optimizer": _described(compiled["optimizer"]),
        "loss": _described(compiled["loss"]),
        "loss_weights": compiled["loss_weights"],
        "fit_options": _plain(fit_options),
        "class_weight": fit_options.get("class_weight"),
        "data": [_checksum(part) for part in keras.tree.flatten((x, y))],
        "sample_weight": _checksum(fit_options.get("sample_weight")),
    }
    store = _Store(folder, about)
    for index, strength in enumerate(values):
        if index < len(store.points):
            work.set_weights(store.weights[index])
            _set_seeds(work, store.seeds[index])
            continue
        if seed is not None:
            keras.utils.set_random_seed(seed + index)
        operator = NegativeParts.of(work, strength, nonnegative_inputs, rising)
        _compile(work, compiled, operator)
        work.fit(x, y, **{"verbose": 0, **fit_options})
        point = _point(work, strength, validation_data, nonnegative_inputs)
        seeds = [np.asarray(state) for state in seed_states(work)]
        store.add(point, work.get_weights(), seeds)
        if show is not None:
            show(point)
    points, weights = tuple(store.points), tuple(store.weights)
    return LayerPath(work, points, weights, nonnegative_inputs)


def _checked(model: keras.Model, strengths: Sequence[float]) -> list[float]:
    check_model(model)
    if not model.compiled:
        raise ValueError(
            f"Model {model.name!r} is not compiled, and the path trains it with its "
            "loss, metrics and optimizer. Call model.compile(...) first."
        )
    if isinstance(strengths, str) or not hasattr(strengths, "__len__"):
        raise TypeError(
            "`strengths` must be a list of numbers, one for each point. Received: "
            f"strengths={strengths!r}."
        )
    if not len(strengths):
        raise ValueError("`strengths` must not be empty. Received: strengths=[].")
    for strength in strengths:
        check_strength(strength)
    return [float(strength) for strength in strengths]


def _compiled(model: keras.Model) -> dict[str, Any]:
    """Return the arguments that the model was compiled with, and its own optimizer."""
    given = model._compile_config.config  # the objects; what is public is serialized
    return {**given, "optimizer": inner_optimizer(model.optimizer)}


def _compile(
    model: keras.Model, compiled: Mapping[str, Any], operator: NegativeParts
) -> None:
    """Compile with a fresh optimizer and the proximal step around it."""
    options = _fresh(dict(compiled))
    options["optimizer"] = Proximal(options["optimizer"], operator)
    model.compile(**options)


def _fresh(value: Any) -> Any:
    """Return new metrics and optimizers in place of those that are given."""
    if isinstance(value, dict):
        return {name: _fresh(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_fresh(each) for each in value]
    is_loss = isinstance(value, keras.losses.Loss)  # it has no state
    if is_loss or not hasattr(value, "get_config"):  # a name, a number or a function
        return value
    config = keras.saving.serialize_keras_object(value)
    with keras.saving.custom_object_scope(custom_objects(value)):
        return keras.saving.deserialize_keras_object(config, safe_mode=False)


def _point(
    model: keras.Model,
    strength: float,
    validation_data: Nested,
    nonnegative_inputs: bool | Sequence[str],
) -> Point:
    merged = merge_layers(model, nonnegative_inputs=nonnegative_inputs)
    metrics = _measured(model, validation_data)
    return Point(strength, len(active_layers(model)), merged.depth[1], metrics)


def _measured(
    model: keras.Model, validation_data: Nested, steps: int | None = None
) -> dict[str, float]:
    """Return the loss and metrics on the validation data, or on some batches of it."""
    x, y, weight = keras.utils.unpack_x_y_sample_weight(validation_data)
    found = model.evaluate(
        x, y, sample_weight=weight, steps=steps, verbose=0, return_dict=True
    )
    return {name: float(value) for name, value in found.items()}


def _set_seeds(model: keras.Model, seeds: Sequence[np.ndarray]) -> None:
    """Set the states of random generators, of which early folders have none."""
    for state, value in zip(seed_states(model), seeds, strict=bool(seeds)):
        state.assign(value)


def _line(point: Point) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in point.metrics.items())
    return (
        f"strength {point.strength:g}: {point.active} active layers, depth "
        f"{point.depth}, {metrics}"
    )


class _Store:
    """The finished points, in a folder or in memory only."""

    def __init__(self, folder: str | os.PathLike | None, about: dict[str, Any]):
        self.folder = None if folder is None else Path(folder)
        self.about = json.loads(json.dumps(about, default=str))
        self.points: list[Point] = []
        self.weights: list[list[np.ndarray]] = []
        self.seeds: list[list[np.ndarray]] = []
        if self.folder is not None and (self.folder / STATE).exists():
            self._load(self.folder)

    def _load(self, folder: Path) -> None:
        state = json.loads((folder / STATE).read_text())
        for name, saved in state["about"].items():
            if saved != self.about[name]:
                raise ValueError(
                    f"The folder {folder} holds another path, whose `{name}` "
                    f"differs. Received: {name}={self.about[name]!r:.200}. Saved: "
                    f"{saved!r:.200}. Choose another folder, or delete it."
                )
        self.points = [Point(**point) for point in state["points"]]
        for index in range(len(self.points)):
            arrays = load_arrays(folder / _file(index))
            self.weights.append(_in_order(arrays, WEIGHT))
            self.seeds.append(_in_order(arrays, SEED))

    def add(
        self, point: Point, weights: list[np.ndarray], seeds: list[np.ndarray]
    ) -> None:
        """Save weights and random states, then the state that names them."""
        self.weights.append(weights)
        self.seeds.append(seeds)
        self.points.append(point)
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        names = {f"{SEED}{place}": value for place, value in enumerate(seeds)}
        save_arrays(self.folder / _file(len(self.points) - 1), *weights, **names)
        points = [asdict(each) for each in self.points]
        write_json(self.folder / STATE, {"about": self.about, "points": points})


def _file(index: int) -> str:
    return f"point-{index}.npz"


def _in_order(arrays: Mapping[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    """Return the arrays whose names are the prefix and a number."""
    count = sum(name.startswith(prefix) for name in arrays)
    return [arrays[f"{prefix}{place}"] for place in range(count)]


def _described(value: Any) -> Any:
    """Return what a file can hold of losses and optimizers.

    Names are left out, which Keras may number, and so are addresses of functions.
    """
    if isinstance(value, dict):
        return {name: _described(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_described(each) for each in value]
    if hasattr(value, "get_config"):
        config = {k: v for k, v in value.get_config().items() if k != "name"}
        return {"class_name": type(value).__name__, "config": config}
    return getattr(value, "__name__", value)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `fit` that a file can hold and that affect weights."""
    kinds = (int, float, str, bool, type(None))
    return {
        name: value
        for name, value in options.items()
        if isinstance(value, kinds) and name != "verbose"
    }


def _checksum(part: Any) -> int | None:
    """Return a checksum of an array of numbers; None for other data."""
    if not isinstance(part, np.ndarray) or part.dtype.kind not in "biuf":
        return None
    return zlib.crc32(part.tobytes())
