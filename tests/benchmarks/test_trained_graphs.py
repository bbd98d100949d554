"""What the prior of a graph says of its accuracy."""

import pytest


def test_predictions_that_know_the_prior_alone_say_nothing_within_it(benchmark):
    accuracies = {"tree-0": 0.5, "tree-1": 0.7, "two-words-2": 0.8, "two-words-3": 1.0}
    said = {"tree-0": 0.6, "tree-1": 0.6, "two-words-2": 0.9, "two-words-3": 0.9}
    lines = [
        {"graph": graph, "figure": str(value), "said": str(said[graph])}
        for graph, value in accuracies.items()
    ]
    found = benchmark.figures(benchmark.by_prior(lines))
    between = 4 * 0.15**2  # of all means around the mean of all, 0.75
    assert found["all"] == found["prior"] == pytest.approx(between / (between + 0.04))
    assert found["tree"] == found["two-words"] == pytest.approx(0, abs=1e-12)


def test_predictions_within_a_prior_are_worth_more_than_its_mean(benchmark):
    lines = [
        {"graph": f"tree-{i}", "figure": str(i / 4), "said": str(i / 4)}
        for i in range(4)
    ]
    found = benchmark.figures(benchmark.by_prior(lines))
    assert found == {"all": 1, "prior": 0, "tree": 1}


def test_accuracies_are_grouped_by_prior_and_by_sources(benchmark):
    rows = [
        {"cell": "gru", "prior": "tree", "source_nodes": "2.0", "test_accuracy": "0.5"},
        {"cell": "gru", "prior": "tree", "source_nodes": "10", "test_accuracy": "0.75"},
        {"cell": "gru", "prior": "grid", "source_nodes": "2.0", "test_accuracy": "1"},
    ]
    found = {key: list(each) for key, each in benchmark.accuracies(rows).items()}
    assert list(found.items()) == [
        (("gru", "", ""), [0.5, 0.75, 1.0]),
        (("gru", "grid", ""), [1.0]),
        (("gru", "grid", " 2"), [1.0]),
        (("gru", "tree", ""), [0.5, 0.75]),
        (("gru", "tree", " 2"), [0.5]),
        (("gru", "tree", "10"), [0.75]),
    ]
