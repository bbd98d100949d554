"""Child processes: jobs go in, results come out as they are ready."""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, NamedTuple

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
PATIENCE = 10.0  # seconds that a process without a job has to end by itself
TOLD, ENDED = "told", "ended"  # what a child sends: its progress, a result


def context(*imported: str) -> multiprocessing.context.BaseContext:
    """Return the context in which child processes start.

    On Linux they are copies of a process that has imported some modules and has done
    nothing else, so that they need not import them. The first child starts it.
    Elsewhere libraries do not stand to be copied, and each child imports them.

    Args:
        imported: Names of the modules. They may start no threads and use no device.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(imported))
    return found


@contextmanager
def threads_of_each(count: int) -> Iterator[None]:
    """Give each child process that starts this number of threads.

    Libraries read the variables when they are imported, TensorFlow when it is used.
    What is imported before the children start is imported within this context, too,
    the first time. Later children get them from their parent's environment.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    # Else the first process takes all of a GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class ChildDied(RuntimeError):
    """A process ended without a result: it crashed, was killed, or lacked memory."""


class Ended(NamedTuple):
    """A job that has ended.

    Attributes:
        job: The job.
        result: What the task returned.
        error: What it raised, with the child's traceback as a note, or `ChildDied`;
            None if it returned.
    """

    job: Any
    result: Any
    error: Exception | None


class Children:
    """Child processes that do jobs, each one after the other. Use it as a context.

    Each process has a pipe of its own. So the death of one is seen at once, and neither
    blocks nor ends another. A job whose process died is tried again when no other is
    left, alone, since memory may suffice for one. If that process dies, too, the job
    has failed.

    Children leave Ctrl-C to their parent, and end with it. An error within the context
    ends them and what they do.

    Args:
        task: ``task(job)``, called in a child. It must be picklable, as must be jobs
            and results.
        workers: Number of processes at once. They start when there are jobs for them.
        imported: See `context`.
        threads: Number of threads of each process.
        start: ``start()``, called in each process before its first job.
        show: ``show(*now)``, called in this process with what a child has `tell` say.
        life: Number of jobs after which a process is replaced; None for no limit.
    """

    def __init__(
        self,
        task: Callable[[Any], Any],
        workers: int,
        *,
        imported: Sequence[str] = (),
        threads: int = 1,
        start: Callable[[], None] | None = None,
        show: Callable | None = None,
        life: int | None = None,
    ):
        self._work = start, task
        self.workers, self.threads, self.life = workers, threads, life
        self._context, self._show = context(*imported), show
        self._children: list[_Child] = []

    def __enter__(self) -> "Children":
        """Return the object."""
        return self

    def __exit__(self, *error):
        """End the processes; after an error, also what they do."""
        for child in [*self._children]:
            self._end(child, at_once=error[0] is not None)

    def results(self, take: Callable[[list], Any]) -> Iterator[Ended]:
        """Do jobs, and yield each as soon as it has ended.

        If the caller does not ask for all of them, those under way are given up.

        Args:
            take: ``take(unfinished)`` returns the next job. It gets those that have
                begun and not ended, and may return None to be asked again when one of
                these ends.
        """
        died: list = []  # jobs whose process has died once
        alone = False
        try:
            while True:
                while not alone and len(self._busy) < self.workers:
                    job = take([*(child.job for child in self._busy), *died])
                    if job is None:
                        break
                    self._give(job)
                if not self._busy:
                    if not died:
                        return
                    alone = True
                    self._give(died.pop(0))
                for ended in self._heard():
                    if isinstance(ended.error, ChildDied) and not alone:
                        died.append(ended.job)
                    else:
                        alone = False
                        yield ended
        finally:
            for child in self._busy:
                self._end(child, at_once=True)

    @property
    def _busy(self) -> "list[_Child]":
        return [child for child in self._children if child.busy]

    def _give(self, job):
        """Give a job to a process that has none, or to a new one."""
        for child in [child for child in self._children if not child.busy]:
            if child.give(job, self._work):
                return
            self._end(child)  # it died while it had nothing to do
        self._children.append(_Child(self._context, self.threads))
        self._children[-1].give(job, self._work)

    def _heard(self) -> list[Ended]:
        """Wait until a child says something; return what has ended."""
        found = []
        each = {one: child for child in self._busy for one in child.to_wait_for}
        ready = [each[one] for one in connection.wait(each)]
        for child in dict.fromkeys(ready):
            said = child.hear()
            if said is None:
                code = self._end(child)
                error = ChildDied(
                    "Its process died twice, the second time with nothing next to it "
                    f"(exit code {code}). If memory has run out, use a smaller network."
                )
                found.append(Ended(child.job, None, error))
            elif said[0] == ENDED:
                found.append(Ended(child.job, *said[1]))
                child.busy, child.done = False, child.done + 1
                if child.done == self.life:
                    self._end(child)
            elif self._show is not None:
                self._show(*said[1])
        return found

    def _end(self, child, *, at_once=False) -> int | None:
        self._children.remove(child)
        return child.end(at_once=at_once)


class _Child:
    """A process, and the parent's end of its pipe."""

    def __init__(self, processes, threads):
        self.pipe, its_end = processes.Pipe()
        with threads_of_each(threads):
            # A copy has the environment of the process that it is a copy of.
            own = its_end, dict(os.environ)
            self.process = processes.Process(target=_serve, args=own)
            self.process.start()
        its_end.close()  # so that the pipe breaks when the process ends
        self.job, self.busy, self.done = None, False, 0

    @property
    def to_wait_for(self) -> tuple:
        """What is ready as soon as it says something or ends."""
        return self.pipe, self.process.sentinel

    def give(self, job, work) -> bool:
        """Give it a job; return whether it was there to take it."""
        content = pickle.dumps((*work, job))
        self.job, self.busy = job, True
        try:
            self.pipe.send_bytes(content)
        except OSError:
            return False
        return True

    def hear(self) -> tuple | None:
        """Return what it says, or None if it has died."""
        try:
            content = self.pipe.recv_bytes() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None
        try:
            return None if content is None else pickle.loads(content)
        except Exception as error:  # of a class that is only known to the child
            error.add_note("The result of a job cannot be read in this process.")
            return ENDED, (None, error)

    def end(self, *, at_once) -> int | None:
        """End the process, and what it does; return its exit code."""
        if at_once:
            self.process.kill()
        self.pipe.close()  # a process that waits for a job ends now
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        return self.process.exitcode


_pipe: Any = None  # of a child process, to its parent
_one_at_a_time = threading.Lock()


def tell(*now: object):
    """Tell the parent of the progress, in a child process."""
    _send(pickle.dumps((TOLD, now)))


def _send(content):
    with _one_at_a_time:
        _pipe.send_bytes(content)


def _serve(pipe, environment):
    """Do the parent's jobs, in a child process."""
    global _pipe
    _pipe = pipe
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # of models traced in turn
    threading.Thread(target=_end_with_parent, daemon=True).start()
    started: list = []
    while True:
        try:
            content = pipe.recv_bytes()
        except (EOFError, OSError):  # the parent has closed its end
            return
        _send(_answer(content, started))


def _end_with_parent():
    # Else it would train on, unlocked, next to whoever starts the same again.
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _answer(content, started) -> bytes:
    """Return the result of a job, or what it raised, pickled."""
    try:
        start, task, job = pickle.loads(content)
        if start is not None and not started:
            start()
            started.append(True)
        return pickle.dumps((ENDED, (task(job), None)))
    except Exception as error:
        found = _picklable(error)
        found.add_note(traceback.format_exc())
        return pickle.dumps((ENDED, (None, found)))


def _picklable(error) -> Exception:
    """Return the error, or its text if the parent could not read it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
