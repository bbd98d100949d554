"""Independent tasks in processes of their own, which end with their parent."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import connection
from typing import Any

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


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
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    reader = threading.Thread(target=_pass_on, args=(news, show), daemon=True)
    reader.start()
    ended, end = context.Pipe(duplex=False)
    settings = _listen, (news, ended)
    try:
        with (
            _one_thread_each(),
            ended,
            end,
            ProcessPoolExecutor(jobs, context, *settings) as pool,
        ):
            try:
                futures = {pool.submit(_call, task): task for task in tasks}
                for future in as_completed(futures):
                    finished(futures[future], future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                end.close()  # nobody trains on
                raise
    finally:
        news.put(None)
        news.cancel_join_thread()  # a process that died may have left it locked
        reader.join(timeout=10)


def _pass_on(news, show):
    while (now := news.get()) is not None:
        show(*now)


_news: Any = None  # of a child process: where its progress goes


def _listen(news, ended):
    """Let a child process tell of its progress, and end when its parent wants."""
    global _news
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # of steps traced in turn
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()


def _end_with_parent(ended):
    connection.wait([multiprocessing.parent_process().sentinel, ended])
    os._exit(1)


def _call(task):
    return task(lambda done, total: _news.put((task.name, done, total)))


@contextlib.contextmanager
def _one_thread_each():
    """Give each child process one thread, as TensorFlow reads when it starts."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
