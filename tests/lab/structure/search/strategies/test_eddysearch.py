"""The scheme of eddysearch: who is crossed, who is dropped."""

import numpy as np

from keras_invprune_lab.structure.search.genome import Bounds
from keras_invprune_lab.structure.search.strategies import STRATEGIES, Plan, Scored


def test_eddysearch_crosses_drops_and_refills():
    plan = Plan(Bounds(3, 8, 16), population=20, generation=99)
    strategy = STRATEGIES["eddysearch"](plan)
    assert strategy.wanted == 4  # k = 2
    random = np.random.default_rng(0)
    draws = STRATEGIES["random"](plan).candidates({}, 20, random)
    scored = {p.key: Scored(p.key, i / 20, 1) for i, p in enumerate(draws)}
    strategy.trained(scored.values())
    best = [proposal.key for proposal in reversed(draws)]
    assert list(strategy.members) == best[:16]
    found = strategy.candidates(scored, 40, random)
    assert len({one.key for one in found} - scored.keys()) == 40
    assert set(found[0].parents) == set(best[:2])
    assert {len(one.parents) for one in found[1:]} == {0, 1}
    assert all(set(one.parents) <= set(best[:16]) for one in found)
