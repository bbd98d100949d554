"""What carries out many runs: each after what it needs; a failure stops no other."""

import abc
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from keras_invprune.exporting.folders import REPORT
from keras_invprune_lab.data import DataUnavailable
from keras_invprune_lab.runs.execute import execute, is_done, write_failure


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
        """Note the `Failure` of a run, or None for its success."""
        if failure is None:
            self.finished(job)
            return
        self.failures[job.name] = failure.text
        if failure.of_data:
            self.unavailable[job.dataset] = failure.text

    def is_hopeless(self, job) -> bool:
        """Return whether a run is bound to fail; if so, note it as failed."""
        if job.dataset in self.unavailable:
            self.failures[job.name] = self.unavailable[job.dataset]
        elif job.needs and job.needs.name in self.failures:
            self.failures[job.name] = f"needs {job.needs.name}"
        return job.name in self.failures


class Executor(abc.ABC):
    """Where runs are executed: in this process, in several, or elsewhere."""

    @abc.abstractmethod
    def carry_out(self, jobs, root, show, outcomes: Outcomes):
        """Execute the jobs, each after what it needs; a failure stops no other.

        Args:
            jobs: Unfinished `Job`s, each after what it needs.
            root: Folder of all runs.
            show: ``show(name, done, total)`` after each epoch of the run of that name.
            outcomes: To be told what became of each job.
        """


def unfinished(jobs, root) -> list:
    """Return what has to be executed: what is not done, and what that needs.

    A search is not repeated if all that starts from it is done.
    """
    found = {}
    for job in reversed(jobs):
        if not is_done(job, root) and (not _is_spent(job, root) or job.name in found):
            found[job.name] = job
            if job.needs and not is_done(job.needs, root):
                found[job.needs.name] = job.needs
    return [job for job in jobs if job.name in found]


def _is_spent(job, root) -> bool:
    """Return whether a search is reported, and only its state is missing."""
    return (Path(root) / job.name / REPORT).exists()


def attempt(job, root, show) -> Failure | None:
    """Execute a job; return what went wrong, if something did."""
    try:
        execute(job, root, show)
    except Exception as error:  # of any kind: the other runs continue
        write_failure(job, root, traceback.format_exc())
        text = f"{type(error).__name__}: {error}"
        return Failure(text, isinstance(error, DataUnavailable))
    return None


def ready(waiting, running, outcomes) -> list:
    """Return the jobs that need nothing unfinished; drop the hopeless ones."""
    waiting[:] = [job for job in waiting if not outcomes.is_hopeless(job)]
    unready = {job.name for job in [*waiting, *running]}
    return [j for j in waiting if not (j.needs and j.needs.name in unready)]
