"""Pruning of a trained network, once or in rounds, each followed by retraining."""

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

import keras
import numpy as np
from pydantic import Field

from keras_invprune.allocation import PerLayer
from keras_invprune.exporting.folders import check_room
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.pruning.prune import prune
from keras_invprune.scores._examples import examples_for
from keras_invprune_lab.methods.base import METHODS, Trained, Work
from keras_invprune_lab.methods.build import make_network, pruned_keys
from keras_invprune_lab.methods.network import FILTERS, NETWORK, Network
from keras_invprune_lab.methods.pruned import Pruned
from keras_invprune_lab.methods.settings import Count, Part, Positive, Share
from keras_invprune_lab.training.checkpoint import STATE, state_size
from keras_invprune_lab.training.evaluate import figures, first_filters
from keras_invprune_lab.training.files import write_json
from keras_invprune_lab.training.loop import compile_model
from keras_invprune_lab.training.metrics import scores
from keras_invprune_lab.training.selecting import load_arrays, logits, save_arrays
from keras_invprune_lab.training.until import Until, train_until

CONVERGED = "converged"
PRUNED, BEGUN = "pruned.npz", "begun.json"  # of a round: weights, figures
DECIMALS = 12  # of learning rates that are compared
NEARLY_ALL = 0.9999  # a sparsity that stands for 1, which `prune` does not take
ROUNDING = 1e-9  # by which equal densities may differ


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


class RetrainKeys(Part):
    """What a recipe may say of methods that retrain.

    For them, `search_epochs` are those of the dense network, and `finetune_epochs`
    those after each round of pruning, both at most.

    Attributes:
        converge: See `Convergence`.
        retrain_gain: Least gain of the validation figure, a share, for retraining to
            continue; None for a fixed number of epochs.
        retrain_patience: Epochs in a row that may gain less until it ends.
        removed_at_once: Share of the remaining weights that a round removes; None for
            all in one round.
        pruned_weights: Which weights are pruned: "all", or only those that their layers
            call "kernel" or "recurrent_kernel".
    """

    converge: Convergence = Convergence()
    retrain_gain: Annotated[float, Field(ge=0)] | None = 1e-5
    retrain_patience: Count = 1
    removed_at_once: Share | None = None
    pruned_weights: Literal["all", "kernel", "recurrent_kernel"] = "all"


@dataclass(frozen=True)
class Converged(Network):
    """Trains the network as it is, at lower rates once validation no longer gains.

    Other methods start from its best epoch.
    """

    pruned = False
    ends_early = True
    settings = RetrainKeys
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
            f"after {_without(own.gain, own.patience)}, until it is {own.lowest:g}"
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
            show = partial(_of_all, work.show, before, job.epochs)
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


@dataclass(frozen=True)
class Retrained(Pruned):
    """Prunes the converged network and trains what is left, with no rewinding.

    The report has ``rounds``: for each the sparsity, the epochs of retraining, and the
    validation and test figure before and right after pruning and at the epoch that is
    best on validation rows, from which the next round starts.
    """

    ends_early = True
    settings = RetrainKeys

    def uses(self, job) -> set[str]:
        """Add all keys of retraining."""
        return super().uses(job) | RetrainKeys.model_fields.keys()

    def needs(self, job):
        """Return the converged network."""
        return replace(job, method=CONVERGED, compression=None)

    def epochs(self, recipe) -> int:
        """Return the epochs of all rounds, at most; with the highest compression."""
        highest = max(recipe.compressions)
        rounds = sparsities(recipe.removed_at_once, 1 - 1 / highest)
        return recipe.finetune_epochs * len(rounds)

    def about(self, recipe) -> str:
        """Say how many rounds there are, and when one ends."""
        share, gain = recipe.removed_at_once, recipe.retrain_gain
        rounds = f"by {share:.0%} of what is left, again and again" if share else "once"
        end = f"{recipe.finetune_epochs} epochs"
        if gain is not None:
            end = f"at most {end}, until {_without(gain, recipe.retrain_patience)}"
        only = recipe.pruned_weights.replace("_", " ")
        what = "" if only == "all" else f" (each {only} only)"
        begin = f"the converged network is pruned{what} {rounds}"
        return f"{begin}, then retrained for {end}"

    def build(self, work: Work) -> keras.Model:
        """Return the converged network under masks that remove nothing yet."""
        model = converged(work)
        keys, sparsity = pruned_keys(work.job, model, work.job.recipe.pruned_weights)
        choices = self.choices(work, model, sparsity)
        weights = prunable_weights(model, keys).values()
        size = sum(int(np.prod(weight.shape)) for weight in weights)
        if (1 - sparsity) * size < 0.5:  # other allocations would keep one
            sparsity = max(sparsity, NEARLY_ALL)
            choices["allocation"] = PerLayer(dict.fromkeys(keys, 1.0))
        return prune(model, sparsity, select=keys, **choices)

    def sparsities(self, model, recipe) -> list[float | None]:
        """Return the sparsity after each round."""
        return sparsities(recipe.removed_at_once, model.plan.sparsity)

    def prune(self, model, work, sparsity):
        """Renew the masks of a compiled model."""
        rows = {"x": work.data.x_train, "y": work.data.y_train}
        model.examples = examples_for(model.plan.score, rows)
        model.prune_to(sparsity)

    def train(self, work: Work) -> Trained:
        """Prune and retrain in each round; report the last, and what was on the way."""
        job, data, recipe = work.job, work.data, work.job.recipe
        model, rounds, history = self.build(work), [], []
        check_room(work.part, 6 * state_size(model))
        wanted, most = self.sparsities(model, recipe), recipe.finetune_epochs
        for number, sparsity in enumerate(wanted):
            settings = self.optimizer(recipe)
            compile_model(model, recipe, settings, data, most, xla=False)
            folder = work.part / f"round-{number + 1}"
            begun = self._begin(model, work, folder, sparsity)
            until = self._until(work, folder, begun)
            show = partial(_of_all, work.show, number * most, len(wanted) * most)
            before = recipe.search_epochs + number * most
            train_until(model, job, data, most, before, until, show)
            model.set_weights(until.best_weights)
            rounds.append(_ended(begun, _measured(model, work), until))
            history += [logs | {"round": number + 1} for logs in until.history]
        work.show(len(wanted) * most, len(wanted) * most)
        found = figures(job, model, until, data, moved=False)
        found["best_epoch"] += len(history) - len(until.history)
        np.savez_compressed(work.part / FILTERS, filters=first_filters(model, data))
        return Trained(found | {"rounds": rounds}, history)

    def _begin(self, model, work, folder, sparsity) -> dict:
        """Prune, or load what a round has begun with; return its figures."""
        folder.mkdir(exist_ok=True)
        if (folder / BEGUN).exists():
            model.set_weights(load_arrays(folder / PRUNED))
            return json.loads((folder / BEGUN).read_text())
        before = _measured(model, work)
        self.prune(model, work, sparsity)
        begun = {"sparsity": sparsity}
        for part, figure in _measured(model, work).items():
            begun[part] = {"before": before[part], "pruned": figure}
        save_arrays(folder / PRUNED, model.get_weights())
        write_json(folder / BEGUN, begun)
        return begun

    def _until(self, work, folder, begun) -> Until:
        recipe = work.job.recipe
        pruned = begun["validation"]["pruned"]
        gain, patience = recipe.retrain_gain, recipe.retrain_patience
        return Until(folder, work.data, recipe.select, gain, patience, pruned)


@dataclass(frozen=True)
class Continued(Retrained):
    """Retrains the converged network unpruned, a control: do the epochs help?"""

    pruned = False

    def epochs(self, recipe) -> int:
        """Return the epochs of one round, at most."""
        return recipe.finetune_epochs

    def about(self, recipe) -> str:
        """Say nothing more than the others."""
        del recipe
        return ""

    def build(self, work: Work) -> keras.Model:
        """Return the converged network."""
        return converged(work)

    def sparsities(self, model, recipe) -> list[float | None]:
        """Return one round."""
        del model, recipe
        return [0.0]

    def prune(self, model, work, sparsity):
        """Leave the network as it is."""


def converged(work: Work) -> keras.Model:
    """Return the plain network of the run that is needed, with its best weights."""
    model = make_network(work.job, work.data)
    model.load_weights(work.needed / STATE)
    return model


def sparsities(at_once, sparsity) -> list[float]:
    """Return the sparsity after each round.

    Args:
        at_once: Share of the remaining weights that a round removes; None for one
            round. The last round may remove less.
        sparsity: The last one.

    Example:
        >>> sparsities(0.5, 0.8)
        [0.5, 0.75, 0.8]
    """
    found, density = [], 1.0
    while at_once and density * (1 - at_once) > (1 - sparsity) * (1 + ROUNDING):
        density *= 1 - at_once
        found.append(1 - density)
    return [*found, sparsity]


def _measured(model, work) -> dict[str, float]:
    """Return the figure that counts, on validation and on test rows."""
    data, select = work.data, work.job.recipe.select
    rows = {"validation": (data.x_valid, data.y_valid)}
    rows["test"] = data.x_test, data.y_test
    return {part: scores(logits(model, x), y)[select] for part, (x, y) in rows.items()}


def _ended(begun, measured, until) -> dict:
    """Return the figures of a round with those of its best epoch."""
    parts = {part: begun[part] | {"retrained": measured[part]} for part in measured}
    return begun | parts | {"best_epoch": until.best, "epochs": len(until.history)}


def _of_all(show, before, total, done, _):
    """Show the epochs of a phase as some of all."""
    show(before + done, total)


def _without(gain, patience) -> str:
    many = f"{patience} epochs in a row" if patience > 1 else "an epoch"
    return f"{many} without a gain of {100 * gain:g} points"


METHODS |= {
    CONVERGED: Converged("unpruned, converged"),
    "continued": Continued("unpruned, retrained"),
    "class-blinded": Retrained("class blinded"),
    "class-uniform": Retrained("class uniform", allocation="uniform"),
    "class-distributed": Retrained("class distributed", allocation="class_distributed"),
    "random-retrained": Retrained("random, retrained", score="random"),
    "obd": Retrained("OBD", score="obd"),
}
