"""The contrastive invariance objective (ILO): L = L_SUP + λ·L_NCE."""

import copy

import keras
import tensorflow as tf
from keras import ops, tree

from keras_invprune.embedding import embedder, input_structure
from keras_invprune.identifiers import Missing, load_object, save_object
from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.losses import Losses
from keras_invprune.views import (
    are_compilable,
    check_views,
    default_views,
    positive_pair,
)
from keras_invprune.views.pairs import as_in_training
from keras_invprune.weights import walk

CLASSIFICATION = ("crossentropy", "cross_entropy", "hinge", "focal")
ROLE = "plan.objective"  # where messages say that a part is


@keras.saving.register_keras_serializable(package="keras_invprune")
class Invariance:
    """L = L_SUP + λ·L_NCE on two views of each batch, in one forward pass.

    L_SUP is the compiled loss on the first view; L_NCE the contrastive loss
    between the embeddings of both (`contrastive_loss`).

    Args:
        views: A layer or callable drawn twice, or a pair of them (None: the input
            itself). None chooses by the model's input: images are shifted,
            scaled and rotated a little, rows corrupted as in SCARF.
        weight: λ ≥ 0.
        temperature: τ > 0.
        labels: True for supervised contrastive (rows of `y` that are equal are one
            class), False for NT-Xent, which reads no label, "auto" for True when
            the compiled loss is a single classification loss and `y` has one or two
            axes (whole label maps are never equal). A callable maps `y` to the
            labels to use, e.g. for models with several outputs.
        embedding: See `keras_invprune.embedding.embedder`.
        projection: None, or the width of a two-layer projection head (SimCLR)
            between embedding and L_NCE; a Keras layer serves as well. It is
            dropped after the search.

    Example:
        >>> from keras_invprune import views
        >>> objective = Invariance(
        ...     views.RandomShift(0.1), weight=0.5, temperature=0.2, labels=False
        ... )

    Raises:
        ValueError: λ < 0 or τ ≤ 0; on `bind`, views or embedding do not fit.

    Source:
        Xu, Sun, Wang: Unveiling Invariances via Neural Network Pruning
        (2309.08171), the "invariance learning objective"; the authors' code has
        λ = τ = 1, labels and no projection, the defaults here.
    """

    terms = ("supervised_loss", "invariance_loss")

    def __init__(
        self,
        views=None,
        weight=1.0,
        temperature=1.0,
        labels="auto",
        embedding=None,
        projection=None,
    ):
        if not weight >= 0:
            raise ValueError(f"`weight` (λ) must be >= 0. Received: weight={weight}.")
        if not temperature > 0:
            raise ValueError(
                f"`temperature` (τ) must be > 0. Received: temperature={temperature}."
            )
        if not (labels in (True, False, "auto") or callable(labels)):
            raise ValueError(
                "`labels` must be True, False, 'auto' or a callable. "
                f"Received: labels={labels!r}."
            )
        self.views = views
        self.weight = float(weight)
        self.temperature = float(temperature)
        self.labels = labels
        self.embedding = embedding
        self.projection = _projection(projection)
        self._views = (None, None)

    def bind(self, model):
        """Returns the objective of this one model; `self` serves others as well.

        Raises:
            ValueError: Views or embedding do not fit the plain Keras model `model`,
                or it has stateful layers.
        """
        _check_stateless(model)
        bound, structure = copy.copy(self), input_structure(model)
        inputs = tree.flatten(structure)
        inputs = inputs if len(inputs) == 1 else structure
        bound.views = default_views(inputs) if self.views is None else self.views
        check_views(bound.views, inputs)
        bound.embed = embedder(model, self.embedding)
        bound.single = not tree.is_nested(structure)
        bound.projection = _own(self.projection)
        if not getattr(bound.projection, "built", True):
            row = tree.map_structure(
                lambda t: ops.zeros((1, *(d or 1 for d in t.shape[1:])), t.dtype),
                structure,
            )
            _, features = bound.embed(row)
            bound.projection.build(features.shape)
        return bound

    @property
    def layers(self):
        """Views and projection, as far as they are Keras layers."""
        parts = [*tree.flatten(self.views), self.projection]
        return [part for part in parts if isinstance(part, keras.layers.Layer)]

    def __call__(self, model, x, y, sample_weight=None):
        """Returns the `Losses` of a batch."""
        x = _only(x) if self.single else x
        first, second = self._pair(x)
        both = tree.map_structure(_stack, first, second)
        outputs, z = model(both, training=True, with_embedding=True)
        predictions = tree.map_structure(FirstHalf(), outputs)
        # L_SUP, on the first view
        supervised = model.compute_loss(
            x=first, y=y, y_pred=predictions, sample_weight=sample_weight, training=True
        )
        if self.projection is not None:
            z = as_in_training(self.projection, z)
        labels = self._labels(model, y)
        weights = _row_weights(sample_weight, y)
        # L_NCE; each replica sees its own part of the batch
        invariance = contrastive_loss(z, labels, self.temperature, weights)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # L = L_SUP + λ·L_NCE
        total = ops.cast(supervised, "float32") + self.weight * invariance / replicas
        values = (supervised * replicas, invariance)
        return Losses(total, predictions, dict(zip(self.terms, values, strict=True)))

    def _pair(self, x):
        """Two views of a batch."""
        if self._views[0] is not self.views:  # new, or replaced by the user
            self._views = self.views, drawer(self.views)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # XLA cannot read another replica's seeds.
        return self._views[1](x) if replicas == 1 else positive_pair(self.views, x)

    def _labels(self, model, y):
        if callable(self.labels):
            return self.labels(y)
        if not self.labels:
            return None
        y = _only(y)
        if self.labels == "auto":
            usable = is_classification(model) and y is not None
            return y if usable and len(y.shape) <= 2 else None
        if y is None:
            raise ValueError(
                "`labels=True` needs one array of labels, and there is none, or there "
                "are several. Pass labels=False, or a callable that picks the labels "
                "from y."
            )
        return y

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "views": save_object(self.views, f"{ROLE}.views"),
            "weight": self.weight,
            "temperature": self.temperature,
            "labels": save_object(self.labels, f"{ROLE}.labels"),
            "embedding": save_object(self.embedding, f"{ROLE}.embedding"),
            "projection": save_object(self.projection, f"{ROLE}.projection"),
        }

    @classmethod
    def from_config(cls, config):
        """Restores the parts; those that are gone raise when they are used."""
        parts = ("views", "labels", "embedding", "projection")
        loaded = {name: load_object(config[name], f"{ROLE}.{name}") for name in parts}
        return cls(**{**config, **loaded})


def drawer(views):
    """Returns ``(x) -> (x1, x2)`` for `views`, compiled by XLA if they are ours.

    A view is many small operations on all pixels, which XLA joins: SimCLR's take a
    fifth of the time, also within a training that is not compiled itself.
    """

    def draw(x):
        return positive_pair(views, x)

    return tf.function(draw, jit_compile=True) if are_compilable(views) else draw


class FirstHalf(keras.layers.Layer):
    """The rows of the first view, with the sequence mask that belongs to them."""

    def __init__(self):
        super().__init__(autocast=False)
        self.supports_masking = True

    def call(self, x):
        """Returns the first half of the rows."""
        return x[: ops.shape(x)[0] // 2]

    def compute_mask(self, x, previous_mask=None):
        """Returns the first half of the mask."""
        return None if previous_mask is None else self.call(previous_mask)


def is_classification(model) -> bool:
    """Whether the compiled loss is one classification loss, whatever it is called."""
    loss = _only(getattr(model, "loss", None))
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    names = [getattr(loss, "name", ""), getattr(loss, "__name__", "")]
    names = " ".join([*map(str, names), type(loss).__name__]).lower()
    return any(kind in names for kind in CLASSIFICATION)


def _projection(projection):
    if not isinstance(projection, int):
        return projection
    hidden = keras.layers.Dense(projection, activation="relu")
    return keras.Sequential([hidden, keras.layers.Dense(projection)], name="projection")


def _own(projection):
    """A projection of its own for each model; one that is built is meant as it is."""
    if projection is None or isinstance(projection, Missing) or projection.built:
        return projection
    return type(projection).from_config(projection.get_config())


def _check_stateless(model):
    for path, layer in walk(model):
        if getattr(layer, "stateful", False) is True:
            raise ValueError(
                "The search puts two views of each batch through the model at once, "
                f"which a stateful layer does not bear. Received: stateful {path!r}. "
                "Use stateful=False, or prune without this objective."
            )


def _only(structure):
    """The single element of a structure, or of a list or dict of one; else None."""
    elements = [part for part in tree.flatten(structure) if part is not None]
    return elements[0] if len(elements) == 1 else None


def _stack(first, second):
    return ops.concatenate([ops.cast(first, second.dtype), second], axis=0)


def _row_weights(sample_weight, y):
    """Per-row weights for L_NCE; weights per output or per step do not apply."""
    weights = _only(sample_weight)
    if weights is None or len(tree.flatten(y)) > 1:
        return None
    per_row = len(weights.shape) == 1 or weights.shape[1:] == (1,)
    return weights if per_row else None
