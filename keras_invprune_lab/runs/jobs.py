"""From a recipe to runs: what has to be trained, and what must come before."""

from dataclasses import dataclass

from keras_invprune_lab.methods.base import METHODS, Method
from keras_invprune_lab.methods.search import SEARCH, SEARCHED
from keras_invprune_lab.recipes.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One run of a recipe.

    Attributes:
        recipe: The `Recipe`.
        dataset: Name of the data set.
        method: A name in `METHODS`, or "search": what several methods start from.
        seed: Of initialization, order and views.
        objective: Of the search, "supervised" or "invariance"; None without one.
        kappa: κ that the initial weights are multiplied by.
        compression: Total over nonzero weights; None for the dense ones.
        penalty: λ of β-LASSO, or r of layer sparsity.
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
    def kind(self) -> Method:
        """The method itself."""
        return SEARCH if self.method == SEARCHED else METHODS[self.method]

    @property
    def label(self) -> str:
        """What it is among the runs of a data set, without the seed."""
        searched = self.method == SEARCHED
        parts = [self.method]
        if searched:
            parts.append(self.objective)
        if self.kappa != 1 or searched:
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
        own = {
            "dataset": self.dataset,
            "method": self.method,
            "seed": self.seed,
            "objective": self.objective,
            "kappa": self.kappa,
            "compression": self.compression,
            "penalty": self.penalty,
        }
        used = self.kind.uses(self)
        return own | self.recipe.model_dump(mode="json", include=used)

    @property
    def epochs(self) -> int:
        """Epochs that it trains for."""
        return self.kind.epochs(self.recipe)

    @property
    def epochs_before(self) -> int:
        """Epochs of the search that it starts from."""
        return self.kind.epochs_before(self.recipe)

    @property
    def cost(self) -> int:
        """Epochs, each as often as batches go through the network at a step."""
        return self.epochs * self.kind.passes(self)

    @property
    def needs(self) -> "Job | None":
        """The run that must be finished first."""
        return self.kind.needs(self)


def expand(recipe) -> list[Job]:
    """Return the runs of a recipe, each after what it needs; no run twice.

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
    for point in method.grid(recipe):
        for compression in compressions if method.pruned else [None]:
            yield Job(
                recipe,
                dataset,
                name,
                seed,
                method.search,
                compression=compression,
                **point,
            )
