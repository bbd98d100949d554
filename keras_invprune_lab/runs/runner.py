"""The one runner: claims a folder, trains or resumes, reports; nothing twice."""

import abc
import json
import shutil
from pathlib import Path

from keras_invprune.exporting.folders import (
    REPORT,
    check_free,
    claimed,
    replacing,
    write_report,
)
from keras_invprune.saving import write_json
from keras_invprune_lab.methods.base import Trained
from keras_invprune_lab.runs.configuration import CONFIG, check_same
from keras_invprune_lab.runs.environment import environment
from keras_invprune_lab.runs.stopwatch import timed
from keras_invprune_lab.training.files import write_history


class Task(abc.ABC):
    """What the runner is given: a run of a benchmark, or of the command `run`.

    Attributes:
        schema: Of its report.
        config: All that its result depends on.
        defaults: What configurations of older versions lack.
        inside: ``{name: what those inside them lack}``.
        state: A file that other tasks start from, in the folder of the results; None
            for none.
    """

    schema: str
    config: dict
    defaults: dict
    inside: dict[str, dict] = {}
    state: str | None = None

    @abc.abstractmethod
    def prepare(self, part: Path):
        """Get what training needs, seeded, and raise before anything is written."""

    @abc.abstractmethod
    def train(self, part: Path, show) -> Trained:
        """Train from the last state in `part` on."""

    @abc.abstractmethod
    def write(self, trained: Trained, part: Path, new: Path) -> dict:
        """Write the files of the results to `new`; return what the report adds."""


def part_of(out) -> Path:
    """Return the folder of the unfinished state of what will be in `out`."""
    return out.with_name(f"{out.name}.part")


def is_done(out, state=None) -> bool:
    """Return whether results are there, with the state that others start from."""
    return (out / REPORT).exists() and (state is None or (out / state).exists())


def check_config(task, out):
    """Raise FileExistsError if the folders of a task are of another configuration."""
    for folder in (out, part_of(out)):
        check_same(task.config, folder, task.defaults, task.inside)


def carry_out(task, out, show) -> dict:
    """Train, or resume, and report; if that is done, return the report.

    Args:
        task: `Task`.
        out: Folder of the results, which appears when all is done; until then the
            state is in ``<out>.part``.
        show: Called after each epoch.

    Raises:
        OSError: If `out` holds something else, another configuration, or is a file; or
            if another process is at work in it.
    """
    part = part_of(out)
    check_config(task, out)
    if is_done(out, task.state):
        if not (out / CONFIG).exists():
            raise FileExistsError(f"{out} holds results, but not those of a run.")
        return _reported(out)
    if not (out / REPORT).exists():
        check_free(out)
    task.prepare(part)
    with claimed(part):
        if is_done(out, task.state):  # by another process, in the meantime
            shutil.rmtree(part)
            return _reported(out)
        write_json(part / CONFIG, task.config)
        show, seconds = timed(part, show)
        trained = task.train(part, show)
        if (out / REPORT).exists():  # only the state that others start from was missing
            shutil.move(part / task.state, out / task.state)
        else:
            _publish(task, trained, part, out, seconds)
        shutil.rmtree(part)
    return _reported(out)


def _publish(task, trained, part, out, seconds):
    with replacing(out) as new:
        write_json(new / CONFIG, task.config)
        write_history(trained.history, new / "history.csv")
        own = task.write(trained, part, new)
        found = {
            "config": task.config,
            "environment": environment(),
            "seconds": round(seconds(), 1),
        }
        write_report(new, task.schema, found | own)


def _reported(out) -> dict:
    return json.loads((out / REPORT).read_text())
