"""Runs on this machine: one after the other, or several processes at once."""

import os
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
from keras_invprune_lab.runs.executors.children import Children, tell


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
        waiting = list(jobs)

        def take(unfinished):
            for job in ready(waiting, unfinished, outcomes):
                waiting.remove(job)
                return job
            return None

        with Children(
            partial(_in_process, root),
            self.workers,
            imported=["keras"],
            threads=max(1, (os.cpu_count() or 1) // self.workers),
            show=show,
        ) as children:
            for job, failure, error in children.results(take):
                if error is not None:
                    failure = Failure(f"{type(error).__name__}: {error}")
                outcomes.note(job, failure)


def _in_process(root, job) -> Failure | None:
    failure = attempt(job, root, partial(tell, job.name))
    keras.backend.clear_session()
    return failure
