"""Callbacks that prune when the schedule says so, and that delay other callbacks."""

import logging
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_invprune import contracts, tfmot
from keras_invprune.schedules.base import Schedule

__all__ = ["AfterPruning", "PruningCallback"]

CHUNK = 1024  # steps to ask a schedule for if the length of an epoch is unknown

logger = logging.getLogger("keras_invprune")


class PruningCallback(keras.callbacks.Callback):
    """Updates the masks of a `PrunedModel` when its schedule says so.

    `fit` adds one automatically. It adds ``sparsity`` to the logs, so that the
    progress bar, `History` and TensorBoard show it. In a custom training loop, call
    its methods by hand (examples/custom_loop.py).
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Save the state to rewind to, before the first step."""
        self.model.begin_training()
        self._started = False
        self._way = 0, np.inf
        self._length: int | None = self.params.get("steps")
        self._visited: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Tell the schedule how long the training is.

        Nothing is pruned until the first batch begins: a callback that shows averaged
        weights between epochs, such as SwapEMAWeights, puts the trained ones back in
        `on_epoch_begin`.
        """
        self._first = self.model.step
        if self._visited is None:  # BackupAndRestore has restored its backup by now
            self._visited = self._first
            # Masks that move continue to move in a resumed training, not in a new one.
            done = self.model.finished and self.model.plan.rewires
            self._rests = done and epoch == 0
        if not self._started:
            self._start(epoch, self._length, resumed=epoch > 0)
        # Ask again in each epoch, since a schedule may learn from the logs. Start at
        # the last visit, since several steps may pass between two visits.
        self._visited = min(self._visited, self.model.step)
        self._plan_until = self._visited
        self._due = {}

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Prune if the schedule asks for it before this step."""
        # If Keras had to find out the length, it announces one batch too many.
        if self._length is None or batch < self._length:
            self._visit(self._first + batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the sparsity to the logs and show them to the schedule."""
        logs = {} if logs is None else logs
        self.model.end_epoch()
        logs["sparsity"] = self.model.sparsity
        if not self._started:
            self._length = self.model.step - self._first
            self._start(epoch, self._length, resumed=True)
            self._visited = self._first  # the next visit catches up on what was due
        if not self.model.finished:
            schedule = contracts.Schedule.of(self.model.plan.schedule)
            schedule.observe(self.model.step, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Mask the averaged weights; warn if the target sparsity was not reached."""
        self.model.end_training()
        by_hand = contracts.Schedule.of(self.model.plan.schedule).by_hand
        if not (self.model.finished or by_hand):
            warnings.warn(
                f"Training ended at sparsity {self.model.state.removed:.4g}, before "
                f"the target {self.model.plan.sparsity:.4g} was reached. Train longer, "
                "or let the schedule prune earlier, as in schedule=OneShot(sparsity, "
                "at=0.3). Wrap callbacks that stop the training in AfterPruning.",
                stacklevel=2,
            )

    def _start(self, epoch: int, steps: int | None, resumed: bool) -> None:
        schedule = self.model.plan.schedule
        origin, total, last = self._first, None, None
        if steps is not None:
            self._started = True
            # A resumed training began earlier, at step 0 of its epoch 0. One that
            # starts at a later epoch with a new model did not: hence the maximum.
            origin = max(0, self._first - epoch * steps)
            end = self._first + steps * (self.params.get("epochs", 1) - epoch)
            total = end - origin
            # The host sees only one in `steps_per_execution` steps.
            last = end - (steps - 1) % self.model.steps_per_execution
        if self._rests or (self.model.finished and not self.model.plan.rewires):
            return
        told = contracts.Schedule.of(schedule)
        learned = told.state() if resumed else {}
        told.start(origin, total)
        if learned:
            told.restore(learned)
        if last is not None and not self.model.finished:
            self._way = origin, self._goal(schedule, self._first + 1, last) - 1

    def _goal(self, schedule: contracts.ScheduleLike, first: int, last: int) -> int:
        """Return the step that reaches the target sparsity; warn if there is none."""
        target = self.model.plan.sparsity
        due = due_steps(schedule, first, last)
        reached = [step for step, s in due.items() if s >= target - 1e-6]
        if self.model.plan.rewires and len(due) < 2 and last > first:
            warnings.warn(
                f"{type(schedule).__name__} updates the masks only once in "
                f"{last - first + 1} steps, so that no connection moves. Use a "
                f"smaller `every`, as in kip.schedules.Rewire({target:g}, every=10), "
                "or train longer.",
                stacklevel=2,
            )
        if not (reached or contracts.Schedule.of(schedule).by_hand):
            warnings.warn(
                f"The schedule {type(schedule).__name__} does not reach the target "
                f"sparsity {target:.4g} in the steps {first} to {last} of this "
                f"training: it prunes at {sorted(due) or 'none of them'}. Choose "
                "earlier steps (in TF-MOT's schedules: end_step and frequency), or "
                "train longer.",
                stacklevel=2,
            )
        return min(reached, default=last)

    def _visit(self, step: int) -> None:
        self._visited = step
        if not self.model.finished:
            begun, goal = self._way
            self.model.anneal((step - 1 - begun) / max(1, goal - begun))
        rewound = self.model.finished and self.model.plan.rewind is not None
        if self._rests or rewound:
            return
        while self._plan_until < step:
            last = self._plan_until + (self._length or CHUNK)
            schedule = self.model.plan.schedule
            self._due.update(due_steps(schedule, self._plan_until + 1, last))
            self._plan_until = last
        passed = [due for due in self._due if due <= step]
        if passed:
            sparsity = self._due[max(passed)]
            if self.model.finished:  # the sparsity does not fall again
                sparsity = max(sparsity, self.model.plan.sparsity)
            self._due = {s: v for s, v in self._due.items() if s > step}
            if self.model.has_removed(sparsity):
                logger.info("step %d: already above sparsity %.4f", step, sparsity)
                return
            self.model.prune_to(sparsity)
            logger.info("step %d: pruned to sparsity %.4f", step, self.model.sparsity)


def due_steps(
    schedule: contracts.ScheduleLike, first: int, last: int
) -> dict[int, float]:
    """Return the steps from `first` to `last` at which a schedule prunes.

    Args:
        schedule: ``(step) -> (should_prune, sparsity)``. Our own schedules are called
            once with all steps, TF-MOT's in a graph as in its own wrapper, and others
            once for each step.
        first: First step.
        last: Last step.

    Returns:
        ``{step: sparsity}``.
    """
    steps = np.arange(first, last + 1, dtype=np.int64)
    if tfmot.is_own(schedule):
        should, sparsity = tfmot.ask(schedule, steps)
    elif isinstance(schedule, Schedule):
        should, sparsity = schedule(steps)
    else:  # the user's own, written for one step at a time
        answers = [schedule(int(step)) for step in steps]
        should = np.array([bool(answer[0]) for answer in answers])
        sparsity = np.array([float(answer[1]) for answer in answers])
    sparsity = np.broadcast_to(sparsity, steps.shape)
    due = zip(steps[should], sparsity[should], strict=True)
    return {int(step): float(share) for step, share in due}


class AfterPruning(keras.callbacks.Callback):
    """Starts another callback when pruning is finished.

    EarlyStopping must not stop the search, and ModelCheckpoint must not keep the dense
    network as the best. For the other callback, training begins with fine-tuning and
    epochs are counted from there. A LearningRateScheduler therefore runs its schedule
    from the start.

    Args:
        callback: The callback to delay.

    Raises:
        TypeError: If `callback` is not a Keras callback.

    Example:
        >>> stopping = keras.callbacks.EarlyStopping("val_loss", patience=3)
        >>> callbacks = [AfterPruning(stopping)]  # for `fit`
    """

    def __init__(self, callback: keras.callbacks.Callback):
        super().__init__()
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                "`callback` must be a keras.callbacks.Callback. "
                f"Received: {callback!r}."
            )
        self.callback = callback
        self._from: int | None = None

    def set_params(self, params: dict[str, Any]) -> None:
        """Pass the parameters on."""
        super().set_params(params)
        self.callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        """Pass the model on."""
        super().set_model(model)
        self.callback.set_model(model)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Wait for the end of pruning, also after an earlier training."""
        self._from = None
        self._epoch = 0

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """End the training of the other callback, if it has begun."""
        if self._from is not None:
            self.callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begin the training of the other callback in the first epoch after pruning."""
        self._epoch = epoch
        if self._from is not None:
            self.callback.on_epoch_begin(epoch - self._from, logs)
        else:
            self._maybe_begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Call the other callback, with epochs counted from pruning."""
        if self._from is not None:
            self.callback.on_epoch_end(epoch - self._from, logs)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Begin the training of the other callback if pruning has just finished."""
        if self._from is None:
            self._maybe_begin()
        if self._from is not None:
            self.callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Call the other callback if pruning is finished."""
        if self._from is not None:
            self.callback.on_train_batch_end(batch, logs)

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Call the other callback if pruning is finished."""
        if self._from is not None:
            self.callback.on_test_begin(logs)

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Call the other callback if pruning is finished."""
        if self._from is not None:
            self.callback.on_test_end(logs)

    def _maybe_begin(self) -> None:
        if self.model.finished:
            self._from = begun = self._pruned_in()
            epochs = self.params.get("epochs", 1) - begun
            self.callback.set_params({**self.params, "epochs": epochs})
            self.callback.on_train_begin()
            self.callback.on_epoch_begin(self._epoch - begun)

    def _pruned_in(self) -> int:
        """Return the epoch of pruning, which may precede a resumed training."""
        step, steps = self.model.finished_step, self.params.get("steps")
        if step is None or not steps:
            return self._epoch
        return max(0, self._epoch - -(-(self.model.step - step) // steps))


def with_pruning_first(
    callbacks: keras.callbacks.Callback | Iterable[keras.callbacks.Callback] | None,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks of `fit`, the `PruningCallback` first, added if missing."""
    if callbacks is None:
        callbacks = []
    elif isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    elif isinstance(callbacks, keras.callbacks.CallbackList):
        raise TypeError(
            "`callbacks` must be a list, since `fit` puts the PruningCallback first. "
            "Received: a CallbackList. Pass its callbacks as a list."
        )
    pruning = [c for c in callbacks if isinstance(c, PruningCallback)]
    others = [c for c in callbacks if not isinstance(c, PruningCallback)]
    return (pruning or [PruningCallback()]) + others
