"""From a recipe to runs: what has to be trained, and what must come before."""

from dataclasses import dataclass

from keras_invprune_lab.methods.base import METHODS, SEARCH
from keras_invprune_lab.recipes.recipe import Recipe

# What is no part of a run: lists of which each run has one, and words.
LISTS = {
    "title",
    "datasets",
    "methods",
    "compressions",
    "extra_compressions",
    "seeds",
    "kappas",
    "lasso",
    "reach",
    "published",
}

FOR_DATA = {"vary_split", "validation", "encoding", "select"}


@dataclass(frozen=True)
class Job:
    """One run of a recipe.

    Attributes:
        recipe: The `Recipe`.
        dataset: Name of the data set.
        method: A name in `METHODS`, or "search": what several methods go on from.
        seed: Of initialization, order and views.
        objective: Of the search, "supervised" or "invariance"; None without one.
        kappa: κ that the initial weights are multiplied by.
        compression: Total over nonzero weights; None for the dense ones.
        penalty: λ of β-LASSO.
    """

    recipe: Recipe
    dataset: str
    method: str
    seed: int
    objective: str | None = None
    kappa: float = 1.0
    compression: float | None = None
    penalty: float | None = None

    @property
    def label(self) -> str:
        """What it is among the runs of a data set, without the seed."""
        parts = [self.method]
        if self.method == "search":
            parts.append(self.objective)
        if self.kappa != 1 or self.method == "search":
            parts.append(f"k{self.kappa:g}")
        if self.compression:
            parts.append(f"c{self.compression:g}")
        if self.penalty:
            parts.append(f"l{self.penalty:g}")
        return "-".join(parts)

    @property
    def name(self) -> str:
        """Its folder below that of the recipe's runs."""
        return f"{self.dataset.replace(':', '-')}/{self.label}/seed{self.seed}"

    @property
    def config(self) -> dict:
        """All that its result depends on, as JSON has it."""
        unused = {"search"} if self.objective != "invariance" else set()
        if METHODS.get(self.method, SEARCH).learner == "xgboost":
            unused = set(Recipe.model_fields) - FOR_DATA
        own = {
            "dataset": self.dataset,
            "method": self.method,
            "seed": self.seed,
            "objective": self.objective,
            "kappa": self.kappa,
            "compression": self.compression,
            "penalty": self.penalty,
        }
        return own | self.recipe.model_dump(mode="json", exclude=LISTS | unused)

    @property
    def epochs(self) -> int:
        """Epochs that it trains for."""
        before, after = self.recipe.search_epochs, self.recipe.finetune_epochs
        if self.method == "search":
            return before
        if self.method == "unpruned":
            return 0
        return after if METHODS[self.method].search else before + after

    @property
    def epochs_before(self) -> int:
        """Epochs of the search that it goes on from."""
        searched = self.needs and METHODS[self.method].search
        return self.recipe.search_epochs if searched else 0

    @property
    def needs(self) -> "Job | None":
        """The run that must be finished first."""
        if self.method == "search":
            return None
        method = METHODS[self.method]
        if not method.search:
            return method.control_of and _pruned(self, method.control_of)
        return Job(
            self.recipe, self.dataset, "search", self.seed, method.search, self.kappa
        )


def expand(recipe) -> list[Job]:
    """The runs of a recipe, each after what it needs; no run twice.

    Extra compressions come last, so that a table fills from its most telling part.
    """
    first, found = recipe.seeds[0], {}
    rounds = [(seed, recipe.compressions) for seed in recipe.seeds]
    rounds.append((first, recipe.extra_compressions))
    for seed, compressions in rounds:
        for dataset in recipe.datasets:
            for method in recipe.methods:
                for job in _of_method(recipe, dataset, seed, method, compressions):
                    _add(found, job)
    return list(found.values())


def _add(found, job):
    if job.needs:
        _add(found, job.needs)
    found.setdefault(job.name, job)


def _of_method(recipe, dataset, seed, name, compressions):
    method = METHODS[name]
    small = METHODS[method.control_of or name].small
    kappas = recipe.kappas if small else [1.0]
    penalties = recipe.lasso if method.learner == "beta_lasso" else [None]
    for kappa in kappas:
        for compression in compressions if method.pruned else [None]:
            for penalty in penalties:
                yield Job(
                    recipe,
                    dataset,
                    name,
                    seed,
                    method.search,
                    kappa,
                    compression,
                    penalty,
                )


def _pruned(job, method) -> Job:
    return Job(
        job.recipe,
        job.dataset,
        method,
        job.seed,
        METHODS[method].search,
        job.kappa,
        job.compression,
    )
