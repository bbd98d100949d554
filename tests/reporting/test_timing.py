import keras
import pytest
from keras import layers

from keras_invprune.reporting import timing


def test_runs_take_turns_and_the_lower_quartile_counts(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def takes(name, milliseconds):
        def run():
            calls.append(name)
            now[0] += milliseconds.pop(0) / 1e3 if milliseconds else 0.008

        return run

    # A round is one run that is not timed, and three of 8 ms, which fill 20 ms.
    disturbed = [99.0, *[8.0, 8.0, 8.0, 99.0] * 5]
    found = timing.lower_quartiles([takes("a", disturbed), takes("b", [])])
    assert found == pytest.approx([8.0, 8.0])
    assert "".join(calls) == "aaaabbbb" * timing.ROUNDS


def test_an_unknown_length_is_refused():
    model = keras.Sequential([keras.Input((None, 4)), layers.Dense(2)])
    with pytest.raises(ValueError, match="Give `keras.Input` all lengths"):
        timing.milliseconds_of_file(model)
