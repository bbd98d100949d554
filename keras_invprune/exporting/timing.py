"""The milliseconds of functions that take turns.

What else the machine does, and how warm it is, changes within seconds. Functions that
take turns meet the same changes, so that their times can be compared.
"""

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROUNDS, MOST = 5, 30  # interleaved rounds, and the runs of each one
LONG = 20  # milliseconds after which a round ends


class Times(NamedTuple):
    """The median and the quartiles of the milliseconds of one function."""

    median: float
    low: float
    high: float


def times(runs: Sequence[Callable[[], Any]], rounds: int = ROUNDS) -> list[Times]:
    """Return the median and the quartiles of each function, interleaved."""
    found = [np.percentile(each, (50, 25, 75)) for each in _in_turns(runs, rounds)]
    return [Times(*map(float, each)) for each in found]


def lower_quartiles(runs: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the lower quartile of the milliseconds of each function, interleaved."""
    return [float(np.percentile(each, 25)) for each in _in_turns(runs, ROUNDS)]


def _in_turns(runs: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Return the milliseconds of all runs of each function."""
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, own in zip(runs, found, strict=True):
            run()  # not timed: the last one has filled the caches
            own += _timed(run)
    return found


def _timed(run: Callable[[], Any]) -> list[float]:
    found: list[float] = []
    while len(found) < MOST and sum(found) < LONG:
        begin = time.perf_counter()
        run()
        found.append((time.perf_counter() - begin) * 1e3)
    return found


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor()
