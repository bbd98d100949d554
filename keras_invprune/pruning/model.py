"""The trained model: one fit searches, prunes, rewinds and fine-tunes."""

import functools
import inspect
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Self

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
from keras_invprune.graph.weights import (
    Weight,
    own_metrics,
    set_trainable,
    walk,
    weights_by_key,
)
from keras_invprune.objectives.losses import Losses, as_losses
from keras_invprune.pruning.checkpoint import (
    all_or_nothing,
    check_masks,
    extra_state,
    load_extra_state,
    split,
)
from keras_invprune.pruning.examples import examples_for
from keras_invprune.pruning.fit_checks import (
    check_compiled,
    check_fit,
    check_own_steps,
)
from keras_invprune.pruning.loss import loss_at
from keras_invprune.pruning.masked import Masked
from keras_invprune.pruning.plan import Plan
from keras_invprune.pruning.recomputed import check_gradients
from keras_invprune.pruning.state import Clock, PruningState, counter
from keras_invprune.pruning.tracing import variables_made_outside

HDF5 = (".h5", ".hdf5")


@keras.saving.register_keras_serializable(package="keras_invprune")
class PrunedModel(PruningWrapper, keras.Model):
    """A Keras model under masks, with the plan to prune it. Made by `prune`.

    Train it like any Keras model. During the search, each step minimizes the plan's
    objective. When the schedule fires, the `PruningCallback` calls `prune_to`. At the
    target sparsity the surviving weights are rewound, and training continues with the
    compiled loss alone and fixed masks.

    Args:
        model: The Keras model to train; masks are added around it.
        plan: The arguments of `prune`, resolved.
        keys: Keys of the weights to prune, or ``{key: Weight}``.
        name: Name of the model.
        owns_inner: Whether `model` is a copy, not the caller's own model.

    Attributes:
        searching: Whether training steps minimize the plan's objective. When this
            changes, a train function must be traced again.
        state: `PruningState`: how far the pruning has come.
        visited: Whether a `PruningCallback` has started its work.
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
        self.owns_inner = owns_inner
        self.masked = Masked(model, keys, plan.effective, plan.readers, plan.grid)
        self._strategy = tf.distribute.get_strategy()
        clock = Clock(counter(self, "clock", "int64"))
        finished = counter(self, "finished", "int32")
        self.state = PruningState(self.masked, plan, clock, finished)
        self.visited = False
        self._bind_objective(model)
        self.searching = plan.objective is not None
        self.built = True

    def _bind_objective(self, model: keras.Model) -> None:
        bind = Objective.of(self.plan.objective).bind
        if bind is not None:
            self.plan.objective = bind(model)
        objective = Objective.of(self.plan.objective)
        self.supports_jit = objective.compiles
        self._objective_layers = list(objective.layers)
        set_trainable(self._objective_layers, True)  # they may have been saved frozen
        self._terms = [keras.metrics.Mean(name=name) for name in objective.terms]

    @property
    def inner(self) -> keras.Model:
        """The Keras model inside; its weights are read through the masks."""
        return self.masked.layer

    @property
    def plan(self) -> Plan:
        """The choices that make the method."""
        return self.state.plan

    @property
    def examples(self) -> tuple | None:
        """``(x, y, sample_weight)`` that the plan's score may read, or None."""
        return self.state.examples

    @property
    def masks(self) -> dict[str, keras.Variable]:
        """``{key: variable of 0 and 1}``."""
        return self.masked.masks

    @property
    def left_alone(self) -> dict[str, str]:
        """``{key: reason}`` of each weight of two or more axes that is not pruned.

        Where it reads units that are removed, it is masked all the same.
        """
        return left_alone(self.inner, self.masked.keys) | self.plan.left_out

    @property
    def sparsity(self) -> float:
        """Share of the prunable weights that is masked."""
        return self.masked.sparsity

    @property
    def step(self) -> int:
        """Number of training steps made; unlike `optimizer.iterations` never reset."""
        return self.state.clock.step

    @property
    def finished(self) -> bool:
        """Whether the target sparsity has been reached."""
        return self.state.finished

    @property
    def finished_step(self) -> int | None:
        """Number of training steps made when the target was reached, or None."""
        return self.state.remembered.finished_step

    @property
    def events(self) -> list[tuple[int, str]]:
        """``(step, what happened)`` of each pruning and rewinding."""
        return self.state.events

    @property
    def collapsed(self) -> list[str]:
        """Keys of the weights that are masked entirely."""
        return self.state.collapsed

    @property
    def output_names(self) -> list[str] | None:
        """Names of the outputs, so that losses can be given by name."""
        return getattr(self.inner, "output_names", None)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Keras's metrics, with those of the objective during the search only.

        The metrics that the inner model was compiled with are left out, since nothing
        updates them here.
        """
        own = [] if self.searching else self._terms
        hidden = {id(metric) for metric in own + _compiled_metrics(self.inner)}
        return [metric for metric in super().metrics if id(metric) not in hidden]

    @property
    def search_only(self) -> list:
        """Trainable weights of the objective and the score, not of the network."""
        layers = self._objective_layers
        found = [v for layer in layers for v in layer.trainable_variables]
        return [*found, *self.masked.learned]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Set the weights as `keras.Model.set_weights` does; the clock is not reset.

        Masks and the phase are weights as well and are set with the others.

        Raises:
            ValueError: If the masks given are averages of several masks.
        """
        flags = {id(v) for v in (*self.masks.values(), self.state.flag)}
        own = self.weights
        if len(weights) == len(own):  # otherwise Keras raises
            weights = [
                check_masks(v.path, value) if id(v) in flags else value
                for v, value in zip(own, weights, strict=True)
            ]
        made = self.step
        super().set_weights(weights)
        self.state.clock.catch_up(made)
        self.set_phase()

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Print the summary of the inner model."""
        self.inner.summary(*args, **kwargs)

    def call(
        self, inputs: Nested, training: bool | None = None, with_embedding: bool = False
    ) -> Nested:
        """Return the outputs of the masked model, with its embedding on request.

        Raises:
            ValueError: If the objective has no embedding.
        """
        if with_embedding:
            embed = Objective.of(self.plan.objective).embed
            if embed is None:
                raise ValueError(
                    "`with_embedding=True` needs an objective that has an embedding. "
                    f"Received: {self.plan.objective!r}. Use objective='invariance'."
                )
            return self.masked.run(embed, inputs, training=training)
        return self.masked(inputs, training=training)

    def compute_mask(self, inputs: Nested, previous_mask: Tensor | None = None) -> None:
        """Return None: the inner model has set the masks of its outputs."""
        del inputs, previous_mask
        return None

    def score_context(self) -> ScoreContext:
        """Return what a score may ask about this model now."""
        masked = self.masked
        shapes = {key: variable.shape for key, variable in masked.prunable.items()}
        schedule = contracts.Schedule.of(self.plan.schedule)
        return ScoreContext(
            network=self.inner,
            variables=masked.prunable,
            masks=masked.masks,
            groups=self.plan.groups(shapes, masked.layouts),
            layouts=masked.layouts,
            step=self.step,
            moving=self.finished,
            decay=schedule.decay(self.step),
            examples=self.examples,
            learned=masked.own,
            loss=functools.partial(loss_at, self),
        )

    # Pruning: called by the `PruningCallback` or by a custom loop

    def draw_examples(self, x: Nested = None, y: Nested = None, **options: Any) -> None:
        """Draw the rows that the plan's score reads. `fit` does so by itself.

        Args:
            x: Training inputs, or a data set, as for `fit`.
            y: Labels.
            **options: Further arguments of `fit`: ``sample_weight``, ``class_weight``
                and ``validation_split`` are used, all others are ignored.

        Raises:
            ValueError: If the score reads rows and the data can be read only once, or
                there are none.
        """
        rows = {"x": x, "y": y, **options}
        self.state.examples = examples_for(self.plan.score, rows)

    def begin_training(self) -> None:
        """Remember what to rewind to, before the first step.

        Raises:
            ValueError: If the model is not compiled, if the optimizer cannot be
                rebuilt when rewinding, or if masks would stop the gradients.
        """
        self.visited = True
        check_compiled(self)
        check_gradients(self, self.inner, self.masked.prunable, self.masks)
        self.build_optimizer()
        self.state.begin(self.optimizer, self.trainable_variables)

    def build_optimizer(self) -> None:
        """Build the optimizer for all phases, so that saved states fit in each."""
        if self.optimizer is not None and any(self.masked.own.values()):
            settled = self.masked.settled
            self.masked.settle(False)
            with self._strategy.scope():
                self.optimizer.build(self.trainable_variables)
            self.masked.settle(settled)

    def anneal(self, progress: float) -> None:
        """Tell the method its progress to the target, from 0 to 1."""
        self.state.anneal(progress)

    def end_epoch(self) -> None:
        """Remember the weights after the first epoch; store masked weights as 0."""
        self.state.end_epoch()

    def end_training(self) -> None:
        """Store masked weights as 0, which averages of an optimizer may not be."""
        self.state.store()

    def prune_to(self, sparsity: float) -> None:
        """Renew the masks; at the target sparsity, rewind and end the search.

        A warning is logged if a weight loses all its entries.

        Args:
            sparsity: Share of the prunable weights to remove, in [0, 1).

        Raises:
            ValueError: If the weights are not finite (training has diverged), or if
                fewer weights would be removed than already are. With a budget: if the
                share is lower than the last one, unless no more than that is removed.
        """
        if self.state.prune_to(sparsity, self):
            optimizer = self.optimizer if self.compiled else None
            self.state.finish(optimizer, list(self.trainable_variables))
            self.set_phase()
            self.state.store()

    @property
    def may_return(self) -> bool:
        """Whether masked weights may return, by moving masks or by stored values."""
        return self.state.may_return

    def has_removed(self, sparsity: float) -> bool:
        """Return whether more is gone for good than `sparsity` asks to remove."""
        return self.state.has_removed(sparsity)

    def warn_of_collapse(self, masks: Arrays) -> None:
        """Log the weights that new masks remove entirely, unlike present ones."""
        self.state.warn_of_collapse(masks)

    # Training

    @property
    def phase(self) -> tuple[bool, bool]:
        """(searching, training reads w·m): each phase needs a train step of its own.

        The step of a custom loop takes it as an argument, so that it is traced again.
        """
        return self.searching, self.masked.settled

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does, with a `PruningCallback` if none is given.

        Raises:
            ValueError: If the data hold NaN, a callback cannot be rewound, there are
                no rows for the score, or the model was made under another strategy.
        """
        arguments = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        arguments["callbacks"] = with_pruning_first(arguments.get("callbacks"))
        check_fit(self, self._strategy, arguments)
        resumed = bool(arguments.get("initial_epoch"))
        if not self.finished or (self.plan.rewires and resumed):
            self.draw_examples(**arguments)
        self.build_optimizer()
        return super().fit(**arguments)

    def make_train_function(self, force: bool = False) -> None:
        """Trace the step of the present phase: search or fine-tuning."""
        self.set_phase()
        if not Objective.of(self.plan.objective).compiles:
            self.jit_compile = False  # the objective may be another one since loading
        super().make_train_function(force=force)

    def set_phase(self) -> None:
        """Switch to fine-tuning if pruning is finished, or else to the search."""
        searching = self.plan.objective is not None and not self.finished
        settled = self.finished and not self.plan.rewires
        changed = (searching, settled) != self.phase
        stale = changed and self.train_function is not None
        self.searching = searching
        self.masked.settle(settled)
        set_trainable(self._objective_layers, searching)
        if stale:  # traced for the other phase
            super().make_train_function(force=True)

    def count_step(self) -> None:
        """Count a training step in a custom loop; `train_step` counts its own."""
        self.state.clock.count()

    def train_step(self, data: Nested) -> dict[str, Tensor]:
        """Make one step of the search or of the fine-tuning."""
        with variables_made_outside(self):
            return self._train_step(data)

    def _train_step(self, data: Nested) -> dict[str, Tensor]:
        # After the data have arrived: a step that finds none is not counted.
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
        """Return the plan's objective on one batch, also for custom loops.

        Raises:
            TypeError: If there is no objective, or if it returns neither `Losses` nor a
                pair.
        """
        objective = self.plan.objective
        if objective is None:
            raise TypeError(
                "The search has a loss of its own only if it has an objective. "
                "Received: objective=None. Call `compute_loss`."
            )
        return as_losses(objective(self, x, y, sample_weight))

    def _record(self, losses: Losses, x: Nested) -> None:
        count = ops.shape(tree.flatten(x)[0])[0]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(losses.total * replicas, sample_weight=count)
        for metric in self._terms:
            metric.update_state(losses.terms[metric.name], sample_weight=count)

    def test_step(self, data: Nested) -> dict[str, Tensor]:
        """Evaluate one batch as Keras does, without the terms of the objective.

        Raises:
            ValueError: If the inner model has a `test_step` or loss of its own.
        """
        check_own_steps(self.inner)
        hidden = {metric.name for metric in self._terms}
        with variables_made_outside(self):
            logs = super().test_step(data)
        return {name: value for name, value in logs.items() if name not in hidden}

    def save(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save the model as `keras.Model.save` does, to a .keras file.

        Raises:
            ValueError: If the file is in Keras's old format, HDF5, which has no place
                for what resuming a training needs.
        """
        if str(filepath).endswith(HDF5):
            raise ValueError(
                "A pruned model is saved to a .keras file, since HDF5 cannot hold what "
                f"resuming its training needs. Received: {str(filepath)!r}. After the "
                f"training, `strip_pruning(model)` can be saved to {HDF5[0]}."
            )
        super().save(filepath, *args, **kwargs)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """Raise, since files for runtimes have no masks.

        Raises:
            ValueError: If it is called, whatever the arguments.
        """
        raise ValueError(
            "Files for runtimes have no masks. Strip them, and export the plain model: "
            "`kip.export(kip.strip_pruning(model), folder)`."
        )

    def load_weights(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Load all weights as `keras.Model.load_weights` does, or none.

        Raises:
            ValueError: If the file is of another model; then no weight has changed.
        """
        with all_or_nothing(self, filepath):
            super().load_weights(filepath, *args, **kwargs)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Save its own weights, and what resuming an interrupted training needs."""
        super().save_own_variables(store)
        for name, value in extra_state(self).items():
            store[name] = value

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load its own weights, and what resuming an interrupted training needs."""
        own, extra = split(store)
        super().load_own_variables(own)
        load_extra_state(self, extra)
        self.set_phase()

    def get_config(self) -> dict[str, Any]:
        """Return the inner model, the plan and the keys; masks are saved as weights."""
        return {
            "model": keras.saving.serialize_keras_object(self.inner),
            "plan": self.plan.save(),
            "keys": self.masked.keys,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the model of a config; missing callables raise when they are used."""
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        plan, keys = Plan.load(config["plan"]), config["keys"]
        selected = [key for key in keys if key not in plan.readers]
        weights = weights_by_key(model)
        plan.bind(model, weights, selected, keys)
        if plan.budget is not None:
            plan.price(model, weights)
        made = cls(model, plan, keys, config["name"])
        made.visited = True  # it is not saved: assume so
        return made


def _compiled_metrics(model: keras.Model) -> list:
    """Return the metrics that `model` and models inside it were compiled with."""
    kept = {id(metric) for metric in own_metrics(model)}
    inside = [layer for _, layer in walk(model) if isinstance(layer, keras.Model)]
    reported = [metric for each in inside if each.compiled for metric in each.metrics]
    return [metric for metric in reported if id(metric) not in kept]
