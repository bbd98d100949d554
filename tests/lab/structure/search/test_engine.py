"""Searches on made-up accuracies: decisions, budgets, resumption, screening."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from keras_invprune.priors import FEATURES, features
from keras_invprune_lab.structure.prediction.table import Rows
from keras_invprune_lab.structure.prediction.trained import Trained
from keras_invprune_lab.structure.search.engine import Search
from keras_invprune_lab.structure.search.evaluations import Evaluation, Ledger
from keras_invprune_lab.structure.search.genome import graph_from
from keras_invprune_lab.structure.search.recipe import parse
from keras_invprune_lab.structure.search.screening import from_file
from keras_invprune_lab.structure.search.strategies import (
    SCREENED,
    STRATEGIES,
)

RECIPE = """
title: made up
training: {repeats: 2}
graphs: {min_nodes: 3, max_nodes: 8, max_edges: 16}
strategies: [random]
trainings: 26
population: 10
generation: 6
candidates: 8
predictor: bayesian-ridge
"""
EVERY = [*STRATEGIES, *(f"{SCREENED}{name}" for name in STRATEGIES)]


class Killed(BaseException):
    """Like kill -9: nothing of ours runs after it."""


def made_up(key, seed):
    """A training whose accuracy is the density of the graph, and a little noise."""
    graph = graph_from(key)
    nodes, edges = len(graph), graph.number_of_edges()
    density = 2 * edges / (nodes * (nodes - 1))
    noise = np.random.default_rng([nodes, edges, seed]).normal(scale=0.01)
    return Evaluation(key, seed, density + noise, 1.0, 100 * nodes, 10, 6.0)


class Trainers:
    """Trains in another order each time, and dies after a number of trainings."""

    def __init__(self, ledger, order=0, life=10**9):
        self.ledger, self.left = ledger, life
        self.random, self.made = np.random.default_rng(order), []

    def __call__(self, wanted, after):
        for place in self.random.permutation(len(wanted)):
            if not self.left:
                raise Killed
            self.left -= 1
            self.made.append(wanted[place])
            self.ledger.add(made_up(*wanted[place]))
            after()


def run(folder, strategy="random", seed=0, text=RECIPE, start=None, **options):
    folder.mkdir(exist_ok=True)
    ledger = Ledger(folder)
    trainers = Trainers(ledger, **options)
    steps = Search(parse(text), strategy, seed, start).run(ledger, trainers)
    return steps, trainers


@pytest.mark.parametrize("strategy", EVERY)
def test_a_killed_search_ends_as_if_it_had_not_been(strategy, tmp_path):
    whole, trainers = run(tmp_path / "whole", strategy)
    assert [step.number for step in whole] == list(range(1, 27))
    keys = [step.scored.key for step in whole]
    assert len(set(keys)) == len(keys)
    for life in (7, 23, 1):
        with pytest.raises(Killed):
            run(tmp_path / "killed", strategy, order=life, life=life)
    resumed, rest = run(tmp_path / "killed", strategy)
    assert resumed == whole
    assert len(rest.made) == len(trainers.made) - 31 == 2 * 26 - 31


def test_the_order_in_which_trainings_end_does_not_matter(tmp_path):
    one, _ = run(tmp_path / "one", "screened-pareto")
    other, _ = run(tmp_path / "other", "screened-pareto", order=5)
    assert other == one
    first, second = (list(Ledger(tmp_path / name)) for name in ("one", "other"))
    assert first != second
    assert set(first) == set(second)


def test_strategies_share_what_was_trained(tmp_path):
    firsts, counts = [], []
    for strategy in EVERY:
        steps, trainers = run(tmp_path / "all", strategy)
        firsts.append([step.scored.key for step in steps[:10]])
        counts.append(len(trainers.made))
    assert all(first == firsts[0] for first in firsts)
    assert counts[0] == 52
    assert max(counts[1:]) <= 32  # not the first graphs again
    assert not run(tmp_path / "all", EVERY[2])[1].made


@pytest.mark.parametrize("budget", ["trainings: 26", "minutes: 3"])
def test_progress_grows_to_its_end(budget, tmp_path):
    ledger, shown = Ledger(tmp_path), []
    recipe = parse(RECIPE.replace("trainings: 26", budget))
    search = Search(recipe, "random", 0)
    search.run(ledger, Trainers(ledger), lambda *now: shown.append(now))
    assert {(name, total) for name, _, total in shown} == {("random-seed0", 100)}
    percents = [percent for _, percent, _ in shown]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(percents) > len(ledger)


def test_another_seed_is_another_search(tmp_path):
    one, other = (run(tmp_path / f"{s}", seed=s)[0] for s in (0, 1))
    assert one[0] != other[0]


def test_a_larger_budget_goes_on(tmp_path):
    short, _ = run(tmp_path / "one", "screened-eddysearch")
    text = RECIPE.replace("trainings: 26", "trainings: 30")
    longer, trainers = run(tmp_path / "one", "screened-eddysearch", text=text)
    assert longer[:26] == short
    assert len(trainers.made) == 2 * 4


def test_minutes_are_those_of_the_trainings(tmp_path):
    # 10 graphs of 12 seconds are 2 minutes; then generations of 6 take 1.2.
    text = RECIPE.replace("trainings: 26", "minutes: 3")
    assert len(run(tmp_path / "one", text=text)[0]) == 16
    text = RECIPE.replace("trainings: 26", "minutes: 2")
    assert len(run(tmp_path / "two", text=text)[0]) == 10


def test_a_small_space_is_searched_to_its_end(tmp_path):
    text = RECIPE.replace("max_nodes: 8", "max_nodes: 3")
    steps, _ = run(tmp_path / "one", text=text)
    # A path, a triangle, two readers of one node, one reader of two nodes.
    assert len(steps) == 4


def test_screening_finds_what_it_can_predict(tmp_path):
    def mean(strategy):
        found = [run(tmp_path / f"{s}", strategy, s)[0] for s in range(3)]
        return np.mean([step.scored.accuracy for steps in found for step in steps[10:]])

    assert mean("screened-random") > mean("random") + 0.1


def test_screened_graphs_have_predictions_and_others_none(tmp_path):
    steps, _ = run(tmp_path / "one", "screened-random")
    assert all(step.proposal.predicted is None for step in steps[:10])
    best = [step for step in steps if step.generation == 1]
    found = [step.proposal.predicted for step in best]
    # 6 graphs, a fifth of them at random: the first 5 are the best that are predicted.
    assert found[:5] == sorted(found[:5], reverse=True)
    assert found[5] <= found[4]


def test_a_saved_predictor_chooses_the_first_graphs(tmp_path):
    steps, _ = run(tmp_path / "one")
    x = pd.DataFrame([features(graph_from(step.scored.key)) for step in steps])
    x.index = [step.scored.key for step in steps]
    runs = [np.array([step.scored.accuracy]) for step in steps]
    groups = np.arange(len(steps))
    rows = Rows(x, runs, groups, FEATURES, (), "valid_accuracy", "convolutional")
    file = tmp_path / "density.predictor"
    Trained.fit(rows, "bayesian-ridge", FEATURES).save(file)
    start = from_file(file)
    chosen, _ = run(tmp_path / "two", "screened-random", start=start)

    def mean(found):
        return np.mean([step.scored.accuracy for step in found[:10]])

    assert mean(chosen) > mean(steps) + 0.1
    assert all(step.proposal.predicted is not None for step in chosen)
    assert run(tmp_path / "one", start=start)[0] == steps  # is not screened
    costs = dataclasses.replace(rows, target="macs")
    Trained.fit(costs, "bayesian-ridge", FEATURES).save(file)
    with pytest.raises(ValueError, match="density.predictor, which predicts macs"):
        from_file(file)
