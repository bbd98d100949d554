"""One search: generations of graphs, each decided by the evaluations before it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from keras_invprune_lab.structure.search.evaluations import Ledger
from keras_invprune_lab.structure.search.recipe import SearchRecipe
from keras_invprune_lab.structure.search.screening import Predict, fitted, screened
from keras_invprune_lab.structure.search.strategies import (
    SCREENED,
    Plan,
    Proposal,
    Scored,
    Strategy,
    fill,
    random_proposal,
    strategy_of,
)

Show = Callable[[str, float, float], None]
Trainer = Callable[[list[tuple[str, int]], Callable[[], None]], None]


@dataclasses.dataclass(frozen=True)
class Step:
    """A graph that a search has trained.

    Attributes:
        number: Its place among the graphs of the search, from 1.
        generation: From 0, the first graphs.
        proposal: How it was made.
        scored: What came out.
    """

    number: int
    generation: int
    proposal: Proposal
    scored: Scored


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """One strategy with one seed.

    Attributes:
        recipe: What is searched, and how.
        strategy: Name of the strategy.
        seed: Seed of the search.
        start: By what screened strategies choose their first graphs as well, or None.
    """

    recipe: SearchRecipe
    strategy: str
    seed: int
    start: Predict | None = None

    @property
    def name(self) -> str:
        """What its progress is shown under, and the name of its best model."""
        return f"{self.strategy}-seed{self.seed}"

    def run(
        self,
        ledger: Ledger,
        train: Trainer,
        show: Show = lambda *_: None,
    ) -> list[Step]:
        """Search, and return all graphs in the order in which they were decided.

        Decisions depend on the recipe, the strategy, the seed and finished generations.
        So a search that was killed makes the same ones again, from the ledger, and
        resumes where it was.

        Args:
            ledger: All trainings so far, also of other searches.
            train: ``train([(graph, seed), ...], after)``, trains those, adds them to
                the ledger and calls ``after()`` after each.
            show: ``show(name, percent, 100)`` after each training.

        Raises:
            RefusedError: If the bounds allow no graph.
        """
        strategy = strategy_of(self.strategy)(self._plan())
        steps: list[Step] = []
        scored: dict[str, Scored] = {}
        generation = 0
        while not self._is_spent(steps, ledger):
            random = np.random.default_rng([self.seed, generation])
            proposals = self._next(strategy, scored, random)[: self._left(steps)]
            if not proposals:  # every graph within the bounds was trained
                break
            new = self._evaluated(proposals, steps, ledger, train, show)
            for proposal, one in zip(proposals, new, strict=True):
                scored[one.key] = one
                steps.append(Step(len(steps) + 1, generation, proposal, one))
            strategy.trained(new)
            show(self.name, self._percent(steps, ledger), 100)
            generation += 1
        return steps

    def first(self) -> list[Proposal]:
        """Return the first graphs, which are the same for all strategies.

        But if there is a predictor to start with, screened ones choose theirs by it.
        """
        recipe, random = self.recipe, np.random.default_rng([self.seed, 0])
        predict = self.start if self.strategy.startswith(SCREENED) else None
        count = recipe.population * (recipe.candidates if predict else 1)
        made: dict[str, Proposal] = {}
        bounds = recipe.graphs.bounds
        fill(made, count, {}, lambda: random_proposal(bounds, random))
        if predict is None:
            return list(made.values())
        choice = recipe.population, recipe.explore
        return screened(list(made.values()), predict, *choice, random)

    def _plan(self) -> Plan:
        recipe = self.recipe
        return Plan(recipe.graphs.bounds, recipe.population, recipe.generation)

    def _next(self, strategy: Strategy, scored, random) -> list[Proposal]:
        if not scored:
            return self.first()
        if not self.strategy.startswith(SCREENED):
            return strategy.candidates(scored, strategy.wanted, random)
        recipe, count = self.recipe, strategy.wanted * self.recipe.candidates
        found = strategy.candidates(scored, count, random)
        predict = fitted(scored, recipe.predictor, int(random.integers(2**31)))
        return screened(found, predict, strategy.wanted, recipe.explore, random)

    def _evaluated(self, proposals, steps, ledger, train, show) -> list[Scored]:
        made = itertools.count(1)

        def after():
            show(self.name, self._percent(steps, ledger, next(made)), 100)

        seeds = range(self.recipe.training.repeats)
        every = [(one.key, seed) for one in proposals for seed in seeds]
        train([which for which in every if which not in ledger], after)
        found = []
        for one in proposals:
            runs = [ledger[one.key, seed] for seed in seeds]
            mean = float(np.mean([run.accuracy for run in runs]))
            found.append(Scored(one.key, mean, runs[0].macs))
        return found

    def _left(self, steps) -> int | None:
        budget = self.recipe.trainings
        return None if budget is None else budget - len(steps)

    def _is_spent(self, steps, ledger) -> bool:
        minutes = self.recipe.minutes
        late = minutes is not None and self._minutes(steps, ledger) >= minutes
        return late or self._left(steps) == 0

    def _minutes(self, steps, ledger) -> float:
        """Return the minutes of training as the ledger has them, wherever they were."""
        seeds = range(self.recipe.training.repeats)
        runs = [ledger[step.scored.key, seed] for step in steps for seed in seeds]
        return sum(run.seconds for run in runs) / 60

    def _percent(self, steps, ledger, made=0) -> float:
        """Return how much of the budget is used, with `made` trainings on top."""
        recipe, shares = self.recipe, [0.0]
        if recipe.trainings is not None:
            done = len(steps) + made / recipe.training.repeats
            shares.append(done / recipe.trainings)
        if recipe.minutes is not None:
            shares.append(self._minutes(steps, ledger) / recipe.minutes)
        return 100 * min(1.0, max(shares))
