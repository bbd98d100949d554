"""How the allocations of units are compared."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The module, found as when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("unit_allocations")
    for name in ("unit_allocations", "ledger"):
        sys.modules.pop(name, None)


def lines(task, removed, **found):
    """The lines of one seed at one share; allocations that are not given have 80."""
    known = ("global", "uniform", "lamp", "class_distributed", "l2_normalized")
    values = dict.fromkeys(known, 80.0) | found
    about = {"part": "shares", "task": task, "seed": "0", "removed": str(removed)}
    return [
        about | {"allocation": name, "validation": str(value)}
        for name, value in values.items()
        if value is not None
    ]


def test_leads_are_counted_in_cells_and_tested_over_tasks(benchmark):
    table = []
    for number in range(6):
        table += lines(f"task-{number}", 0.5, uniform=81 + number, lamp=79.0)
        table += lines(f"task-{number}", 0.9, uniform=85.0)
    found = benchmark.compared(benchmark.means(table, "shares"))
    uniform, lamp, same = found["uniform"], found["lamp"], found["l2_normalized"]
    assert (uniform["wins"], uniform["ties"], uniform["losses"]) == (12, 0, 0)
    assert (lamp["wins"], lamp["ties"], lamp["losses"]) == (0, 6, 6)
    assert (same["ties"], same["lead"], same["p"]) == (12, 0.0, None)
    assert uniform["rank"] == 1
    assert uniform["lead"] == pytest.approx((np.mean([1, 2, 3, 4, 5, 6]) + 5) / 2)
    # 2 of 2^6 signs of six tasks are as extreme; Holm counts three tests, one is None.
    assert uniform["p"] == pytest.approx(3 * 2 / 64)


def test_seeds_are_averaged_and_incomplete_cells_left_out(benchmark):
    table = lines("a", 0.5, uniform=82.0) + lines("a", 0.5, uniform=86.0)
    table += lines("b", 0.5, uniform=None)
    cells = benchmark.means(table, "shares")
    assert cells["a", 0.5]["uniform"] == 84
    found = benchmark.compared(cells)
    assert (found["uniform"]["wins"], found["uniform"]["lead"]) == (1, 4)
    assert benchmark.by_task(cells | {("a", 0.9): cells["a", 0.5]}, "lamp", "global")[
        :1
    ] == [0]


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
