"""The search that several methods start from, and what they do after it."""

from dataclasses import dataclass, field, replace

import keras

from keras_invprune.objectives import Invariance
from keras_invprune_lab.methods.base import Work
from keras_invprune_lab.methods.network import FILTERS
from keras_invprune_lab.methods.pruned import Pruned
from keras_invprune_lab.methods.view_names import VIEWS
from keras_invprune_lab.models import embedding_layer
from keras_invprune_lab.training.checkpoint import STATE
from keras_invprune_lab.training.loop import compile_model

SEARCHED = "search"  # the method of its jobs, which recipes cannot name


@dataclass(frozen=True)
class Searched(Pruned):
    """The network of a search, under the masks that come after it."""

    def uses(self, job) -> set[str]:
        """Add κ, what is rewound to, and the objective if it is ours."""
        own = {"kappa_scope", "rewind"}
        own |= {"search"} if job.objective == "invariance" else set()
        return super().uses(job) | own

    def choices(self, work: Work, model, sparsity) -> dict:
        """Add κ, what is rewound to, and the objective."""
        job, recipe = work.job, work.job.recipe
        choices = {
            "initial_scale": (job.kappa, recipe.kappa_scope),
            "rewind": None if recipe.rewind == "none" else recipe.rewind,
        }
        if job.objective == "invariance":
            choices["objective"] = _invariance(recipe.search, work, model)
        return super().choices(work, model, sparsity) | choices


@dataclass(frozen=True)
class Search(Searched):
    """The search itself, one for all methods and compressions that start from it."""

    pruned = False
    keeps = (STATE, FILTERS)
    state = STATE

    def uses(self, job) -> set[str]:
        """Leave out what comes after it."""
        after = {"counted", "finetune_epochs", "finetune_optimizer"}
        return super().uses(job) - after

    def epochs(self, recipe) -> int:
        """Return the epochs before pruning."""
        return recipe.search_epochs

    def passes(self, job) -> int:
        """Return 2 where two views are drawn of each batch."""
        return 2 if job.objective == "invariance" else 1

    def augments(self, job) -> bool:
        """Return False where views move the rows themselves."""
        return job.objective != "invariance"

    def optimizer(self, recipe):
        """Return the settings of the first phase."""
        return recipe.optimizer

    def end(self, model, work):
        """Keep the state that others start from."""
        model.save_weights(work.part / STATE)


@dataclass(frozen=True)
class AfterSearch(Searched):
    """Prunes the network of a search, rewinds it and trains it.

    Attributes:
        search: Objective of the search: "supervised" or "invariance".
        small: Whether weights start at κ times their initial values.
    """

    search: str = "supervised"
    small: bool = field(default=False, kw_only=True)

    def grid(self, recipe) -> list[dict]:
        """Return the κ of the recipe."""
        return [{"kappa": kappa} for kappa in recipe.kappas] if self.small else [{}]

    def needs(self, job):
        """Return the search."""
        return replace(job, method=SEARCHED, compression=None, penalty=None)

    def epochs(self, recipe) -> int:
        """Return the epochs after pruning."""
        return recipe.finetune_epochs

    def start(self, model: keras.Model, work: Work):
        """Load the state of the search, prune and rewind."""
        job, recipe = work.job, work.job.recipe
        compile_model(model, recipe, recipe.optimizer, work.data, job.epochs)
        model.optimizer.build(model.trainable_variables)
        model.load_weights(work.needed / STATE)
        model.prune_to(model.plan.sparsity)
        super().start(model, work)


def _invariance(own, work, model) -> Invariance:
    return Invariance(
        _views(own.views, work.data, work.job.seed),
        own.weight,
        own.temperature,
        own.labels,
        embedding_layer(model),
        supervised=own.supervised,
    )


def _views(name, data, seed):
    """Return the views of that name, or those that suit the data."""
    if name:
        return VIEWS[name](seed)
    if data.x_train.ndim != 4:
        return VIEWS["scarf"](seed)
    colors = data.x_train.shape[-1] == 3
    return VIEWS["natural_images" if colors else "images"](seed)


SEARCH = Search("search")
