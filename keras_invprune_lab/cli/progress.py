"""What the commands show of trainings at work: one display for all of them."""

import contextlib

from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from keras_invprune_lab.cli.tables import console


@contextlib.contextmanager
def progress(costs=None, unit="epochs"):
    """Yield ``show(name, done, total)``, which draws a bar for each training.

    Nothing is drawn before the first call, so that an error stands alone.

    Args:
        costs: ``{name: cost}`` of trainings that are many: a bar for all of them comes
            on top, and those that are done leave. None where each bar should stay.
        unit: What `done` and `total` count.
    """
    with contextlib.ExitStack() as stack:
        bars, tasks = _bars(), {}
        whole = _Whole(bars, costs) if costs else None

        def show(name, done, total):
            if not bars.live.is_started:
                stack.enter_context(bars)
            if name not in tasks:
                tasks[name] = bars.add_task(name, epochs="")
            epochs = f"{done:.0f}/{total:.0f} {unit}"
            bars.update(tasks[name], completed=done, total=total, epochs=epochs)
            if whole:
                whole.update(name, done / total)
                if done == total:
                    bars.remove_task(tasks.pop(name))

        yield show


def _bars() -> Progress:
    """Return a display whose narrow columns stay whole; long names are folded."""
    whole = {"justify": "right", "table_column": Column(no_wrap=True)}
    return Progress(
        TextColumn("{task.description}", table_column=Column(ratio=1, overflow="fold")),
        BarColumn(bar_width=10),
        TextColumn("{task.percentage:.0f}%", **whole),
        TextColumn("{task.fields[epochs]}", **whole),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=console,
        speed_estimate_period=600,
        expand=True,
    )


class _Whole:
    """The bar of all trainings together.

    What an earlier command did says nothing of this one's speed and does not count.
    """

    def __init__(self, bars, costs):
        self.bars, self.costs = bars, costs
        self.begun, self.now = {}, {}
        self.task = bars.add_task("all runs", total=sum(costs.values()), epochs="")

    def update(self, name, share):
        """Note the share of a training that is done."""
        self.begun.setdefault(name, share)
        self.now[name] = share
        before = self._cost(self.begun)
        done, left = self._cost(self.now) - before, sum(self.costs.values()) - before
        self.bars.update(self.task, completed=done, total=left)

    def _cost(self, shares) -> float:
        return sum(self.costs[name] * share for name, share in shares.items())
