"""What all methods have in common that train a network."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_invprune.exporting.folders import check_room
from keras_invprune_lab.methods.base import DATA, Method, Trained, Work
from keras_invprune_lab.methods.build import make_network
from keras_invprune_lab.training.checkpoint import state_size
from keras_invprune_lab.training.evaluate import figures, first_filters
from keras_invprune_lab.training.loop import compile_model, restarts_of, train
from keras_invprune_lab.training.selecting import Selecting

FILTERS = "filters.npz"
NETWORK = DATA | {
    "model",
    "width",
    "initializer",
    "search_epochs",
    "finetune_epochs",
    "epoch_steps",
    "batch_size",
    "optimizer",
    "finetune_optimizer",
    "decayed",
    "augment",
}


@dataclass(frozen=True)
class Network(Method):
    """A method that trains a network; each step may be another one's.

    Attributes:
        waits: Whether the network is pruned while it trains, so that the epochs before
            the target sparsity are not chosen.
    """

    keeps = (FILTERS,)
    waits = False

    def uses(self, job) -> set[str]:
        """Return the keys of networks, optimizers and budgets."""
        return super().uses(job) | NETWORK

    def train(self, work: Work) -> Trained:
        """Build, start, train, choose the best epoch, report it."""
        job, data = work.job, work.data
        model = self.build(work)
        check_room(work.part, 6 * state_size(model))
        self.start(model, work)
        chosen = self._selecting(work)
        before, epochs = self.phase(job)
        augmented = self.augments(job)
        train(model, job, data, epochs, before, chosen, work.show, augmented=augmented)
        self.end(model, work)
        found = figures(job, model, chosen, data)
        np.savez_compressed(work.part / FILTERS, filters=first_filters(model, data))
        return Trained(found, chosen.history)

    def phase(self, job) -> tuple[int, int]:
        """Return the number of epochs before its training, and that of its training."""
        return job.epochs_before, job.epochs

    def build(self, work) -> keras.Model:
        """Return the network, not compiled."""
        return make_network(work.job, work.data)

    def start(self, model, work):
        """Compile the network, and bring it to where its training starts."""
        self.compile(model, work)

    def compile(self, model, work):
        """Compile the network for its training."""
        recipe = work.job.recipe
        optimizer, (_, epochs) = self.optimizer(recipe), self.phase(work.job)
        compile_model(model, recipe, optimizer, work.data, epochs)

    def augments(self, job) -> bool:
        """Return whether the recipe's augmentation applies to its rows."""
        del job
        return True

    def end(self, model, work):
        """Keep what other runs need of the trained network."""

    def optimizer(self, recipe):
        """Return the settings of the optimizer."""
        return recipe.finetune_optimizer or recipe.optimizer

    def _selecting(self, work):
        recipe, data, (_, epochs) = work.job.recipe, work.data, self.phase(work.job)
        restarts = restarts_of(self.optimizer(recipe), epochs)
        rows = data.x_valid, data.y_valid
        return Selecting(work.part, *rows, recipe.select, restarts, waits=self.waits)
