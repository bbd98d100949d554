import pytest

from keras_invprune import FileBudget, Target


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        ({"name": "gpu"}, ValueError, "must be one of .*Received: target='gpu'"),
        ({"name": 3}, ValueError, "target=3"),
        ({"metric": 0.5}, TypeError, "`metric` must be a function"),
        ({"show": "bar"}, TypeError, "`show` must be a function"),
        ({"rounds": 0}, ValueError, "at least 1. Received: rounds=0"),
    ],
)
def test_impossible_targets_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        Target(**arguments)


def test_a_name_is_a_target():
    assert Target.of("size") == Target("size")
    assert Target.of(Target("any", rounds=1)).rounds == 1


@pytest.mark.parametrize(
    "budget, text",
    [
        ({}, "Received: neither"),
        ({"bytes": 0}, "positive number. Received: bytes=0"),
        ({"milliseconds": float("nan")}, "milliseconds=nan"),
        ({"bytes": True}, "bytes=True"),
        ({"megabytes": 1}, r"some of \['bytes', 'milliseconds'\]"),
        (100_000, "must be a dict"),
    ],
)
def test_impossible_budgets_are_refused(budget, text):
    with pytest.raises(ValueError, match=text):
        FileBudget.of(budget)


def test_the_excess_is_that_of_the_worst_cost():
    both = FileBudget(bytes=100, milliseconds=0.5)
    assert both.excess(bytes=50, milliseconds=1.0) == 2
    assert FileBudget(milliseconds=2).excess(bytes=1e9, milliseconds=1.0) == 0.5
    assert FileBudget.of(both) is both and FileBudget.of(None) is None
