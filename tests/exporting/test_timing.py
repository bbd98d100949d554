import pytest

from keras_invprune.exporting import timing


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, which only functions of `takes` move."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def takes(clock, milliseconds, calls=None, name=""):
    """A function that takes each of these times, and 8 ms from then on."""

    def run():
        if calls is not None:
            calls.append(name)
        clock[0] += milliseconds.pop(0) / 1e3 if milliseconds else 0.008

    return run


def test_runs_take_turns_and_the_lower_quartile_counts(clock):
    calls = []
    # A round is one run that is not timed, and three of 8 ms, which fill 20 ms.
    disturbed = [99.0, *[8.0, 8.0, 8.0, 99.0] * 5]
    runs = [takes(clock, disturbed, calls, "a"), takes(clock, [], calls, "b")]
    assert timing.lower_quartiles(runs) == pytest.approx([8.0, 8.0])
    assert "".join(calls) == "aaaabbbb" * timing.ROUNDS


def test_the_median_and_the_quartiles(clock):
    # The first run of a round is not timed; a round ends after 20 ms.
    slow = takes(clock, [99.0, 10.0, 14.0, 99.0, 12.0, 20.0])
    (found,) = timing.times([slow], rounds=2)
    assert found == pytest.approx((13.0, 11.5, 15.5))
    assert timing.times([], rounds=2) == []
