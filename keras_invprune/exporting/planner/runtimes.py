"""What a runtime is, and the runtimes of .tflite files.

The first runtime of a kind of file decides which file is faster.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from keras_invprune.exporting import litert
from keras_invprune.exporting.verify import SameOutputs

Run = Callable[[dict], dict]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """How to run a file.

    Attributes:
        name: Its name, with the number of threads.
        load: ``(file, same, states) -> run``, from arrays by Keras's names to arrays
            by name. `states` is whether each call continues with the states of the
            last one, if there are any.
        needed: Whether a file that it cannot run is dropped. Wrong outputs always drop
            a file.
        one_row: Whether it takes one row at a time of a file for batches of any size.
    """

    name: str
    load: Callable[[Path, SameOutputs, bool], Run]
    needed: bool = True
    one_row: bool = False

    def batch(self, same: SameOutputs) -> int | None:
        """Return the exact number of rows of a batch; None for any."""
        return same.file_batch or (1 if self.one_row else None)


def _interpreter(
    file: Path, same: SameOutputs, states: bool, *, delegate: bool, threads: int
) -> Run:
    content = file.read_bytes()
    load = functools.partial(
        litert.runtime, content, delegate=delegate, threads=threads
    )
    return same.of_runtime(load, states)


def _compiled(file: Path, same: SameOutputs, states: bool) -> Run:
    load = functools.partial(litert.Compiled, file.read_bytes())
    return same.of_runtime(load, states)


def _interpreters():
    for delegate in (True, False):
        for threads in (1, 2):
            kind = "Interpreter" if delegate else "Interpreter without delegate"
            name = f"{kind}, {threads} thread{'s' if threads > 1 else ''}"
            load = functools.partial(_interpreter, delegate=delegate, threads=threads)
            yield Runtime(name, load)


# Some files that the Interpreter runs cannot be loaded by CompiledModel.
LITERT = (
    *_interpreters(),
    Runtime("CompiledModel, 1 thread", _compiled, needed=False, one_row=True),
)
