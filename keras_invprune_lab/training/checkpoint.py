"""The state of a training, from which it resumes to the same weights."""

import json
import time

import keras

from keras_invprune.exporting.folders import check_room, local
from keras_invprune.saving import replaced, write_json

PROGRESS, STATE = "progress.json", "state.weights.h5"


class Checkpoint(keras.callbacks.Callback):
    """Saves the training's state after each epoch, complete or not at all.

    Args:
        folder: Where to.
        pause: Seconds between two saves, at least; the last epoch is always saved.

    Attributes:
        history: The logs of each epoch so far.
    """

    def __init__(self, folder, pause=0.0):
        super().__init__()
        self.folder = local(folder)
        self.pause = pause
        self.history = []
        self._saved = time.monotonic()

    def on_disk(self) -> list[dict]:
        """Return the logs of the epochs that the last state has seen."""
        file = self.folder / PROGRESS
        return json.loads(file.read_text()) if file.exists() else []

    def restore(self, model) -> int:
        """Load the last state, if there is one; return the epochs it has seen."""
        self.history = self.on_disk()
        if self.history:
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            model.load_weights(self._weights(len(self.history)))
        return len(self.history)

    def on_epoch_end(self, epoch, logs=None):
        """Write the state, unless the last one is too young."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append(logs)
        last = epoch + 1 == self.params.get("epochs")
        if last or time.monotonic() - self._saved >= self.pause:
            self.save(epoch + 1)
            self._saved = time.monotonic()

    def save(self, epochs):
        """Write the state next to the last one, then let it take its place."""
        check_room(self.folder, state_size(self.model))  # HDF5 fails noisily
        before = [*self.folder.glob("*.weights.h5")]
        with replaced(self._weights(epochs)) as new:
            self.model.save_weights(new)
        write_json(self.folder / PROGRESS, self.history)
        for file in before:
            if file != self._weights(epochs):
                file.unlink(missing_ok=True)  # one cut short has been replaced

    def _weights(self, epochs):
        return self.folder / f"{epochs}.weights.h5"


def state_size(model) -> float:
    """Return the megabytes of a state, at most: weights, masks, optimizer, snapshot."""
    return 1 + 6 * 4e-6 * model.count_params()
