import dataclasses
import math

import hypothesis
import hypothesis.strategies as st
import pytest

from keras_invprune.exporting.planner import choice
from keras_invprune.exporting.planner.choice import NothingLeftError, choose
from keras_invprune.exporting.planner.row import (
    BEST,
    INACCURATE,
    LARGER,
    OVER,
    SLOWER,
    WRONG,
    Row,
    Run,
)
from keras_invprune.exporting.planner.target import FileBudget


def row(name, size, milliseconds, loss=0.0, spread=0.0, **others):
    times = milliseconds, milliseconds - spread, milliseconds + spread
    run = Run("LiteRT", 0.0, *times)
    return Row(name, "f", bytes=size, loss=loss, runs=(run,), **others)


def verdicts(rows, *arguments):
    return {r.name: r.verdict for r in choose(rows, *arguments)}


SMALL, FAST = row("small", 10, 2.0), row("fast", 30, 1.0)


def test_the_target_decides():
    assert verdicts([SMALL, FAST], "size", 0) == {"small": BEST, "fast": LARGER}
    assert verdicts([SMALL, FAST], "litert-cpu", 0) == {"small": SLOWER, "fast": BEST}


def test_reasons_have_figures():
    found = choose([SMALL, FAST], "litert-cpu", 0)
    assert found[0].reason == "2 times the milliseconds"
    assert choose([SMALL, FAST], "size", 0)[1].reason == "3 times the bytes"


@pytest.mark.parametrize(
    "spread, other, best",
    [
        (0.0, row("other", 20, 1.04), True),
        (0.3, row("other", 20, 1.3), True),
        (0.3, row("other", 20, 1.4, spread=0.9), False),
    ],
)
def test_of_files_that_are_as_fast_the_smallest_is_best(spread, other, best):
    fast = row("fast", 30, 1.0, spread=spread)
    expected = (LARGER, BEST) if best else (BEST, SLOWER)
    found = verdicts([fast, other], "any", 0)
    assert (found["fast"], found["other"]) == expected


def test_a_loss_that_is_allowed_exactly_is_allowed():
    lossy = row("lossy", 5, 1.0, loss=0.3 - 0.1)
    assert verdicts([lossy], "size", 0.2) == {"lossy": BEST}
    found = choose([lossy, SMALL], "size", 0.1)
    assert found[0].verdict == INACCURATE
    assert found[0].reason == "loses 0.2, allowed 0.1"


def test_a_budget_comes_before_the_target():
    budget = FileBudget(bytes=20)
    found = choose([SMALL, FAST], "litert-cpu", 0, budget)
    assert [r.verdict for r in found] == [BEST, OVER]
    assert found[1].reason == "30 of 20 bytes"


def test_a_budget_that_nothing_meets_names_the_nearest():
    budget = FileBudget(bytes=5.0, milliseconds=0.1)  # as the command line reads it
    text = "nearest is 'fast': 30 of 5 bytes, 1 of 0.1 ms"
    with pytest.raises(NothingLeftError, match=text):
        choose([SMALL, FAST], "size", 0, budget)


def test_if_nothing_is_left_each_has_its_reason():
    wrong = [each.dropped(WRONG, "off by nan") for each in (SMALL, FAST)]
    with pytest.raises(NothingLeftError, match="'small', 'fast': wrong, off by nan$"):
        choose(wrong, "size", 0)


sizes = st.integers(1, 9)
times = st.sampled_from([0.5, 0.51, 1.0, 1.3, 4.0])
rows = st.lists(
    st.builds(
        row,
        st.just(""),
        sizes,
        times,
        st.sampled_from([-0.1, 0.0, 0.01, 0.2]),
        st.sampled_from([0.0, 0.1, 0.4]),
        verdict=st.sampled_from(["", "", WRONG]),
    ),
    min_size=1,
    max_size=7,
).map(lambda found: [dataclasses.replace(r, name=str(n)) for n, r in enumerate(found)])
budgets = st.none() | st.builds(FileBudget, sizes, times)
targets = st.sampled_from(["size", "litert-cpu", "any"])


@hypothesis.given(rows, targets, budgets)
def test_the_best_is_right_accurate_affordable_and_unbeaten(given, target, budget):
    allowed = 0.01
    meets = [
        r
        for r in given
        if not r.verdict
        and r.loss <= allowed
        and (budget is None or budget.excess(r.bytes, r.milliseconds) <= 1)
    ]
    if not meets:
        with pytest.raises(NothingLeftError):
            choose(given, target, allowed, budget)
        return
    found = choose(given, target, allowed, budget)
    (best,) = (r for r in found if r.verdict == BEST)
    assert best.name in {r.name for r in meets}
    assert [r.name for r in found] == [r.name for r in given]
    assert all(r.verdict for r in found)
    if target == "size":
        assert best.bytes == min(r.bytes for r in meets)
    else:
        quickest = min(meets, key=lambda r: r.milliseconds)
        high = max(r.high for r in meets if r.milliseconds == quickest.milliseconds)
        limit = max(quickest.milliseconds * choice.JUST_AS_FAST, high)
        assert best.milliseconds <= limit
        # None is at least as fast and smaller, and no reason says the contrary.
        beaten = [r for r in meets if r.milliseconds <= best.milliseconds]
        assert best.bytes == min(r.bytes for r in beaten)
        slower = [r for r in found if r.verdict == SLOWER]
        assert all(r.milliseconds >= best.milliseconds for r in slower)


@hypothesis.given(rows, targets, st.randoms())
def test_the_order_of_rows_does_not_matter(given, target, random):
    shuffled = random.sample(given, len(given))

    def figures(rows):
        try:
            found = choose(rows, target, 0.01)
        except NothingLeftError:
            return None
        return next((r.bytes, r.milliseconds) for r in found if r.verdict == BEST)

    assert figures(given) == figures(shuffled)


def test_a_file_without_times_is_never_the_fastest():
    untimed = Row("untimed", "f", bytes=1, loss=0.0)
    assert untimed.milliseconds == math.inf and not untimed.is_right
    assert verdicts([untimed, FAST], "any", 0)["fast"] == BEST
