"""A phase of a training that ends when validation no longer gains."""

from keras_invprune_lab.training.loop import fit, rows_of, steps_of
from keras_invprune_lab.training.selecting import Selecting


class Until(Selecting):
    """Ends a phase once epochs in a row gain too little on the best one before.

    Args:
        folder: Where the state is saved; made if it is missing.
        data: `Data` with validation rows.
        select: Name of the figure that counts.
        gain: Least gain of it, a share; None for all epochs.
        patience: How many epochs in a row may gain less until the last one ends.
        before: The figure before the first epoch; None if it does not count.
    """

    def __init__(self, folder, data, select, gain, patience=1, before=None):
        folder.mkdir(exist_ok=True)
        super().__init__(folder, data.x_valid, data.y_valid, select)
        self.gain, self.patience = gain, patience
        self._before = [] if before is None else [before]

    @property
    def over(self) -> bool:
        """Whether the last epochs have gained too little."""
        figures = [*self._before, *(logs[self.select] for logs in self.history)]
        earlier, last = figures[: -self.patience], figures[-self.patience :]
        enough = bool(self.history and earlier) and self.gain is not None
        return enough and max(last) - max(earlier) < self.gain

    def on_epoch_end(self, epoch, logs=None):
        """Validate; save and end the phase if it is over."""
        super().on_epoch_end(epoch, logs)
        if self.over:
            self.save(epoch + 1)
            self.model.stop_training = True


def train_until(model, job, data, epochs, before, until, show):
    """Train a compiled model from its last saved state to the end of a phase.

    Args:
        model: A compiled Keras model.
        job: `Job`; its seed decides the order of the rows.
        data: `Data`.
        epochs: Of the phase, at most.
        before: Epochs before the phase, whose orders of rows are not used again.
        until: `Until`.
        show: ``show(done, total)``, epochs of this phase, after each.
    """
    first = until.restore(model)
    until.set_model(model)
    if until.over:
        return
    rows = rows_of(job, data, before + first, before + epochs)
    fit(model, rows, steps_of(job.recipe, data), first, epochs, [until], show)
