"""Independent tasks in processes of their own, which end with their parent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from keras_invprune_lab.runs.executors.children import ChildDied, Children, tell


def carry_out(
    tasks: Sequence[Any],
    jobs: int,
    finished: Callable[[Any, Any], None],
    progress: Callable | None = None,
):
    """Call each task; ``finished(task, result)`` is called here, after each.

    Args:
        tasks: Callables ``(show) -> result`` with a ``name`` and a ``cost``, which can
            be pickled; they call ``show(done, total)``.
        jobs: Tasks at once; 1 calls them in this process.
        finished: Called in this process after each task.
        progress: ``progress(costs)``, a context manager that yields
            ``show(name, done, total)``; None shows nothing.

    Raises:
        ValueError: If `jobs` is not above 0.
        ChildDied: If the process of a task died twice; says of which.
        Exception: If a task raises it, which ends the others.
    """
    if jobs < 1:
        raise ValueError(f"`jobs` must be at least 1. Received: {jobs}.")
    if not tasks:
        return
    costs = {task.name: task.cost for task in tasks}
    shown = progress(costs) if progress else contextlib.nullcontext(_nothing)
    with shown as show:
        if jobs == 1:
            for task in tasks:
                finished(task, task(_named(task, show)))
        else:
            _in_processes(tasks, jobs, finished, show)


def _nothing(*now):
    """Show nothing."""


def _named(task, show):
    return lambda done, total: show(task.name, done, total)


def _in_processes(tasks, jobs, finished, show):
    left = iter(tasks)
    with Children(_call, jobs, show=show) as children:
        for task, result, error in children.results(lambda _: next(left, None)):
            if isinstance(error, ChildDied):
                raise ChildDied(f"{task.name} failed. {error}") from error
            if error is not None:
                raise error
            finished(task, result)


def _call(task):
    return task(_named(task, tell))
