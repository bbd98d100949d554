"""The unpruned network, trained until it converges, from which other methods start."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import keras
import numpy as np
from pydantic import Field

from keras_invprune.exporting.folders import check_room
from keras_invprune_lab.methods.base import METHODS, Trained, Work, of_all
from keras_invprune_lab.methods.build import make_network
from keras_invprune_lab.methods.network import FILTERS, NETWORK, Network
from keras_invprune_lab.methods.settings import Count, Part, Positive, Share
from keras_invprune_lab.training.checkpoint import STATE, state_size
from keras_invprune_lab.training.evaluate import figures, first_filters
from keras_invprune_lab.training.loop import compile_model
from keras_invprune_lab.training.until import Until, train_until

CONVERGED = "converged"
DECIMALS = 12  # of learning rates that are compared


class Convergence(Part):
    """When the training of the dense network ends.

    Attributes:
        gain: Least gain of the validation figure, a share, below which the rate falls.
        patience: Epochs in a row that may gain less until then.
        factor: What the rate is multiplied by.
        momentum: Of "sgd" from then on.
        lowest: Training ends once the rate is so low.
    """

    gain: Annotated[float, Field(ge=0)] = 1e-5
    patience: Count = 1
    factor: Share = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    lowest: Positive = 1e-4

    def stages(self, first) -> list:
        """Return the optimizers that follow each other, from `recipe.Optimizer`."""
        found, rate = [first], first.rate * self.factor
        while round(rate - self.lowest, DECIMALS) > 0:
            changed = {"rate": rate, "momentum": self.momentum}
            found.append(first.model_copy(update=changed))
            rate *= self.factor
        return found


class ConvergenceKeys(Part):
    """What a recipe may say of the network that methods start from.

    For them, `search_epochs` are those of this network, at most.

    Attributes:
        converge: See `Convergence`.
    """

    converge: Convergence = Convergence()


@dataclass(frozen=True)
class Converged(Network):
    """Trains the network as it is, at lower rates once validation no longer gains.

    Other methods start from its best epoch.
    """

    pruned = False
    ends_early = True
    settings = ConvergenceKeys
    keeps = (FILTERS, STATE)
    state = STATE

    def uses(self, job) -> set[str]:
        """Leave out what comes after it."""
        own = NETWORK - {"finetune_epochs", "finetune_optimizer"}
        return own | {"converge"}

    def epochs(self, recipe) -> int:
        """Return the epochs before pruning, at most."""
        return recipe.search_epochs

    def about(self, recipe) -> str:
        """Say when it ends."""
        own = recipe.converge
        return (
            f"the unpruned network until it converges, at most {recipe.search_epochs} "
            f"epochs: the rate times {own.factor:g}, with momentum {own.momentum:g}, "
            f"after {without(own.gain, own.patience)}, until it is {own.lowest:g}"
        )

    def train(self, work: Work) -> Trained:
        """Train at one rate after the other; keep the best epoch of all."""
        job, data, recipe = work.job, work.data, work.job.recipe
        own, model, history = recipe.converge, self.build(work), []
        check_room(work.part, 6 * state_size(model))
        best, worth = None, -math.inf
        for number, settings in enumerate(own.stages(recipe.optimizer)):
            left = job.epochs - len(history)
            if not left:
                break
            compile_model(model, recipe, settings, data, left, xla=False)
            folder = work.part / f"stage-{number}"
            until = Until(folder, data, recipe.select, own.gain, own.patience)
            before = len(history)
            show = partial(of_all, work.show, before, job.epochs)
            train_until(model, job, data, left, before, until, show)
            highest = max(logs[until.select] for logs in until.history)
            if highest > worth:
                best, worth, first = until, highest, before
            history += [logs | {"rate": settings.rate} for logs in until.history]
        work.show(job.epochs, job.epochs)
        found = figures(job, model, best, data, moved=False)
        found["best_epoch"] += first
        model.save_weights(work.part / STATE)  # of the best epoch
        np.savez_compressed(work.part / FILTERS, filters=first_filters(model, data))
        return Trained(found, history)


def converged(work: Work) -> keras.Model:
    """Return the plain network of the run that is needed, with its best weights."""
    model = make_network(work.job, work.data)
    model.load_weights(work.needed / STATE)
    return model


def without(gain: float, patience: int) -> str:
    """Say after what a phase ends."""
    many = f"{patience} epochs in a row" if patience > 1 else "an epoch"
    return f"{many} without a gain of {100 * gain:g} points"


METHODS |= {CONVERGED: Converged("unpruned, converged")}
