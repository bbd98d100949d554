"""The contrastive invariance objective (ILO): L = L_SUP + λ·L_NCE."""

import copy
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import keras
import tensorflow as tf
from keras import ops, tree

from keras_invprune.arguments import is_integer, is_number
from keras_invprune.contracts import Embedder, Nested, Objective, Tensor, Views
from keras_invprune.graph.inputs import (
    dense,
    input_structure,
    standardized,
    takes_twice_the_rows,
)
from keras_invprune.graph.weights import walk
from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.embedding import embedder
from keras_invprune.objectives.losses import Losses, only, row_weights
from keras_invprune.saving import Missing, load_object, save_object
from keras_invprune.views import (
    are_compilable,
    check_views,
    default_views,
    positive_pair,
)
from keras_invprune.views.image_view import ImageView
from keras_invprune.views.pairs import (
    as_in_training,
    as_pair,
    channels_come_first,
    moves,
)

logger = logging.getLogger("keras_invprune")

# λ, chosen on validation rows (docs/results/invariance_defaults.md).
IMAGE_WEIGHT, ROW_WEIGHT = 0.3, 1.0
SUPERVISED = ("auto", "first", "both", "original")
CLASSIFICATION = ("crossentropy", "cross_entropy", "hinge", "focal")
ROLE = "plan.objective"  # where a message says that a missing part belongs


@keras.saving.register_keras_serializable(package="keras_invprune")
class Invariance(Objective):
    """The loss L = L_SUP + λ·L_NCE on two views of each batch, in one forward pass.

    L_SUP is the compiled loss on one view or on both (see `supervised`). L_NCE is the
    contrastive loss between the embeddings of both (`contrastive_loss`). Models with a
    fixed batch size need two forward passes.

    Args:
        views: A layer or callable to draw twice, or a pair of them, where None means
            the input itself. None instead of views pairs the input itself with a view
            chosen by its shape: images are slightly shifted, scaled and rotated; rows
            are corrupted as in SCARF.
        weight: The weight λ ≥ 0. None means 0.3 for images and 1 for other inputs.
            These values were chosen on validation rows: in few epochs, λ = 1 costs a
            convolutional network more than it gains.
        temperature: The temperature τ > 0.
        labels: True for the supervised contrastive loss, where equal rows of `y` are
            one class; False for NT-Xent, which reads no labels. "auto" means True if
            the compiled loss is a single classification loss and `y` has one label per
            row, since whole maps and sequences of labels are never equal. A callable
            maps `y` to the labels, e.g. for models with several outputs.
        embedding: See `keras_invprune.objectives.embedding.embedder`.
        projection: None, or the width in units of a two-layer projection head (SimCLR)
            between embedding and L_NCE, or a Keras layer. It is dropped after the
            search.
        supervised: The views that L_SUP sees: "first", as in the paper; "both" (the
            mean of their losses); or "original", the input itself, which replaces the
            first view if it is not one of them. "auto" means "both" for class labels,
            which views do not change, and "original" for all others. Labels with
            positions in the image (segmentation, reconstruction, coordinates) are not
            moved with the image.

    Example:
        >>> from keras_invprune import views
        >>> objective = Invariance(
        ...     views.RandomShift(0.1), weight=0.5, temperature=0.2, labels=False
        ... )

    Raises:
        ValueError: If λ < 0, if τ ≤ 0, or if `labels` or `supervised` is unknown. On
            `bind`: if views or embedding do not fit. In training: if the data has
            another rank than the model's inputs, or if labels with positions would be
            compared with an image that one of our views has moved.

    Source:
        Xu, Sun, Wang: Unveiling Invariances via Neural Network Pruning (2309.08171),
        the "invariance learning objective". The authors' code uses λ = τ = 1, labels,
        no projection, and supervised="first" on two draws of one view.
    """

    terms = ("supervised_loss", "invariance_loss")

    def __init__(
        self,
        views: Views | None = None,
        weight: float | None = None,
        temperature: float = 1.0,
        labels: bool | str | Callable[[Nested], Tensor] = "auto",
        embedding: str | Embedder | None = None,
        projection: int | keras.Layer | None = None,
        supervised: str = "auto",
    ):
        if not (weight is None or (is_number(weight) and weight >= 0)):
            raise ValueError(
                f"`weight` (λ) must be a number >= 0. Received: weight={weight!r}."
            )
        if not (is_number(temperature) and temperature > 0):
            raise ValueError(
                "`temperature` (τ) must be a number > 0. Received: "
                f"temperature={temperature!r}."
            )
        if not (labels in (True, False, "auto") or callable(labels)):
            raise ValueError(
                "`labels` must be True, False, 'auto' or a callable. "
                f"Received: labels={labels!r}."
            )
        if supervised not in SUPERVISED:
            raise ValueError(
                f"`supervised` must be one of {SUPERVISED}. "
                f"Received: supervised={supervised!r}."
            )
        self.views = views
        self.weight = None if weight is None else float(weight)
        self.temperature = float(temperature)
        self.labels = labels
        self.embedding = embedding
        self.projection = _projection(projection)
        self.supervised = supervised
        self.embed: Embedder | None = None  # `bind` sets these three
        self.structure: Nested = None
        self.apart = False
        self._drawer: tuple = (None, None)
        self._told = False

    def bind(self, model: keras.Model) -> Self:
        """Return an objective for this model only; `self` stays unbound.

        Args:
            model: The plain Keras model.

        Raises:
            ValueError: If views or embedding do not fit the model, or if it has
                stateful layers.
        """
        _check_stateless(model)
        bound, structure = copy.copy(self), input_structure(model)
        inputs = tree.flatten(structure)
        inputs = inputs if len(inputs) == 1 else structure
        views = default_views(inputs) if self.views is None else self.views
        bound.views = views
        if self.weight is None:
            images = [len(t.shape) for t in tree.flatten(structure)] == [ImageView.rank]
            bound.weight = IMAGE_WEIGHT if images else ROW_WEIGHT
        check_views(views, inputs)
        bound.embed = embedder(model, self.embedding)
        bound.structure = structure
        bound.apart = not takes_twice_the_rows(model)
        bound.projection = projection = _own(self.projection)
        if projection is not None and not getattr(projection, "built", True):
            row = tree.map_structure(
                lambda t: ops.zeros([length or 1 for length in t.shape], t.dtype),
                structure,
            )
            _, features = bound.embed(row)
            projection.build(features.shape)
        return bound

    @property
    def layers(self) -> Sequence[keras.Layer]:  # type: ignore[override]
        """The views and the projection that are Keras layers."""
        parts = [*tree.flatten(self.views), self.projection]
        return [part for part in parts if isinstance(part, keras.layers.Layer)]

    def __call__(
        self, model: keras.Model, x: Nested, y: Nested, sample_weight: Nested = None
    ) -> Losses:
        """Return the `Losses` of a batch."""
        x = standardized(self.structure, dense(x))
        _check_ranks(self.structure, x)
        views, halves = self._supervision(model, y)
        pair = [standardized(self.structure, one) for one in self._pair(views, x)]
        outputs, z = self._run(model, pair)
        predictions = {i: outputs[i] for i in halves}
        # L_SUP, the mean over the views that it sees
        supervised = ops.mean(
            ops.stack(
                [
                    model.compute_loss(pair[i], y, predicted, sample_weight, True)
                    for i, predicted in predictions.items()
                ]
            )
        )
        if self.projection is not None:
            z = as_in_training(self.projection, z)
        labels = self._labels(model, y)
        weights = row_weights(sample_weight, y)
        # L_NCE, for the replica's own part of the batch
        invariance = contrastive_loss(z, labels, self.temperature, weights)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # L = L_SUP + λ·L_NCE
        total = ops.cast(supervised, "float32") + self.weight * invariance / replicas
        values = (supervised * replicas, invariance)
        terms = dict(zip(self.terms, values, strict=True))
        return Losses(total, predictions[halves[0]], terms)

    def _run(
        self, model: keras.Model, pair: Sequence[Nested]
    ) -> tuple[Sequence[Nested], Tensor]:
        """Return the outputs for each of the two views, and the embeddings of both."""
        options = {"training": True, "with_embedding": True}
        if self.apart:
            outputs, features = zip(*(model(x, **options) for x in pair), strict=True)
            return outputs, ops.concatenate(features, axis=0)
        outputs, z = model(tree.map_structure(_stack, *pair), **options)
        return [tree.map_structure(Half(i), outputs) for i in (0, 1)], z

    def _supervision(
        self, model: keras.Model, y: Nested
    ) -> tuple[tuple, tuple[int, ...]]:
        """Return the pair of views to draw, and the indices of those that L_SUP sees.

        The index of the original comes first.

        Raises:
            ValueError: If L_SUP would see a moved image with labels that are not moved.
        """
        pair, kind = as_pair(cast(Views, self.views)), self.supervised
        has_place = _have_place(model, y, self.structure)
        if kind == "auto":
            kind = "original" if self._classes(model, y) is None else "both"
            self._tell(has_place)
        if kind == "original" and None not in pair:
            pair = (None, pair[1])
        original = pair.index(None) if None in pair else 0
        known = {"original": (original,), "both": (original, 1 - original)}
        halves: tuple[int, ...] = known.get(kind, (0,))
        if has_place and any(moves(pair[half]) for half in halves):
            raise ValueError(
                "The labels have positions in the image, and the views move the image "
                "but not its labels. Received: "
                f"supervised={self.supervised!r}. Leave `supervised` out, or use "
                "supervised='original'."
            )
        return pair, halves

    def _tell(self, has_place: bool) -> None:
        """Log once how labels with positions are used."""
        if has_place and not self._told:
            self._told = True
            logger.warning(
                "The labels have positions in the example, and views do not move them. "
                "Therefore the first of the two views is the example itself, and only "
                "it is supervised. If your views move nothing, use supervised='both'."
            )

    def _pair(self, views: Views, x: Nested) -> tuple[Nested, Nested]:
        """Draw two views of a batch."""
        if self._drawer[0] != views:  # new, or replaced by the user
            self._drawer = views, drawer(views)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # XLA cannot read another replica's seeds.
        return self._drawer[1](x) if replicas == 1 else positive_pair(views, x)

    def _labels(self, model: keras.Model, y: Nested) -> Tensor | None:
        if callable(self.labels):
            return self.labels(y)
        if not self.labels:
            return None
        if self.labels == "auto":
            return self._classes(model, y)
        y = only(y)
        if y is None:
            raise ValueError(
                "`labels=True` needs exactly one array of labels. Received: none, or "
                "several. Pass labels=False, or a callable that selects the labels "
                "from y."
            )
        return y

    def _classes(self, model: keras.Model, y: Nested) -> Tensor | None:
        """Return the labels if they are one class per row, else None."""
        y = only(y)
        one = y is not None and is_classification(model) and len(y.shape) <= 2
        return y if one and not _have_place(model, y, self.structure) else None

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "views": save_object(self.views, f"{ROLE}.views"),
            "weight": self.weight,
            "temperature": self.temperature,
            "labels": save_object(self.labels, f"{ROLE}.labels"),
            "embedding": save_object(self.embedding, f"{ROLE}.embedding"),
            "projection": save_object(self.projection, f"{ROLE}.projection"),
            "supervised": self.supervised,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the objective; parts that cannot be found raise on use."""
        parts = ("views", "labels", "embedding", "projection")
        loaded = {name: load_object(config[name], f"{ROLE}.{name}") for name in parts}
        before = {"supervised": "first"}  # for files older than this argument
        return cls(**{**before, **config, **loaded})


def drawer(views: Views) -> Callable[[Nested], tuple[Nested, Nested]]:
    """Return ``(x) -> (x1, x2)`` for `views`, compiled by XLA if they are our layers.

    A view consists of many small operations on all pixels, which XLA fuses. SimCLR's
    views then take a fifth of the time, even if the training itself is not compiled.
    """

    def draw(x: Nested) -> tuple[Nested, Nested]:
        return positive_pair(views, x)

    return tf.function(draw, jit_compile=True) if are_compilable(views) else draw


class Half(keras.layers.Layer):
    """The rows of one of the two views, with their sequence mask."""

    def __init__(self, number: int):
        super().__init__(autocast=False)
        self.supports_masking = True
        self.number = number

    def call(self, x: Nested) -> Tensor:
        """Return the rows of the first half (number 0) or the second (number 1)."""
        count = ops.shape(x)[0] // 2
        return x[count:] if self.number else x[:count]

    def compute_mask(
        self, x: Nested, previous_mask: Tensor | None = None
    ) -> Tensor | None:
        """Return the same half of the mask."""
        return None if previous_mask is None else self.call(previous_mask)


def _have_place(model: keras.Model, y: Nested, structure: Nested) -> bool:
    """Return whether labels have positions in the example: maps, sequences, boxes."""
    parts = [part for part in tree.flatten(y) if part is not None]
    if any(len(part.shape) > 2 for part in parts):
        return True
    sizes = [part.shape[1] for part in parts if len(part.shape) == 2]
    name = _loss_name(model)
    if "sparse" in name:  # several class numbers per row: one per step of a sequence
        return any(size != 1 for size in sizes)
    # One number per pixel. With a categorical loss, the numbers are one class instead.
    return "categorical" not in name and not _pixels(structure).isdisjoint(sizes)


def _pixels(structure: Nested) -> set[int]:
    """Return the possible sizes of a flattened map, for the images in the inputs."""
    images = [t.shape for t in tree.flatten(structure) if len(t.shape) == 4]
    images = [shape for shape in images if None not in shape[1:]]
    flat = {
        math.prod(shape[2:] if channels_come_first(shape) else shape[1:3])
        for shape in images
    }
    return flat | {math.prod(shape[1:]) for shape in images}


def is_classification(model: keras.Model) -> bool:
    """Return whether the compiled loss is a single classification loss, by its name."""
    name = _loss_name(model)
    return any(kind in name for kind in CLASSIFICATION)


def _loss_name(model: keras.Model) -> str:
    """Return all names of the compiled loss, joined, if it is a single loss."""
    loss = only(getattr(model, "loss", None))
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    names = [getattr(loss, "name", ""), getattr(loss, "__name__", "")]
    return " ".join([*map(str, names), type(loss).__name__]).lower()


def _projection(projection: int | keras.Layer | None) -> keras.Layer | None:
    if not is_integer(projection):
        return projection
    projection = int(projection)
    hidden = keras.layers.Dense(projection, activation="relu")
    return keras.Sequential([hidden, keras.layers.Dense(projection)], name="projection")


def _own(projection: keras.Layer | None) -> keras.Layer | None:
    """Return a new projection for a model, unless it is already built."""
    if projection is None or isinstance(projection, Missing) or projection.built:
        return projection
    return type(projection).from_config(projection.get_config())


def _check_ranks(structure: Nested, x: Nested) -> None:
    """Raise ValueError before views are drawn of what is not a batch for the model."""
    specs, parts = tree.flatten(structure), tree.flatten(x)
    if len(specs) != len(parts):
        return  # Keras says so, or the inputs are unknown
    for spec, part in zip(specs, parts, strict=True):
        shape = getattr(part, "shape", spec.shape)
        if len(shape) != len(spec.shape):
            raise ValueError(
                f"The model takes batches of shape {tuple(spec.shape)}. Received: "
                f"{tuple(shape)}. If this is a row of a tf.data.Dataset, pass "
                "data.batch(32)."
            )


def _check_stateless(model: keras.Model) -> None:
    for path, layer in walk(model):
        if getattr(layer, "stateful", False) is True:
            raise ValueError(
                "The search runs the model on two views of each batch at once, which a "
                f"stateful layer cannot support. Received: stateful layer {path!r}. "
                "Use stateful=False, or prune without this objective."
            )


def _stack(first: Tensor, second: Tensor) -> Tensor:
    return ops.concatenate([ops.cast(first, second.dtype), second], axis=0)
