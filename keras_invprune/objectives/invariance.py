"""The contrastive invariance objective (ILO): L = L_SUP + λ·L_NCE."""

import keras
import tensorflow as tf
from keras import ops, tree

from keras_invprune.embedding import embedder, input_tensors
from keras_invprune.identifiers import load_object, save_object
from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.losses import Losses
from keras_invprune.views import check_views, default_views, positive_pair

CLASSIFICATION = ("crossentropy", "cross_entropy", "hinge", "focal")


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

    def bind(self, model):
        """Checks views and embedding against the plain Keras model `model`."""
        inputs = input_tensors(model)
        if self.views is None:
            self.views = default_views(inputs)
        check_views(self.views, inputs)
        self.embed = embedder(model, self.embedding)
        if self.projection is not None and not self.projection.built:
            batch = [ops.zeros((1, *(d or 1 for d in t.shape[1:]))) for t in inputs]
            _, features = self.embed(batch[0] if len(batch) == 1 else batch)
            self.projection.build(features.shape)

    @property
    def layers(self):
        """Views and projection, as far as they are Keras layers."""
        parts = [*tree.flatten(self.views), self.projection]
        return [part for part in parts if isinstance(part, keras.layers.Layer)]

    def __call__(self, model, x, y, sample_weight=None):
        """Returns the `Losses` of a batch."""
        first, second = positive_pair(self.views, x)
        both = tree.map_structure(_stack, first, second)
        outputs, z = model(both, training=True, with_embedding=True)
        predictions = tree.map_structure(FirstHalf(), outputs)
        # L_SUP, on the first view
        supervised = model.compute_loss(
            x=first, y=y, y_pred=predictions, sample_weight=sample_weight, training=True
        )
        if self.projection is not None:
            z = self.projection(z)
        labels = self._labels(model, y)
        weights = _row_weights(sample_weight, y)
        # L_NCE; each replica sees its own part of the batch
        invariance = contrastive_loss(z, labels, self.temperature, weights)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # L = L_SUP + λ·L_NCE
        total = ops.cast(supervised, "float32") + self.weight * invariance / replicas
        values = (supervised * replicas, invariance)
        return Losses(total, predictions, dict(zip(self.terms, values, strict=True)))

    def _labels(self, model, y):
        if callable(self.labels):
            return self.labels(y)
        if self.labels == "auto":
            usable = is_classification(model) and not _is_nested(y)
            return y if usable and y is not None and len(y.shape) <= 2 else None
        if not self.labels:
            return None
        if y is None or _is_nested(y):
            raise ValueError(
                "`labels=True` needs one array of labels. Received: "
                f"y={'None' if y is None else 'several arrays'}. Pass labels=False, or "
                "a callable that picks the labels from y."
            )
        return y

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "views": save_object(self.views, "views"),
            "weight": self.weight,
            "temperature": self.temperature,
            "labels": save_object(self.labels, "labels"),
            "embedding": save_object(self.embedding, "embedding"),
            "projection": save_object(self.projection, "projection"),
        }

    @classmethod
    def from_config(cls, config):
        """Restores the parts; those that are gone raise when they are used."""
        parts = ("views", "labels", "embedding", "projection")
        loaded = {name: load_object(config[name], name) for name in parts}
        return cls(**{**config, **loaded})


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
    """Whether the compiled loss is one classification loss."""
    loss = getattr(model, "loss", None)
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    name = name or getattr(loss, "__name__", "")
    return any(kind in name.lower() for kind in CLASSIFICATION)


def _projection(projection):
    if not isinstance(projection, int):
        return projection
    hidden = keras.layers.Dense(projection, activation="relu")
    return keras.Sequential([hidden, keras.layers.Dense(projection)], name="projection")


def _stack(first, second):
    return ops.concatenate([ops.cast(first, second.dtype), second], axis=0)


def _is_nested(y):
    return len(tree.flatten(y)) > 1


def _row_weights(sample_weight, y):
    """Per-row weights for L_NCE; weights per output or per step do not apply."""
    if sample_weight is None or _is_nested(sample_weight) or _is_nested(y):
        return None
    per_row = len(sample_weight.shape) == 1 or sample_weight.shape[1:] == (1,)
    return sample_weight if per_row else None
