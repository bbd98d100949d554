"""Many runs: in order of need, several at once, whatever becomes of single ones."""

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple

import keras

from keras_invprune_lab.runs.execute import execute, is_done, write_failure
from keras_invprune_lab.data import DataUnavailable
from keras_invprune.exporting.folders import REPORT

THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


class Failure(NamedTuple):
    """What went wrong in a run, and whether it would in all of that data set."""

    text: str
    of_data: bool = False


@dataclass
class Outcomes:
    """What became of the runs so far.

    Attributes:
        failures: ``{name: message}``.
        finished: ``finished(job)``, called after each run that is done.
        unavailable: ``{data set: message}``; asking again takes minutes each time.
    """

    failures: dict
    finished: Callable
    unavailable: dict = field(default_factory=dict)

    def note(self, job, failure):
        """After a run, its `Failure` or None."""
        if failure is None:
            self.finished(job)
            return
        self.failures[job.name] = failure.text
        if failure.of_data:
            self.unavailable[job.dataset] = failure.text

    def is_hopeless(self, job) -> bool:
        """Whether a run is bound to fail; then it is noted as failed."""
        if job.dataset in self.unavailable:
            self.failures[job.name] = self.unavailable[job.dataset]
        elif job.needs and job.needs.name in self.failures:
            self.failures[job.name] = f"needs {job.needs.name}"
        return job.name in self.failures


def run_all(
    jobs,
    root,
    workers=1,
    show=lambda *_: None,
    failures=None,
    finished=lambda job: None,
):
    """Executes the jobs that are not finished; a failure stops no other run.

    Of a data set that cannot be had, one run tries.

    Args:
        jobs: `Job`s, each after what it needs.
        root: Folder of all runs.
        workers: Processes at once; they share the machine's cores.
        show: ``show(name, done, total)`` after each epoch of the run of that name.
        failures: Dictionary to write failures to, so that an interruption loses none.
        finished: ``finished(job)`` after each run that is done.

    Returns:
        ``{name: message}`` of the runs that failed, or whose needs did.
    """
    failures = {} if failures is None else failures
    carry_out = _one_by_one if workers == 1 else _side_by_side
    outcomes = Outcomes(failures, finished)
    carry_out(unfinished(jobs, root), root, show, outcomes, workers)
    return failures


def unfinished(jobs, root) -> list:
    """What has to be executed: what is not done, and what that needs.

    A search is not repeated when all that goes on from it is done.
    """
    found = {}
    for job in reversed(jobs):
        if not is_done(job, root) and (not _is_spent(job, root) or job.name in found):
            found[job.name] = job
            if job.needs and not is_done(job.needs, root):
                found[job.needs.name] = job.needs
    return [job for job in jobs if job.name in found]


def _is_spent(job, root) -> bool:
    """Whether a search is reported, and only its state is missing."""
    return (Path(root) / job.name / REPORT).exists()


def _one_by_one(jobs, root, show, outcomes, _):
    for job in jobs:
        if outcomes.is_hopeless(job):
            continue
        shown = partial(show, job.name)
        outcomes.note(job, _attempt(job, root, shown))
        keras.backend.clear_session()


def _attempt(job, root, show) -> Failure | None:
    """Executes; returns what went wrong, if something did."""
    try:
        execute(job, root, show)
    except Exception as error:  # whatever it is, the other runs go on
        write_failure(job, root, traceback.format_exc())
        text = f"{type(error).__name__}: {error}"
        return Failure(text, isinstance(error, DataUnavailable))
    return None


def _side_by_side(jobs, root, show, outcomes, workers):
    context = multiprocessing.get_context("spawn")
    news, waiting = context.Queue(), list(jobs)
    reader = threading.Thread(target=_pass_on, args=(news, show), daemon=True)
    reader.start()

    def fill(jobs, workers):
        ended, end = context.Pipe(duplex=False)
        listen = _listen, (news, ended)
        with ended, end, ProcessPoolExecutor(workers, context, *listen) as pool:
            try:
                return _fill(pool, jobs, root, workers, outcomes)
            except BaseException:
                end.close()  # nobody trains on
                raise

    try:
        with _threads_for(workers):
            while waiting:
                # A process that dies takes its pool with it, hence what ran beside
                # it, too: each goes on alone, which shows whose process dies.
                for job in fill(waiting, workers):
                    if fill([job], 1):
                        died = Failure("its process died: out of memory?")
                        outcomes.note(job, died)
    finally:
        news.put(None)
        news.cancel_join_thread()  # a process that died while it told may
        reader.join(timeout=10)  # have left the queue locked


def _fill(pool, waiting, root, workers, outcomes) -> list:
    """Keeps the pool at work until nothing is waiting, or until it breaks.

    Returns:
        The jobs that a broken pool left unfinished.
    """
    running, stopped, broken = {}, [], False
    while running or (waiting and not broken):
        ready = [] if broken else _ready(waiting, running, outcomes)
        for job in ready[: workers - len(running)]:
            try:
                running[pool.submit(_in_process, job, root)] = job
            except BrokenProcessPool:
                broken = True
                break
            waiting.remove(job)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            job = running.pop(future)
            try:
                failure = future.result()
            except BrokenProcessPool:
                broken = True
                stopped.append(job)
                continue
            outcomes.note(job, failure)
    return stopped


def _ready(waiting, running, outcomes) -> list:
    """The jobs that need nothing unfinished; drops the hopeless ones."""
    waiting[:] = [job for job in waiting if not outcomes.is_hopeless(job)]
    unready = {job.name for job in [*waiting, *running.values()]}
    return [j for j in waiting if not (j.needs and j.needs.name in unready)]


_news = None  # of a child process: where its progress goes


def _listen(news, ended):
    """Of a child process: tells of its progress, and ends when its parent wants.

    Args:
        news: Queue for its progress.
        ended: End of a pipe, whose other end the parent closes.
    """
    global _news
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # of models traced in turn
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()


def _end_with_parent(ended):
    # Else it would train on, unlocked, beside whoever starts the same runs again.
    connection.wait([multiprocessing.parent_process().sentinel, ended])
    os._exit(1)


def _in_process(job, root) -> Failure | None:
    failure = _attempt(job, root, lambda *now: _news.put((job.name, *now)))
    keras.backend.clear_session()
    return failure


def _pass_on(news, show):
    while (now := news.get()) is not None:
        show(*now)


@contextmanager
def _threads_for(workers):
    """Child processes share the cores, as TensorFlow reads when it starts."""
    before = {name: os.environ.get(name) for name in THREADS}
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    os.environ.update(dict.fromkeys(THREADS, threads))
    # Else the first process takes all of a GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
