"""What retraining recovers: by epoch, and by sparsity over rounds of pruning."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np


class Point(NamedTuple):
    """One epoch of retraining; epoch 0 is right after pruning.

    Attributes:
        dataset: Name of the data set.
        method: Name of the method.
        compression: What was asked for; None where nothing is pruned.
        seed: The seed.
        round: Number of the round of pruning, from 1.
        sparsity: After this round, a share of what is pruned.
        epoch: Of this round.
        validation: The figure that counts, in percent.
        test: The same on test rows, which were read at epoch 0 and at the epoch that is
            best on validation rows; None at all others.
    """

    dataset: str
    method: str
    compression: float | None
    seed: int
    round: int
    sparsity: float
    epoch: int
    validation: float
    test: float | None


def points(reports, figure) -> list[Point]:
    """Return the epochs of all reports that have rounds, in their order.

    Args:
        reports: From `ledger.collect`, with their history.
        figure: Name of the figure that counts.
    """
    found = []
    for report in reports:
        config = report["config"]
        own = (config["dataset"], config["method"], config["compression"])
        own += (config["seed"],)
        curve = list(report.get("history", {}).get(f"val_{figure}", ()))
        for number, one in enumerate(report.get("rounds", ()), start=1):
            here, curve = curve[: one["epochs"]], curve[one["epochs"] :]
            tested = {0: one["test"]["pruned"]}
            tested[one["best_epoch"]] = one["test"]["retrained"]
            for epoch, share in enumerate([one["validation"]["pruned"], *here]):
                test = tested.get(epoch)
                test = None if test is None else 100 * test
                place = (number, one["sparsity"], epoch)
                found.append(Point(*own, *place, 100 * share, test))
    return found


def by_epoch(found) -> dict[str, np.ndarray]:
    """Return ``{method: mean validation figure of each epoch}`` of the last round.

    A run that has ended keeps its best figure after an epoch, that of its network.

    Args:
        found: `Point`s of one data set and compression.
    """
    runs = defaultdict(dict)
    for point in found:
        run = runs[point.method, point.seed].setdefault(point.round, [])
        run.append(point.validation)
    last = {run: rounds[max(rounds)] for run, rounds in runs.items()}
    longest = max(map(len, last.values()), default=0)
    curves = defaultdict(list)
    for (method, _), curve in last.items():
        kept = [max(curve[1:], default=curve[0])] * (longest - len(curve))
        curves[method].append([*curve, *kept])
    return {method: np.mean(each, axis=0) for method, each in curves.items()}


def by_sparsity(found) -> dict[str, dict[float, list[float]]]:
    """Return ``{method: {sparsity: test figures after retraining}}``, all seeds.

    Args:
        found: `Point`s of one data set.
    """
    curves = defaultdict(lambda: defaultdict(list))
    for point in found:
        if point.test is not None and point.epoch and point.sparsity:
            curves[point.method][round(point.sparsity, 6)].append(point.test)
    return {m: dict(sorted(curve.items())) for m, curve in curves.items()}
