"""Training that is validated after each epoch, and resumes where it stopped."""

import math

import keras
import numpy as np

from keras_invprune.contracts import Schedule
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.scores import GumbelSoftmax
from keras_invprune_lab.training.augment import AUGMENTATIONS
from keras_invprune_lab.training.checkpoint import Checkpoint
from keras_invprune_lab.training.metrics import scores
from keras_invprune_lab.training.order import batches

CHUNK = 4096  # rows predicted at once
PAUSE = 30.0  # seconds of training that an interruption may cost
LONG = 10_000  # steps of a training that is worth compiling
NO_KERNELS = ["bias", "beta", "gamma"]  # in Keras's names of weights


class Selecting(Checkpoint):
    """Validates after each epoch; keeps the best epoch, and snapshots.

    Of a network that is pruned while it trains, epochs before the target sparsity are
    not chosen. With snapshots the classifier is an ensemble: the mean of the logits of
    all snapshots so far and of the current weights.

    Args:
        folder: Where the state is saved.
        x: Validation inputs.
        y: Their classes.
        select: Name of the figure that the best epoch has most of.
        restarts: Epochs (numbers of them made) whose weights join the ensemble.
        pause: See `Checkpoint`; None for `PAUSE`.
        waits: Whether the network is pruned while it trains.

    Attributes:
        best: The best epoch, from 1; its weights are `best_weights`.
        snapshots: Weights of the ensemble at the best epoch, without its own.
    """

    def __init__(self, folder, x, y, select, restarts=(), pause=None, waits=False):
        super().__init__(folder, PAUSE if pause is None else pause)
        self.x, self.y, self.select = x, y, f"val_{select}"
        self.restarts, self.waits = set(restarts), waits
        self.best_weights, self._snapshots, self._logits = None, {}, []

    @property
    def best(self) -> int:
        """The first epoch whose validation figure is highest, from 1."""
        return 1 + int(np.argmax([self._worth(logs) for logs in self.history]))

    def _worth(self, logs) -> float:
        """Return the figure to choose by; dense epochs are below all pruned ones."""
        return logs[self.select] - (0.0 if logs.get("pruned", True) else 2.0)

    @property
    def snapshots(self) -> list:
        """Weights of the snapshots taken before the best epoch."""
        return [w for epoch, w in self._snapshots.items() if epoch < self.best]

    def restore(self, model) -> int:
        """Load the last state, with the best weights and snapshots until then."""
        epochs = super().restore(model)
        for file in [*self.folder.glob("best-*"), *self.folder.glob("snapshot-*")]:
            if int(file.stem.split("-")[1]) > epochs:
                file.unlink()  # of epochs that will be made again
        if epochs:
            self.best_weights = _load(self.folder / f"best-{self.best}.npz")
            current = model.get_weights()
            for epoch in sorted(e for e in self.restarts if e <= epochs):
                self._snapshots[epoch] = _load(self.folder / f"snapshot-{epoch}.npz")
                model.set_weights(self._snapshots[epoch])
                self._logits.append(logits(model, self.x))
            model.set_weights(current)
        return epochs

    def on_epoch_end(self, epoch, logs=None):
        """Add the validation figures to the logs; keep the weights if they are best."""
        now = logits(self.model, self.x)
        found = scores(np.mean([*self._logits, now], axis=0), self.y)
        logs.update({f"val_{name}": value for name, value in found.items()})
        if self.waits:
            logs["pruned"] = float(self.model.finished)
        highest = max(map(self._worth, self.history), default=-np.inf)
        if self._worth(logs) > highest:
            self.best_weights = self.model.get_weights()
        if epoch + 1 in self.restarts:
            self._snapshots[epoch + 1] = self.model.get_weights()
            self._logits.append(now)
        super().on_epoch_end(epoch, logs)

    def save(self, epochs):
        """Write best weights and snapshots, then the state that names them."""
        best = self.folder / f"best-{self.best}.npz"
        old = set(self.folder.glob("best-*.npz")) - {best}
        if not best.exists():
            _save(best, self.best_weights)
        for epoch, weights in self._snapshots.items():
            file = self.folder / f"snapshot-{epoch}.npz"
            if not file.exists():
                _save(file, weights)
        super().save(epochs)
        for file in old:
            file.unlink()

    def outputs(self, x) -> np.ndarray:
        """Return logits of the best epoch's classifier; the model keeps its weights."""
        each = []
        for weights in [*self.snapshots, self.best_weights]:
            self.model.set_weights(weights)
            each.append(logits(self.model, x))
        return np.mean(each, axis=0)


def _save(file, weights):
    new = file.with_name(f"new-{file.name}")
    np.savez(new, *weights)
    new.replace(file)


def _load(file) -> list[np.ndarray]:
    with np.load(file) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


def logits(model, x) -> np.ndarray:
    """Return outputs of a model for all rows, [rows, classes]."""
    chunks = [x[i : i + CHUNK] for i in range(0, len(x), CHUNK)]
    return np.concatenate([model.predict_on_batch(chunk) for chunk in chunks])


def steps_of(recipe, data) -> int:
    """Return the whole batches in an epoch; at least one."""
    steps = max(1, len(data.x_train) // recipe.batch_size)
    return min(steps, recipe.epoch_steps or steps)


def execution(steps) -> int:
    """Return ``steps_per_execution``: more are faster, but an epoch must be whole.

    Keras takes that many batches each time, beyond the end of an epoch, too.
    """
    return max(count for count in range(1, 101) if steps % count == 0)


def make_optimizer(settings, steps, epochs):
    """Return a Keras optimizer for a phase, from `recipe.Optimizer`."""
    schedules, rate = keras.optimizers.schedules, settings.rate
    if settings.schedule == "cosine":
        rate = schedules.CosineDecay(rate, steps * epochs)
    elif settings.schedule == "restarts":
        first = steps * settings.period
        rate = schedules.CosineDecayRestarts(
            rate, first, t_mul=2.0, alpha=1e-7 / settings.rate
        )
    decay = settings.weight_decay or None
    if settings.name == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay or 0.0)
    return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)


def restarts_of(settings, epochs) -> list[int]:
    """Return the epochs after which a cosine with restarts begins again."""
    if settings.schedule != "restarts":
        return []
    ends, length = [settings.period], settings.period
    while ends[-1] < epochs:
        length *= 2
        ends.append(ends[-1] + length)
    return [end for end in ends if end < epochs]


def compile_model(model, recipe, settings, data, epochs, changed=lambda same: same):
    """Compile for a phase.

    Several steps at once are faster, but masks are renewed between two calls only.

    Args:
        model: Keras model.
        recipe: `Recipe`.
        settings: `recipe.Optimizer`.
        data: `Data`.
        epochs: Of the phase.
        changed: ``optimizer -> optimizer``, what a method makes of it.
    """
    steps = steps_of(recipe, data)
    at_once = execution(steps)
    if isinstance(model, PrunedModel):
        schedule = Schedule.of(model.plan.schedule)
        if not schedule.by_hand:
            at_once = math.gcd(at_once, schedule.every)
    optimizer = changed(make_optimizer(settings, steps, epochs))
    if recipe.decayed == "kernels":
        optimizer.exclude_from_weight_decay(var_names=NO_KERNELS)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=at_once,
        jit_compile=_xla(model, steps * epochs),
    )


def _xla(model, steps):
    """Return whether XLA is worth its ten seconds: it makes a step up to 2/5 faster.

    Of Gumbel-softmax it makes the noise, a number for each weight, and thus a step of
    LeNet-300-100 on a CPU takes ten times as long.
    """
    pruned = isinstance(model, PrunedModel)
    noisy = pruned and isinstance(model.plan.score, GumbelSoftmax)
    return True if steps >= LONG and not noisy else "auto"


def train(model, job, data, epochs, selecting, show, *, augmented=True):
    """Train a compiled model from its last saved state on.

    Args:
        model: A compiled Keras model.
        job: `Job`; its seed decides the order of the rows.
        data: `Data`.
        epochs: Of the phase.
        selecting: `Selecting`.
        show: ``show(done, total)`` after each epoch.
        augmented: Whether the rows are augmented as the recipe says.
    """
    recipe, first = job.recipe, selecting.restore(model)
    # A second phase must not see the rows in the first one's order again.
    before = job.epochs_before
    selecting.set_model(model)
    steps = steps_of(recipe, data)
    rows = batches(
        data.x_train,
        data.y_train,
        min(recipe.batch_size, len(data.x_train)),
        job.seed,
        before + first,
        before + epochs,
        steps=steps,
        augment=AUGMENTATIONS[recipe.augment] if augmented else None,
    )
    fit(model, rows, steps, first, epochs, [selecting], show)


def fit(model, rows, steps, first, epochs, callbacks, show):
    """Train a compiled model for what is left of its epochs.

    Args:
        model: Keras model.
        rows: From `batches`, from the first epoch on.
        steps: Batches of an epoch.
        first: The first epoch, from 0.
        epochs: The number of epochs.
        callbacks: Keras callbacks.
        show: ``show(done, total)``, called before the first epoch and after each.
    """
    show(first, epochs)
    if first < epochs:
        model.fit(
            rows,
            steps_per_epoch=steps,
            initial_epoch=first,
            epochs=epochs,
            callbacks=[*callbacks, telling(show, epochs)],
            shuffle=False,
            verbose=0,
        )


def telling(show, total) -> keras.callbacks.Callback:
    """Return a callback that calls ``show(done, total)`` after each epoch."""
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs=None: show(epoch + 1, total)
    )
