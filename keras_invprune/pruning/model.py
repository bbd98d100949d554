"""The model that is trained: searches, is pruned, rewound and fine-tuned in one fit."""

import functools
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from keras_invprune import contracts
from keras_invprune.callbacks import with_pruning_first
from keras_invprune.contracts import (
    Arrays,
    Nested,
    Objective,
    PruningWrapper,
    ScoreContext,
    Tensor,
)
from keras_invprune.graph.inventory import left_alone
from keras_invprune.graph.weights import Weight, own_metrics, set_trainable, walk
from keras_invprune.masks.groups import Grouped
from keras_invprune.objectives import Losses
from keras_invprune.pruning.checkpoint import (
    all_or_nothing,
    extra_state,
    load_extra_state,
    split,
)
from keras_invprune.pruning.checks import (
    check_compiled,
    check_fit,
    check_masks,
    check_own_steps,
)
from keras_invprune.pruning.loss import loss_at
from keras_invprune.pruning.masked import Masked
from keras_invprune.pruning.plan import Plan
from keras_invprune.pruning.state import Clock, PruningState, counter
from keras_invprune.scores._examples import examples_for


@keras.saving.register_keras_serializable(package="keras_invprune")
class PrunedModel(PruningWrapper, keras.Model):
    """A Keras model under masks, with the plan to prune it. Made by `prune`.

    Train it like any Keras model. While it is searching, each step minimizes the
    plan's objective; when the schedule fires, the `PruningCallback` calls
    `prune_to`, and at the target sparsity the survivors are rewound and training
    goes on with the compiled loss alone, the masks fixed.

    Args:
        model: The Keras model to train; masks are added around it.
        plan: What `prune` was told, resolved.
        keys: Keys of the weights to prune, or ``{key: Weight}``.
        name: Name of the model.
        owns_inner: Whether `model` is a copy of our own, not the caller's model.

    Attributes:
        searching: Whether training steps minimize the plan's objective. A train
            function traced before this changes must be traced again.
        state: `PruningState`: how far the pruning has come.
        visited: Whether a `PruningCallback` has begun its work.
        examples: ``(x, y, sample_weight)`` that `fit` drew for the plan's score.
    """

    def __init__(
        self,
        model: keras.Model,
        plan: Plan,
        keys: Iterable[str] | Mapping[str, Weight],
        name: str | None = None,
        owns_inner: bool = True,
    ):
        super().__init__(
            name=name or f"pruned_{model.name}",
            dtype=model.dtype_policy,
            autocast=False,  # the inner model casts
        )
        self.supports_masking = True
        self.plan = plan
        self.owns_inner = owns_inner
        self.masked = Masked(model, keys, plan.effective)
        self._strategy = tf.distribute.get_strategy()
        clock = Clock(counter(self, "clock", "int64"))
        finished = counter(self, "finished", "int32")
        self.state = PruningState(self.masked, plan, clock, finished)
        self.examples, self.visited = None, False
        self._bind_objective(model)
        self.searching = plan.objective is not None
        self.built = True

    def _bind_objective(self, model):
        bind = Objective.of(self.plan.objective).bind
        if bind is not None:
            self.plan.objective = bind(model)
        objective = Objective.of(self.plan.objective)
        self._objective_layers = list(objective.layers)
        set_trainable(self._objective_layers, True)  # when saved, they may be frozen
        self._terms = [keras.metrics.Mean(name=name) for name in objective.terms]

    @property
    def inner(self):
        """The Keras model inside; its weights are read through the masks."""
        return self.masked.layer

    @property
    def masks(self):
        """``{key: variable of 0 and 1}``."""
        return self.masked.masks

    @property
    def left_alone(self) -> dict[str, str]:
        """Why each weight of two axes and more that is not pruned is not."""
        return left_alone(self.inner, self.masked.keys) | self.plan.left_out

    @property
    def sparsity(self) -> float:
        """Share of the prunable weights that are masked."""
        return self.masked.sparsity

    @property
    def step(self) -> int:
        """Training steps made; unlike `optimizer.iterations` never reset."""
        return self.state.clock.step

    @property
    def finished(self) -> bool:
        """Whether the target sparsity has been reached."""
        return self.state.finished

    @property
    def finished_step(self) -> int | None:
        """The number of steps made when the target was reached."""
        return self.state.remembered.finished_step

    @property
    def events(self) -> list[tuple[int, str]]:
        """``(step, what happened)`` of each pruning and rewinding."""
        return self.state.events

    @property
    def collapsed(self) -> list[str]:
        """Keys of the weights of which pruning has left nothing."""
        return self.state.collapsed

    @property
    def output_names(self):
        """Names of the outputs, so that losses can be given by name."""
        return getattr(self.inner, "output_names", None)

    @property
    def metrics(self):
        """Keras's metrics; those of the objective only while it is searching.

        Not what the model inside was compiled with, which nobody updates here.
        """
        hidden = [] if self.searching else self._terms
        hidden = {id(metric) for metric in hidden + _compiled_metrics(self.inner)}
        return [metric for metric in super().metrics if id(metric) not in hidden]

    @property
    def search_only(self) -> list:
        """Trainable weights of the objective and the score, not of the network."""
        layers = self._objective_layers
        found = [v for layer in layers for v in layer.trainable_variables]
        return [*found, *self.masked.learned]

    def set_weights(self, weights: list[np.ndarray]):
        """As `keras.Model.set_weights`; the clock counts on and is never put back.

        Masks and the phase are weights as well, and go along with the others.

        Raises:
            ValueError: If the masks given are averages of several.
        """
        flags = {id(v) for v in (*self.masks.values(), self.state.flag)}
        own = self.weights
        if len(weights) == len(own):  # or Keras says so
            weights = [
                check_masks(v.path, value) if id(v) in flags else value
                for v, value in zip(own, weights, strict=True)
            ]
        made = self.step
        super().set_weights(weights)
        self.state.clock.catch_up(made)
        self.set_phase()

    def summary(self, *args, **kwargs):
        """Prints the summary of the model inside."""
        self.inner.summary(*args, **kwargs)

    def call(
        self, inputs: Nested, training: bool | None = None, with_embedding: bool = False
    ):
        """Outputs of the masked model; with its embedding if asked for."""
        if with_embedding:
            embed = self.plan.objective.embed
            return self.masked.run(embed, inputs, training=training)
        return self.masked(inputs, training=training)

    def compute_mask(self, inputs: Nested, previous_mask: Tensor | None = None):
        """The inner model has set the masks of its outputs already."""
        del inputs, previous_mask
        return None

    def score_context(self) -> ScoreContext:
        """Returns what a score may ask about this model now."""
        masked = self.masked
        shapes = {key: variable.shape for key, variable in masked.prunable.items()}
        schedule = contracts.Schedule.of(self.plan.schedule)
        return ScoreContext(
            network=self.inner,
            variables=masked.prunable,
            masks=masked.masks,
            groups=Grouped(self.plan.pattern, shapes, masked.layouts),
            step=self.step,
            moving=self.finished,
            decay=schedule.decay(self.step),
            examples=self.examples,
            learned=masked.own,
            loss=functools.partial(loss_at, self),
        )

    # Pruning: what the `PruningCallback` calls, or a loop of one's own

    def begin_training(self):
        """Remembers what to rewind to, before the first step.

        Raises:
            ValueError: If the optimizer could not be built anew when rewinding, or the
                model is not compiled.
        """
        self.visited = True
        check_compiled(self)
        self.build_optimizer()
        self.state.begin(self.optimizer, self.trainable_variables)

    def build_optimizer(self):
        """Also for what is learned no more, so that saved states fit in any phase."""
        if self.optimizer is not None and any(self.masked.own.values()):
            settled = self.masked.settled
            self.masked.settle(False)
            with self._strategy.scope():
                self.optimizer.build(self.trainable_variables)
            self.masked.settle(settled)

    def anneal(self, progress: float):
        """Tells the method how far it is on the way to the target, from 0 to 1."""
        self.state.anneal(progress)

    def end_epoch(self):
        """Remembers the weights after the first epoch; stores the masked weights."""
        self.state.end_epoch()

    def end_training(self):
        """Stores the masked weights: averages of an optimizer may hold others."""
        self.state.store()

    def prune_to(self, sparsity: float):
        """Renews the masks; at the target sparsity rewinds and ends the search.

        Logs a warning where a weight loses all its entries.

        Args:
            sparsity: Share of the prunable weights to remove, in [0, 1).

        Raises:
            ValueError: If the weights are not finite (the search has diverged), or
                fewer would be removed than are.
        """
        if self.state.prune_to(sparsity, self):
            optimizer = self.optimizer if self.compiled else None
            self.state.finish(optimizer, list(self.trainable_variables))
            self.set_phase()
            self.state.store()

    @property
    def may_return(self) -> bool:
        """Whether masked weights may come back, moved or remembered."""
        return self.state.may_return

    def has_removed(self, sparsity: float) -> bool:
        """Whether more is gone than is to be removed on the way to the target."""
        return self.state.has_removed(sparsity)

    def warn_of_collapse(self, masks: Arrays):
        """Logs what masks that are to be set leave nothing of, and did not before."""
        self.state.warn_of_collapse(masks)

    # Training

    @property
    def phase(self) -> tuple[bool, bool]:
        """(searching, reads w·m): a step traced for one phase is no good for another.

        For custom loops, whose step takes it as an argument.
        """
        return self.searching, self.masked.settled

    def fit(self, *args, **kwargs):
        """As `keras.Model.fit`; adds the `PruningCallback` if it is not given.

        Raises:
            ValueError: NaN in the data, a callback that cannot be rewound, no rows
                for the score, or a strategy's scope the model was not made in.
        """
        arguments = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        arguments["callbacks"] = with_pruning_first(arguments.get("callbacks"))
        check_fit(self, self._strategy, arguments)
        goes_on = bool(arguments.get("initial_epoch"))
        if not self.finished or (self.plan.rewires and goes_on):
            vars(self)["examples"] = examples_for(self.plan.score, arguments)
        self.build_optimizer()
        return super().fit(**arguments)

    def make_train_function(self, force: bool = False):
        """Traces the search or the fine-tuning step, whichever is due."""
        self.set_phase()
        super().make_train_function(force=force)

    def set_phase(self):
        """Searches or fine-tunes from here on, as pruning is finished or not."""
        searching = self.plan.objective is not None and not self.finished
        settled = self.finished and not self.plan.rewires
        changed = (searching, settled) != self.phase
        stale = changed and self.train_function is not None
        self.searching = searching
        self.masked.settle(settled)
        set_trainable(self._objective_layers, searching)
        if stale:  # traced for the other phase
            super().make_train_function(force=True)

    def count_step(self):
        """Counts a training step; for custom loops, `train_step` does it itself."""
        self.state.clock.count()

    def train_step(self, data: Nested):
        """One step of the search or of the fine-tuning."""
        # After the data have come: a step that finds none left is not one.
        parts = tf.nest.flatten(data, expand_composites=True)  # also of sparse tensors
        with tf.control_dependencies([part for part in parts if part is not None]):
            self.count_step()
        if not self.searching:
            return super().train_step(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            losses = self.search_loss(x, y, sample_weight)
            scaled = self.optimizer.scale_loss(losses.total)
        variables = self.trainable_weights
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        self._record(losses, x)
        return self.compute_metrics(x, y, losses.predictions, sample_weight)

    def search_loss(
        self, x: Nested, y: Nested = None, sample_weight: Nested = None
    ) -> Losses:
        """The plan's objective on one batch, for custom training loops too.

        Raises:
            TypeError: The objective returns something else.
        """
        losses = self.plan.objective(self, x, y, sample_weight)
        if isinstance(losses, Losses):
            return losses
        if not (isinstance(losses, tuple | list) and len(losses) == 2):
            raise TypeError(
                "An objective must return (loss, predictions), or `Losses`. "
                f"Received: {type(losses).__name__}."
            )
        total, predictions = losses
        return Losses(total, predictions, {})

    def _record(self, losses, x):
        count = ops.shape(tree.flatten(x)[0])[0]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(losses.total * replicas, sample_weight=count)
        for metric in self._terms:
            metric.update_state(losses.terms[metric.name], sample_weight=count)

    def test_step(self, data: Nested):
        """As Keras's; the objective's terms are for training only.

        Raises:
            ValueError: The model inside has a `test_step` or loss of its own.
        """
        check_own_steps(self.inner)
        hidden = {metric.name for metric in self._terms}
        logs = super().test_step(data)
        return {name: value for name, value in logs.items() if name not in hidden}

    def load_weights(self, filepath: str | Path, *args, **kwargs):
        """As `keras.Model.load_weights`; all or nothing.

        Raises:
            ValueError: If the file is of another model; no weight has changed.
        """
        with all_or_nothing(self, filepath):
            super().load_weights(filepath, *args, **kwargs)

    def save_own_variables(self, store: Any):
        """Saves, with its own weights, what an interrupted training needs."""
        super().save_own_variables(store)
        for name, value in extra_state(self).items():
            store[name] = value

    def load_own_variables(self, store: Any):
        """Loads its own weights, and what an interrupted training needs."""
        own, extra = split(store)
        super().load_own_variables(own)
        load_extra_state(self, extra)
        self.set_phase()

    def get_config(self):
        """The inner model, the plan and the pruned keys; masks are weights."""
        return {
            "model": keras.saving.serialize_keras_object(self.inner),
            "plan": self.plan.save(),
            "keys": self.masked.keys,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ):
        """Builds the model again; missing callables are named when they are used."""
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        made = cls(model, Plan.load(config["plan"]), config["keys"], config["name"])
        made.visited = True  # as far as is known
        return made


def _compiled_metrics(model) -> list:
    """What `model` and those inside it were compiled with, of all their metrics."""
    kept = {id(metric) for metric in own_metrics(model)}
    inside = [layer for _, layer in walk(model) if isinstance(layer, keras.Model)]
    reported = [metric for each in inside if each.compiled for metric in each.metrics]
    return [metric for metric in reported if id(metric) not in kept]
