"""Runs on this machine: one after the other, or several processes at once."""

import os
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import keras

from keras_invprune_lab.runs.executors.base import (
    Executor,
    Failure,
    Outcomes,
    attempt,
    ready,
    unfinished,
)
from keras_invprune_lab.runs.executors.children import (
    Pool,
    context,
    listen,
    passed_on,
    tell,
    threads_of_each,
)


def run_all(
    jobs,
    root,
    workers=1,
    show=lambda *_: None,
    failures=None,
    finished=lambda job: None,
):
    """Execute the jobs that are not finished; a failure stops no other run.

    If a data set is unavailable, only one run tries it.

    Args:
        jobs: `Job`s, each after what it needs.
        root: Folder of all runs.
        workers: Processes at once; they share the machine's cores.
        show: ``show(name, done, total)`` after each epoch of the run of that name.
        failures: Dictionary to write failures to, so that an interruption loses none.
        finished: ``finished(job)`` after each run that is done.

    Returns:
        ``{name: message}`` of the runs that failed, or whose needs failed.
    """
    failures = {} if failures is None else failures
    executor = InTurn() if workers == 1 else Processes(workers)
    outcomes = Outcomes(failures, finished)
    executor.carry_out(unfinished(jobs, root), root, show, outcomes)
    return failures


class InTurn(Executor):
    """One run after the other, in this process."""

    def carry_out(self, jobs, root, show, outcomes):
        """Execute the jobs in their order."""
        for job in jobs:
            if outcomes.is_hopeless(job):
                continue
            outcomes.note(job, attempt(job, root, partial(show, job.name)))
            keras.backend.clear_session()


class Processes(Executor):
    """Several runs at once, each in a process of its own.

    Args:
        workers: Processes at once; they share the machine's cores.
    """

    def __init__(self, workers):
        self.workers = workers

    def carry_out(self, jobs, root, show, outcomes):
        """Execute the jobs as soon as nothing that they need is unfinished."""
        processes = context("keras")
        waiting, each = list(jobs), max(1, (os.cpu_count() or 1) // self.workers)
        with passed_on(processes, show) as news, threads_of_each(each):
            fill = partial(_fill, processes, news, root, outcomes)
            while waiting:
                # A process that dies takes its pool with it, hence what ran next to
                # it, too: each resumes alone, which shows whose process dies.
                for job in fill(waiting, self.workers):
                    if fill([job], 1):
                        died = Failure("its process died: out of memory?")
                        outcomes.note(job, died)


def _fill(processes, news, root, outcomes, jobs, workers) -> list:
    """Execute the jobs in a pool of their own; return those it left when it broke."""
    with Pool(workers, processes, listen, news) as pool:
        return _feed(pool, jobs, root, workers, outcomes)


def _feed(pool, waiting, root, workers, outcomes) -> list:
    """Keep the pool at work until nothing is waiting, or until it breaks.

    Returns:
        The jobs that a broken pool left unfinished.
    """
    running, stopped, broken = {}, [], False
    while running or (waiting and not broken):
        startable = [] if broken else ready(waiting, running, outcomes)
        for job in startable[: workers - len(running)]:
            try:
                running[pool.submit(_in_process, job, root)] = job
            except BrokenProcessPool:
                broken = True
                break
            waiting.remove(job)
        pool.begin()
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


def _in_process(job, root) -> Failure | None:
    failure = attempt(job, root, partial(tell, job.name))
    keras.backend.clear_session()
    return failure
