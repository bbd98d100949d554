"""Distillation: a teacher's class probabilities as soft labels."""

import copy
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from keras_invprune.arguments import is_number
from keras_invprune.contracts import Embedder, Nested, Objective, ObjectiveLike, Tensor
from keras_invprune.graph.inputs import dense, input_structure, standardized
from keras_invprune.objectives._known import get
from keras_invprune.objectives.losses import Losses, as_losses, row_weights
from keras_invprune.objectives.teachers import (
    answer,
    asked,
    check_exclusive,
    check_keras,
    log_probabilities,
    told,
)
from keras_invprune.saving import Missing, load_object, name_of, save_object

logger = logging.getLogger("keras_invprune")
ROLE = "plan.objective"  # where a message says that a missing part belongs
TERM = "distillation_loss"


@keras.saving.register_keras_serializable(package="keras_invprune")
class Distillation(Objective):
    """The loss L = (1 - α) · L_base + α · T² · KL(p_T ‖ q_T) of a student.

    p_T are the teacher's class probabilities and q_T the student's, both softened by
    the temperature T: proportional to p^(1/T). The teacher sees the batch as it is.
    With an objective that draws views, its probabilities are labels of the views, as
    the class is.

    Args:
        teacher: A built Keras model with the student's inputs and classes, which is
            called in evaluation mode and not trained. Or a callable of NumPy arrays
            that returns probabilities, shape [batch, classes], such as
            ``forest.predict_proba``. It runs in Python for each batch, so that the step
            is not compiled by XLA. It must not call `predict` of a Keras model, nor any
            `tf.function`, for which the step would wait forever.
        weight: The weight α, in (0, 1].
        temperature: The temperature T > 0.
        base: The other objective: "supervised" or None for the compiled loss,
            "invariance", `Invariance(...)` or a callable
            (`keras_invprune.objectives`).
        from_logits: Whether the student returns logits. None: told from its last
            layer; a softmax or a sigmoid gives probabilities.

    Sample weights of rows count for both losses, those of positions for L_base only.

    A Keras teacher is not saved with the student, nor is a callable that is not
    registered. After loading an unfinished model, set
    ``model.plan.objective.teacher`` before `fit`.

    Example:
        >>> from keras_invprune import prune
        >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> student = keras.Sequential(
        ...     [
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(8, "relu"),
        ...         keras.layers.Dense(3, "softmax"),
        ...     ]
        ... )
        >>> pruned = prune(student, 0.5, objective=Distillation(teacher))

    Raises:
        ValueError: If α or T are out of range, or if `base` has a teacher, too. On
            `bind`: if the student has several outputs, if it cannot be told whether
            outputs are logits, if the teacher does not return probabilities of the
            student's classes, or if both have the same weights.
        TypeError: If `teacher` is not callable, or is a method of a Keras model.

    Source:
        Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network
        (1503.02531), section 2: the factor T², and the weighted average with the loss
        of the labels. The divergence differs from their cross-entropy by the teacher's
        entropy, which has no gradient.
    """

    def __init__(
        self,
        teacher: keras.Model | Callable[[Nested], Tensor],
        weight: float = 0.5,
        temperature: float = 2.0,
        base: str | ObjectiveLike | None = "supervised",
        from_logits: bool | None = None,
    ):
        if isinstance(teacher, type) or not callable(teacher):
            raise TypeError(
                "`teacher` must be a Keras model, or a callable that returns class "
                f"probabilities. Received: {teacher!r}. For a classifier of "
                "scikit-learn or XGBoost, pass its method predict_proba."
            )
        if inspect.ismethod(teacher) and isinstance(teacher.__self__, keras.Model):
            raise TypeError(
                "A method of a Keras model cannot run within a training step, which "
                f"would wait for it forever. Received: teacher={name_of(teacher)}. "
                "Pass the model itself."
            )
        if not (is_number(weight) and 0 < weight <= 1):
            raise ValueError(
                f"`weight` (α) must be in (0, 1]. Received: weight={weight!r}."
            )
        if not (is_number(temperature) and 0 < temperature < float("inf")):
            raise ValueError(
                "`temperature` (T) must be > 0 and finite. Received: "
                f"temperature={temperature!r}."
            )
        self.base = get(base)
        if isinstance(self.base, Distillation):
            raise ValueError(
                "`base` must not have a teacher, too. Received: base=Distillation("
                "...). Pass one teacher, such as a callable that averages both."
            )
        self.teacher = teacher
        self.weight, self.temperature = float(weight), float(temperature)
        self.from_logits = from_logits
        self.structure: Nested = None  # `bind` sets these two
        self.shape: tuple = ()

    @property
    def terms(self) -> tuple[str, ...]:  # type: ignore[override]
        """The terms of the other objective, and its own."""
        if self.base is None:
            return "supervised_loss", TERM
        return (*Objective.of(self.base).terms, TERM)

    @property
    def layers(self) -> Sequence[keras.Layer]:  # type: ignore[override]
        """The layers of the other objective; the teacher is not trained."""
        return Objective.of(self.base).layers

    @property
    def compiles(self) -> bool:  # type: ignore[override]
        """Whether XLA can compile it: not what a callable does in Python."""
        keras_teacher = isinstance(self.teacher, keras.Model | Missing)
        return keras_teacher and Objective.of(self.base).compiles

    @property
    def embed(self) -> Embedder | None:  # type: ignore[override]
        """What gives the embedding that the other objective asks for."""
        return Objective.of(self.base).embed

    def bind(self, model: keras.Model) -> Self:
        """Return an objective for this model only; `self` stays unbound.

        Args:
            model: The plain Keras model: the student.

        Raises:
            ValueError: If teacher or other objective do not fit the model, or if it
                has several outputs.
        """
        bound = copy.copy(self)
        bound.structure = input_structure(model)
        outputs = tree.flatten(model.compute_output_spec(bound.structure))
        if len(outputs) != 1:
            raise ValueError(
                "A teacher gives the probabilities of one output. Received: a model "
                f"with {len(outputs)}. Pass a model with one of them, or an objective "
                "of your own."
            )
        bound.shape = (None, *outputs[0].shape[1:])
        if bound.from_logits is None:
            bound.from_logits = told(model, "student", "Pass `from_logits`")
        check_exclusive(model, bound.shape)
        if isinstance(self.teacher, keras.Model):
            _check_apart(self.teacher, model)
            check_keras(
                self.teacher,
                self.teacher.compute_output_spec(bound.structure),
                bound.shape,
            )
        elif not isinstance(self.teacher, Missing) and _sized(bound.structure):
            answer(self.teacher, _row(bound.structure), bound.shape)
        if not self.compiles:
            logger.info(
                "%s runs in Python for each batch, so training is not compiled by XLA.",
                name_of(self.teacher),
            )
        bind = Objective.of(self.base).bind
        if bind is not None:
            bound.base = bind(model)
        return bound

    def __call__(
        self, model: keras.Model, x: Nested, y: Nested, sample_weight: Nested = None
    ) -> Losses:
        """Return the `Losses` of a batch."""
        losses = self._other(model, x, y, sample_weight)
        inputs = standardized(self.structure, dense(x))
        (predictions,) = tree.flatten(losses.predictions)
        # log p and log q
        teacher = asked(self.teacher, inputs, self.shape)
        student = log_probabilities(predictions, bool(self.from_logits))
        distance = divergence(teacher, student, self.temperature)
        weights = row_weights(sample_weight, y)
        if weights is not None:
            weights = ops.cast(ops.reshape(weights, (-1,)), "float32")
            distance = distance * weights
        # A replica may get no rows of the last batch.
        count = ops.cast(ops.maximum(ops.shape(distance)[0], 1), "float32")
        own = self.temperature**2 * ops.sum(distance) / count
        # L = (1 - α) · L_base + α · T² · KL, for the replica's own part of the batch
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        other = (1 - self.weight) * ops.cast(losses.total, "float32")
        total = other + self.weight * own / replicas
        return Losses(total, losses.predictions, losses.terms | {TERM: own})

    def _other(
        self, model: keras.Model, x: Nested, y: Nested, sample_weight: Nested
    ) -> Losses:
        """Return the losses of the other objective."""
        if self.base is not None:
            return as_losses(self.base(model, x, y, sample_weight))
        predictions = model(x, training=True)
        loss = model.compute_loss(x, y, predictions, sample_weight, True)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return Losses(loss, predictions, {"supervised_loss": loss * replicas})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; of a Keras teacher only the name."""
        teacher = self.teacher
        if isinstance(teacher, keras.Model):
            teacher = Missing(teacher.name, f"{ROLE}.teacher")
        return {
            "teacher": save_object(teacher, f"{ROLE}.teacher"),
            "weight": self.weight,
            "temperature": self.temperature,
            "base": save_object(self.base, f"{ROLE}.base"),
            "from_logits": self.from_logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the objective; parts that cannot be found raise on use."""
        parts = ("teacher", "base")
        loaded = {name: load_object(config[name], f"{ROLE}.{name}") for name in parts}
        found = cls(**{**config, **loaded})
        inside = vars(found.base).values() if found.base is not None else ()
        for part in tree.flatten(list(inside)):
            if isinstance(part, Missing):  # said by an objective that stands alone
                name = part.role.rpartition(".")[-1]
                part.role = f"{ROLE}.base.{name}"
        return found


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return KL(p_T ‖ q_T) of each row, the mean over its positions.

    Args:
        teacher: log p, shape [batch, ..., classes].
        student: log q, of the same shape.
        temperature: The temperature T.

    Returns:
        Shape [batch], in float32.

    Example:
        >>> alike = divergence(np.log([[0.5, 0.5]]), np.log([[0.5, 0.5]]), 2.0)
        >>> float(alike[0])
        0.0
    """
    # p_T = p^(1/T) / Σ p^(1/T), the softmax of logits / T
    log_p = ops.log_softmax(ops.cast(teacher, "float32") / temperature, axis=-1)
    log_q = ops.log_softmax(ops.cast(student, "float32") / temperature, axis=-1)
    each = ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
    return ops.mean(ops.reshape(each, (ops.shape(each)[0], -1)), axis=-1)


def _sized(structure: Nested) -> bool:
    """Return whether all lengths but the number of rows are known."""
    return all(None not in t.shape[1:] for t in tree.flatten(structure))


def _row(structure: Nested) -> Nested:
    """Return arrays of zeros for symbolic inputs."""
    return tree.map_structure(
        lambda t: np.zeros([length or 1 for length in t.shape], t.dtype), structure
    )


def _check_apart(teacher: keras.Model, student: keras.Model) -> None:
    """Raise ValueError if training the student would train its teacher."""
    own = {id(variable) for variable in student.trainable_variables}
    shared = [v.path for v in teacher.variables if id(v) in own]
    if shared:
        raise ValueError(
            "A teacher must not change while its student is trained, but the two "
            f"share weights. Received: {teacher.name!r}, which shares {shared[:3]}. "
            "Prune a copy (`copy=True`), or pass a clone of the teacher."
        )
