"""The strategy with NSGA-II: who becomes a parent."""

import numpy as np

from keras_invprune_lab.structure.search.genome import Bounds
from keras_invprune_lab.structure.search.strategies import STRATEGIES, Plan, Scored


def test_pareto_takes_its_parents_from_the_first_fronts():
    plan = Plan(Bounds(3, 8, 16), population=2, generation=4)
    random = np.random.default_rng(0)
    draws = STRATEGIES["random"](plan).candidates({}, 6, random)
    figures = [(0.9, 50), (0.5, 10), (0.8, 60), (0.4, 20), (0.3, 70), (0.2, 80)]
    scored = {
        p.key: Scored(p.key, *pair) for p, pair in zip(draws, figures, strict=True)
    }
    found = STRATEGIES["pareto"](plan).candidates(scored, 20, random)
    assert {key for one in found for key in one.parents} == set(list(scored)[:2])
