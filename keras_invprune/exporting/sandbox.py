"""Runs files in a separate process, so that one that crashes does no further harm.

LiteRT trusts its files. One whose numbers it misreads may read memory that is not its
own: this mostly gives wrong outputs, and sometimes crashes the process. If it
damages memory, the crash may come only when the file is unloaded.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Timer
from typing import Any, BinaryIO, Self, cast

import numpy as np

from keras_invprune.exporting import litert

Outputs = dict[str, np.ndarray]
PATIENCE = 10  # seconds in which the process may end by itself
LONGEST = 3600  # seconds for an answer, so that a file that hangs stops no night's work

PYTHONS = ("python", "pypy", "graalpy")  # how the names of interpreters begin


class Crashed(RuntimeError):  # noqa: N818 - it is said of the other process
    """A file has crashed the process that ran it, or has kept it from answering."""


class Sandbox:
    """Runs .tflite files with LiteRT in another process, without TensorFlow.

    The process starts when it is needed, and again after a crash. Use the sandbox as a
    context, which ends the process. Where Python is part of another program, no
    process can be started, and files run in this one.

    Example:
        >>> with Sandbox() as sandbox:
        ...     sandbox.load(Path("missing.tflite"), delegate=True)
        Traceback (most recent call last):
        ...
        RuntimeError: [Errno 2] No such file or directory: 'missing.tflite'
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._loaded: object = None

    def __enter__(self) -> Self:
        """Return the sandbox."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()

    def load(
        self, file: Path, delegate: bool | None, threads: int = 1
    ) -> Callable[[dict[str, Any]], Outputs]:
        """Load a file, in place of the last one.

        Args:
            file: The file.
            delegate: Whether the Interpreter may use its default delegate; None for
                CompiledModel.
            threads: Number of threads of the Interpreter.

        Returns:
            A function from arrays by input name to arrays by output name. It may be
            called until another file is loaded.

        Raises:
            Crashed: If this crashes the process, or takes an hour.
            RuntimeError: If LiteRT cannot load the file.
        """
        self._loaded = None
        if not _can_start():
            return litert.load(file, delegate, threads)
        self._ask((file, delegate, threads))
        mine = self._loaded = object()

        def run(inputs: dict[str, Any]) -> Outputs:
            if self._loaded is not mine:
                raise RuntimeError(
                    f"{file.name} is not loaded any more. Load it again."
                )
            return self._ask(inputs)

        return run

    def unload(self) -> None:
        """Unload the last file, so that the next one is not blamed for its damage.

        Raises:
            Crashed: If this crashes the process.
        """
        self._loaded = None
        if self._process is not None:
            self._ask(())

    def _ask(self, request: tuple | dict[str, Any]) -> Any:
        """Return the answer of the process, which starts if there is none."""
        if self._process is None:
            self._process = _started()
        requests, answers = _pipes(self._process)
        try:
            with _killed_after(LONGEST, self._process) as too_late:
                pickle.dump(request, requests)
                requests.flush()
                found, fault = pickle.load(answers)
        # Windows raises an OSError of no special kind for a broken pipe.
        except (EOFError, OSError, pickle.UnpicklingError):
            end = f"crashed ({_meaning(self._end())})"
            if too_late.is_set():
                end = f"did not answer for {LONGEST} s"
            raise Crashed(f"LiteRT {end}") from None
        except BaseException:  # an interruption, after which the answer would be late
            self._process.kill()
            self._end()
            raise
        if fault:
            raise RuntimeError(fault)
        return found

    def _end(self) -> int:
        """End the process, if there is one, and return its exit code."""
        process, self._process, self._loaded = self._process, None, None
        if process is None:
            return 0
        for pipe in _pipes(process):
            with contextlib.suppress(OSError):  # nobody reads the rest
                pipe.close()
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen) -> Iterator[Event]:
    """Kill a process if the context takes longer, and then set the event returned."""
    too_late = Event()

    def kill() -> None:
        too_late.set()
        process.kill()

    timer = Timer(seconds, kill)
    timer.daemon = True  # Python need not wait for it
    timer.start()
    try:
        yield too_late
    finally:
        timer.cancel()


def _can_start() -> bool:
    """Return whether `sys.executable` is Python, and not the program that brings it.

    The latter may be frozen, or a server with Python in it, such as uWSGI.
    """
    name = Path(sys.executable or "").name.lower()
    return name.startswith(PYTHONS) and not hasattr(sys, "frozen")


def _started() -> subprocess.Popen:
    # Where LiteRT is. Python ignores other entries, such as a `Path`, in silence.
    path = os.pathsep.join(p for p in sys.path if isinstance(p, str) and p)
    return subprocess.Popen(
        # Without -P, it would look for modules next to the file.
        [sys.executable, "-P", litert.__file__],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _pipes(process: subprocess.Popen) -> tuple[BinaryIO, BinaryIO]:
    return cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)


def _meaning(code: int) -> str:
    """Return an exit code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
