"""Pruning of a trained network, once or in rounds, each followed by retraining."""

import json
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
from keras_invprune.saving import load_arrays, save_arrays, write_json
from keras_invprune_lab.methods.base import METHODS, Trained, Work, of_all
from keras_invprune_lab.methods.build import pruned_keys
from keras_invprune_lab.methods.converged import (
    CONVERGED,
    ConvergenceKeys,
    converged,
    without,
)
from keras_invprune_lab.methods.network import FILTERS
from keras_invprune_lab.methods.pruned import Pruned
from keras_invprune_lab.methods.settings import Count, Part, Share
from keras_invprune_lab.training.checkpoint import state_size
from keras_invprune_lab.training.evaluate import figures, first_filters
from keras_invprune_lab.training.loop import compile_model
from keras_invprune_lab.training.metrics import scores
from keras_invprune_lab.training.selecting import logits
from keras_invprune_lab.training.until import Until, train_until

PRUNED, BEGUN = "pruned.npz", "begun.json"  # of a round: weights, figures
NEARLY_ALL = 0.9999  # a sparsity that stands for 1, which `prune` does not take
ROUNDING = 1e-9  # by which equal densities may differ


class RetrainKeys(Part):
    """What a recipe may say of methods that retrain.

    For them, `finetune_epochs` are those after each round of pruning, at most.

    Attributes:
        retrain_gain: Least gain of the validation figure, a share, for retraining to
            continue; None for a fixed number of epochs.
        retrain_patience: Epochs in a row that may gain less until it ends.
        removed_at_once: Share of the remaining weights that a round removes; None for
            all in one round.
        pruned_weights: Which weights are pruned: "all", or only those that their layers
            call "kernel" or "recurrent_kernel".
    """

    retrain_gain: Annotated[float, Field(ge=0)] | None = 1e-5
    retrain_patience: Count = 1
    removed_at_once: Share | None = None
    pruned_weights: Literal["all", "kernel", "recurrent_kernel"] = "all"


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
        own = RetrainKeys.model_fields.keys() | ConvergenceKeys.model_fields.keys()
        return super().uses(job) | own

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
            end = f"at most {end}, until {without(gain, recipe.retrain_patience)}"
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
        model.draw_examples(work.data.x_train, work.data.y_train)
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
            show = partial(of_all, work.show, number * most, len(wanted) * most)
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
            model.set_weights([*load_arrays(folder / PRUNED).values()])
            return json.loads((folder / BEGUN).read_text())
        before = _measured(model, work)
        self.prune(model, work, sparsity)
        begun = {"sparsity": sparsity}
        for part, figure in _measured(model, work).items():
            begun[part] = {"before": before[part], "pruned": figure}
        save_arrays(folder / PRUNED, *model.get_weights())
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


METHODS |= {
    "continued": Continued("unpruned, retrained"),
    "class-blinded": Retrained("class blinded"),
    "class-uniform": Retrained("class uniform", allocation="uniform"),
    "class-distributed": Retrained("class distributed", allocation="class_distributed"),
    "random-retrained": Retrained("random, retrained", score="random"),
    "obd": Retrained("OBD", score="obd"),
}
