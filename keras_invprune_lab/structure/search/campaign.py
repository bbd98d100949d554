"""All searches of a recipe in one folder, which share what was trained."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_invprune.exporting.folders import claimed, local
from keras_invprune.saving import write_json
from keras_invprune_lab.runs.configuration import CONFIG, check_folder
from keras_invprune_lab.structure.prediction.ceiling import Ceiling, noise_ceiling
from keras_invprune_lab.structure.search import rows
from keras_invprune_lab.structure.search.engine import Search, Show, Step
from keras_invprune_lab.structure.search.evaluations import Ledger
from keras_invprune_lab.structure.search.pool import ROWS, Trainers
from keras_invprune_lab.structure.search.recipe import SearchRecipe
from keras_invprune_lab.structure.search.screening import from_file

NOISE = "noise"
"""What the progress of measuring noise is called."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What all searches of a recipe have found.

    Attributes:
        recipe: The recipe.
        steps: ``{search: its graphs}``.
        noise: How much of the differences is noise; None if it was not measured.
    """

    recipe: SearchRecipe
    steps: dict[Search, list[Step]]
    noise: Ceiling | None


class Campaign:
    """The searches of a recipe, in a folder.

    The folder holds a ledger of all trainings, the weights of each, and results that
    `results.write` makes of them. Strategies, seeds, budgets, the title and the noise's
    graphs may change between two calls: what was trained stays. All else may not.

    Args:
        recipe: What is searched.
        out: The folder.

    Raises:
        OSError: If the folder is of another configuration or holds other files, or if
            there is no file of the predictor to start from.
        ValueError: If the ledger is damaged, or if that file is not a predictor or
            needs other features.
    """

    def __init__(self, recipe: SearchRecipe, out: Path):
        self.recipe, self.out = recipe, local(out)
        # Read once: the file may change while the searches run.
        file = recipe.start_from
        self._start = None if file is None else from_file(Path(file))
        self._decided = _flat(recipe.decided())
        check_folder(self._decided, self.out, (ROWS,))
        self.ledger = Ledger(self.out)

    @property
    def searches(self) -> list[Search]:
        """The searches: each strategy with the first seed, then with the next one."""
        return [
            Search(self.recipe, strategy, seed, self._start)
            for seed in self.recipe.seeds
            for strategy in self.recipe.strategies
        ]

    def run(
        self,
        workers: int = 1,
        show: Show = lambda *_: None,
        each: Callable[[Found], None] = lambda _: None,
    ) -> Found:
        """Carry out the searches, or resume them.

        Args:
            workers: Number of processes at once, of one thread each.
            show: ``show(name, percent, 100)`` after each training.
            each: Called with what was found so far after each search.

        Raises:
            BlockingIOError: If another process is at work in the folder.
            RuntimeError: If a training fails. What was trained is kept.
            ValueError: If the data set does not fit.
        """
        recipe, steps = self.recipe, {}
        with claimed(self.out):
            # Others may have been there in the meantime.
            check_folder(self._decided, self.out, (ROWS,))
            self.ledger = Ledger(self.out)
            rows.prepare(recipe.training, self.out / ROWS)
            write_json(self.out / CONFIG, self._decided)
            settings = recipe.training, recipe.network
            with Trainers(*settings, self.out, workers) as trainers:

                def train(wanted, after):
                    def add(one):
                        self.ledger.add(one)
                        after()

                    trainers.train(wanted, add)

                measured = self._noise(train, show)
                for search in self.searches:
                    steps[search] = search.run(self.ledger, train, show)
                    each(Found(recipe, dict(steps), measured))
        return Found(recipe, steps, measured)

    @property
    def costs(self) -> dict[str, int]:
        """``{what is shown: trainings}``; minutes count as one."""
        recipe, each = self.recipe, self.recipe.training.repeats
        own = {one.name: each * (recipe.trainings or 1) for one in self.searches}
        noise = recipe.noise_graphs * recipe.noise_seeds
        return {NOISE: noise, **own} if recipe.noise_graphs > 1 else own

    def _noise(self, train, show) -> Ceiling | None:
        count, seeds = self.recipe.noise_graphs, range(self.recipe.noise_seeds)
        if count < 2:
            return None
        graphs = [one.key for one in self.searches[0].first()[:count]]
        every = [(graph, seed) for graph in graphs for seed in seeds]
        wanted = [which for which in every if which not in self.ledger]
        made = itertools.count(len(every) - len(wanted) + 1)
        train(wanted, lambda: show(NOISE, 100 * next(made) / len(every), 100))
        show(NOISE, 100, 100)
        found = [self.ledger[which].accuracy for which in every]
        return noise_ceiling(np.reshape(found, (len(graphs), len(seeds))))


def _flat(config, before="") -> dict:
    """Return a configuration with dotted names, of which messages quote some."""
    found = {}
    for name, value in config.items():
        inside = isinstance(value, dict)
        own = f"{before}{name}"
        found |= _flat(value, f"{own}.") if inside else {own: value}
    return found
