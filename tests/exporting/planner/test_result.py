import pytest

from keras_invprune.exporting.planner.result import what_pruning_brings
from keras_invprune.exporting.planner.row import BEST, NOT_TRIED, WRONG, Row, Run


def row(name, size, milliseconds, verdict="", uses_zeros=False):
    run = Run("LiteRT", 0.0, milliseconds, milliseconds, milliseconds)
    return Row(name, "f", uses_zeros, size, loss=0.0, runs=(run,), verdict=verdict)


DENSE = row("dense", 100, 1.0)


@pytest.mark.parametrize(
    "size, milliseconds, said",
    [
        (90, 1.0, "Pruning helps: with all weights, 'dense' takes 100 bytes and 1 ms"),
        (100, 0.9, "Pruning helps: "),
        (99, 1.04, "Pruning hardly helps: with all weights, 'dense' takes 100 bytes"),
    ],
)
def test_a_gain_of_a_few_percent_is_hardly_one(size, milliseconds, said):
    best = row("sparse", size, milliseconds, BEST, uses_zeros=True)
    found = what_pruning_brings((DENSE, best), "size", 0.0, None)
    assert found.startswith(said)
    assert found.endswith(f"takes {size} bytes and {milliseconds:g} ms.")


@pytest.mark.parametrize(
    "other, said",
    [
        (Row("sparse", "f", True, verdict=NOT_TRIED), "no file that does was made."),
        (Row("sparse", "f", True, 90, verdict=WRONG), "no file that does may be kept."),
        (row("sparse", 120, 1, uses_zeros=True), "'sparse' takes 120 bytes and 1 ms."),
    ],
)
def test_it_is_said_why_zeros_are_not_used(other, said):
    best = row("dense", 100, 1.0, BEST)
    found = what_pruning_brings((best, other), "size", 0.0, None)
    assert found.startswith("Pruning does not help here: 'dense' does not use the")
    assert found.endswith(said)
