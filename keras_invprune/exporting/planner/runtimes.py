"""What a runtime is, and the runtimes of .tflite files.

The first runtime of a kind of file decides which file is faster.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_invprune.exporting import litert
from keras_invprune.exporting.batches import Run
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.verify import SameOutputs


@dataclasses.dataclass(frozen=True)
class Runtime:
    """How to run a file.

    Attributes:
        name: Its name, with the number of threads.
        load: ``(file, same, states) -> run``, from arrays by Keras's names to arrays
            by name. `states` is whether each call continues with the states of the
            last one, if there are any.
        isolated: ``(file, same, sandbox) -> run``, the same in another process,
            without states; None if files of this kind end no process.
        needed: Whether a file that it cannot run is dropped. Wrong outputs always drop
            a file.
        one_row: Whether it takes one row at a time of a file for batches of any size.
    """

    name: str
    load: Callable[[Path, SameOutputs, bool], Run]
    isolated: Callable[[Path, SameOutputs, Sandbox], Run] | None = None
    needed: bool = True
    one_row: bool = False

    def batch(self, same: SameOutputs) -> int | None:
        """Return the exact number of rows of a batch; None for any."""
        return same.file_batch or (1 if self.one_row else None)

    def try_out(self, file: Path, same: SameOutputs, sandbox: Sandbox) -> Run:
        """Return a function that runs a file of which nothing is known yet."""
        if self.isolated is None:
            return self.load(file, same, False)
        return self.isolated(file, same, sandbox)


def of_litert(
    name: str, delegate: bool | None, threads: int = 1, **more: Any
) -> Runtime:
    """Return a runtime of LiteRT, see `litert.load`."""

    def load(file: Path, same: SameOutputs, states: bool) -> Run:
        return same.of_runtime(lambda: litert.load(file, delegate, threads), states)

    def isolated(file: Path, same: SameOutputs, sandbox: Sandbox) -> Run:
        return same.of_runtime(lambda: sandbox.load(file, delegate, threads))

    return Runtime(name, load, isolated, **more)


# Some files that the Interpreter runs cannot be loaded by CompiledModel.
LITERT = (
    of_litert("Interpreter, 1 thread", True, 1),
    of_litert("Interpreter, 2 threads", True, 2),
    of_litert("Interpreter without delegate, 1 thread", False, 1),
    of_litert("Interpreter without delegate, 2 threads", False, 2),
    of_litert("CompiledModel, 1 thread", None, needed=False, one_row=True),
)
