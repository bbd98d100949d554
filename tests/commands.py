"""Commands in a process of their own, which need not import TensorFlow."""

import contextlib
import sys
from pathlib import Path

from keras_invprune_lab.runs.executors.children import context


def started(said: Path, *arguments):
    """Start `keras-invprune`, as a copy of a process that has imported Keras.

    Args:
        said: File for what it prints.
        *arguments: Of the command.

    Returns:
        A process of `multiprocessing`.
    """
    words = [*map(str, arguments)]
    process = context("keras").Process(target=_run, args=(said, words))
    process.start()
    return process


def _run(said, words):
    from keras_invprune_lab.cli.main import main

    sys.argv = ["keras-invprune", *words]
    with (
        open(said, "w", buffering=1) as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        main()
