"""Recipes of searches."""

import pytest

from keras_invprune_lab.structure.search.recipe import load, names, parse

LEAST = "title: a\nstrategies: [random]\ntrainings: 5\n"


@pytest.mark.parametrize("name", names())
def test_recipes_that_come_with_the_package_are_valid(name):
    assert load(name).title


def test_the_budget_does_not_count_as_configuration():
    more = LEAST.replace("5", "50").replace("random", "random, pareto")
    assert parse(more).decided() == parse(LEAST).decided()
    other = parse(f"{LEAST}training: {{epochs: 3}}\n")
    assert other.decided() != parse(LEAST).decided()


@pytest.mark.parametrize(
    "change, fact",
    [
        ("seed: 3", "Did you mean 'seeds'"),
        ("predictor: rigde", "predictor"),
        ("graphs: {min_nodes: 9, max_nodes: 6}", "9 to 6 nodes"),
        ("training: {dataset: 'cifar'}", "data set is named"),
        ("seeds: [1, 1]", "anything twice"),
    ],
)
def test_faults_are_named_with_their_line(change, fact):
    with pytest.raises(ValueError, match="line 4") as error:
        parse(f"{LEAST}{change}\n")
    assert fact in str(error.value)


def test_a_strategy_that_does_not_exist_has_near_names():
    with pytest.raises(ValueError, match="screened-pareto"):
        parse(LEAST.replace("random", "screened-paretto"))


def test_noise_is_measured_on_the_first_graphs():
    with pytest.raises(ValueError, match="at most `population`. Received: 30 of 20"):
        parse(f"{LEAST}noise_graphs: 30\n")


def test_a_search_without_an_end_is_refused():
    with pytest.raises(ValueError, match="`trainings` or `minutes`"):
        parse("title: a\nstrategies: [random]\n")


def test_unknown_recipes_have_near_names(tmp_path):
    with pytest.raises(ValueError, match="cifar10-small"):
        load("cifar-small")
    with pytest.raises(FileNotFoundError, match="no recipe '.*mine.yaml'"):
        load(str(tmp_path / "mine.yaml"))
    with pytest.raises(FileNotFoundError, match="Did you mean 'cifar10-small'"):
        load(tmp_path / "cifar10-smal.yaml")
