"""How the allocations of units are compared."""

import numpy as np
import pytest

NAMES = ("global", "uniform", "lamp")


def lines(task, removed, seed=0, **found):
    """The lines of one seed at one share, for each allocation."""
    about = {"part": "shares", "task": task, "seed": str(seed), "removed": str(removed)}
    return [
        about | {"allocation": name, "validation": str(value)}
        for name, value in found.items()
    ]


def test_leads_are_counted_in_cells_and_tested_over_tasks(benchmark):
    table, others = [], {"global": 80.0, "lamp": 80.0}
    for number in range(6):
        table += lines(f"task-{number}", 0.5, uniform=81 + number, **others)
        table += lines(f"task-{number}", 0.9, uniform=85.0, **others)
    found = benchmark.compared(benchmark.means(table, "shares", NAMES))
    uniform, lamp = found["uniform"], found["lamp"]
    assert (uniform["wins"], uniform["ties"], uniform["losses"]) == (12, 0, 0)
    assert (lamp["wins"], lamp["ties"], lamp["losses"]) == (0, 12, 0)
    assert (lamp["lead"], lamp["p"], found["global"]["p"]) == (0, None, None)
    assert (uniform["rank"], lamp["rank"]) == (1, 2.5)
    assert uniform["lead"] == pytest.approx((np.mean([1, 2, 3, 4, 5, 6]) + 5) / 2)
    assert uniform["p"] == pytest.approx(2 / 64)  # of the signs of six tasks


def test_only_seeds_count_that_all_allocations_have(benchmark):
    table = lines("a", 0.5, seed=0, **{"global": 80, "uniform": 82, "lamp": 81})
    table += lines("a", 0.5, seed=1, **{"global": 80, "uniform": 86})
    table += lines("b", 0.5, seed=0, **{"global": 80})
    assert benchmark.means(table, "shares", NAMES) == {
        ("a", 0.5): {"global": 80, "uniform": 82, "lamp": 81}
    }
    two = benchmark.means(table, "shares", NAMES[:2])
    assert two == {("a", 0.5): {"global": 80, "uniform": 84}}
    assert benchmark.means(table, "macs", NAMES) == {}
    assert benchmark.by_task(two, "uniform", "global") == [4]


def test_the_least_share_is_that_of_the_starved_layer(benchmark):
    whole, starved = np.ones((3, 3, 2, 4)), np.ones((4, 4))
    starved[:, 1:] = 0
    whole[..., 0, :] = 0  # its inputs are gone, not its outputs
    assert benchmark.least([whole, starved]) == 0.25


def test_scores_are_ranked_over_the_norm_of_their_family(benchmark):
    scores = {"low": np.array([[0.3, 0.4]]), "high": np.array([[30.0, 40.0]])}
    masks = benchmark.l2_normalized(scores, 0.5)
    for mask in masks.values():
        np.testing.assert_array_equal(mask, [[False, True]])
    wide = {"few": np.ones(2), "many": np.ones(8)}  # one of a few counts for more
    found = benchmark.l2_normalized(wide, 0.8)
    assert (found["few"].sum(), found["many"].sum()) == (2, 0)
