"""How predictions of milliseconds are compared with files."""

import keras

from keras_invprune.allocation import Budget
from keras_invprune.allocation.budget import Sum, macs_of
from keras_invprune.runtimes import RUNTIMES


class Drifting:
    """A runtime of a millisecond for each MAC; each round of files takes one more."""

    def __init__(self):
        self.rounds = []

    def milliseconds(self, models):
        self.rounds.append(len(models))
        late = sum(count > 1 for count in self.rounds[:-1])
        return [Budget(macs=1).measure(model) + late for model in models]

    def cost(self, model):
        return Sum(macs_of(model).each)


def test_files_take_turns_and_their_rounds_are_summed_up(benchmark, monkeypatch):
    def tiny():
        hidden = [keras.layers.Dense(16, "relu") for _ in range(2)]
        return keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(2)])

    monkeypatch.setitem(benchmark.NETWORKS, "tiny", (tiny, (1, 8)))
    monkeypatch.setitem(RUNTIMES, "litert-cpu", Drifting())
    monkeypatch.setitem(RUNTIMES, benchmark.MEASURED_ONCE, None)
    found = benchmark.measure("tiny")
    *alone, first, second, third = RUNTIMES["litert-cpu"].rounds
    assert [first, second, third] == [5, 5, 5]
    assert set(alone) == {1} and len(alone) == sum(row["files"] for row in found)
    assert [row["files"] > 0 for row in found] == [False, True, True, True, True]
    kinds = [(row["share"], row["multiple"]) for row in found]
    assert kinds == [(1.0, 1), (0.75, 1), (0.75, 8), (0.5, 1), (0.5, 8)]
    dense = 8 * 16 + 16 * 16 + 16 * 2
    for row in found:
        assert tuple(row) == benchmark.FIELDS
        assert row["allowed"] == row["share"] * dense
        assert row["predicted"] == row["macs"] <= row["allowed"]
        assert row["macs"] > (0.8 if row["multiple"] == 1 else 0.4) * row["allowed"]
        spread = row["least"], row["measured"], row["most"]
        assert spread == (row["macs"], row["macs"] + 1, row["macs"] + 2)
