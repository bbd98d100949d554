"""Which epoch counts: each is validated, the best one is kept, snapshots join it."""

import numpy as np

from keras_invprune.saving import load_arrays, save_arrays
from keras_invprune_lab.training.checkpoint import Checkpoint
from keras_invprune_lab.training.metrics import scores

CHUNK = 4096  # rows predicted at once
PAUSE = 30.0  # seconds of training that an interruption may cost


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
            best = load_arrays(self.folder / f"best-{self.best}.npz")
            self.best_weights = [*best.values()]
            current = model.get_weights()
            for epoch in sorted(e for e in self.restarts if e <= epochs):
                snapshot = load_arrays(self.folder / f"snapshot-{epoch}.npz")
                self._snapshots[epoch] = [*snapshot.values()]
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
            save_arrays(best, *self.best_weights)
        for epoch, weights in self._snapshots.items():
            file = self.folder / f"snapshot-{epoch}.npz"
            if not file.exists():
                save_arrays(file, *weights)
        super().save(epochs)
        for file in old:
            file.unlink()

    def outputs(self, x) -> np.ndarray:
        """Return logits of the best epoch's weights, which the model then keeps."""
        each = []
        for weights in [*self.snapshots, self.best_weights]:
            self.model.set_weights(weights)
            each.append(logits(self.model, x))
        return np.mean(each, axis=0)


def logits(model, x) -> np.ndarray:
    """Return outputs of a model for all rows, [rows, classes]."""
    chunks = [x[i : i + CHUNK] for i in range(0, len(x), CHUNK)]
    return np.concatenate([model.predict_on_batch(chunk) for chunk in chunks])
