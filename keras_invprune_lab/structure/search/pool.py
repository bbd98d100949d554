"""Trainings in processes of their own, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from keras_invprune_lab.runs.executors.children import Children
from keras_invprune_lab.structure.search.evaluations import Evaluation
from keras_invprune_lab.structure.search.recipe import Network, Training

LIFE = 20
"""Graphs that a process trains. TensorFlow keeps up to 80 MB of each network."""
ROWS = "rows"

Which = tuple[str, int]


class Trainers:
    """Processes that train graphs. Use it as a context.

    Args:
        settings: How to train.
        network: How a graph becomes a network.
        folder: Of the search, with the rows in ``rows/``.
        workers: Number of processes at once, of one thread each.
    """

    def __init__(
        self, settings: Training, network: Network, folder: Path, workers: int = 1
    ):
        # One thread each: its sums do not depend on how many cores there are.
        self._children = Children(
            _train,
            workers,
            imported=["keras"],
            start=partial(_start, settings, network, folder),
            life=LIFE,
        )

    def __enter__(self) -> Trainers:
        """Return the object; processes start with the first training."""
        self._children.__enter__()
        return self

    def __exit__(self, *error):
        """End the processes; after an error, also trainings that are under way."""
        self._children.__exit__(*error)

    def train(self, wanted: Iterable[Which], add: Callable[[Evaluation], None]):
        """Train graphs, in any order.

        Args:
            wanted: Pairs (graph, seed).
            add: Called with each training as soon as it has ended.

        Raises:
            RuntimeError: If a training failed, or if its process died twice. All others
                were added before.
        """
        left, failures = iter(wanted), []
        for which, found, error in self._children.results(lambda _: next(left, None)):
            if error is None:
                add(found)
            else:
                failures.append((which, error))
        if failures:
            (graph, seed), error = failures[0]
            raise RuntimeError(
                f"The training of the graph {graph} with seed {seed} failed. All "
                "others are kept, and the same command resumes. "
                f"{type(error).__name__}: {error}"
            ) from error


_own: tuple = ()  # of a child process: what all of its trainings share


def _start(settings, network, folder):
    """Load, in a child process, what all trainings need."""
    global _own
    from keras_invprune_lab.structure.search import rows

    parts = [rows.read(folder / ROWS, part) for part in ("train", "valid")]
    _own = (settings, network, *parts, folder)


def _train(which) -> Evaluation:
    from keras_invprune_lab.structure.search.networks import evaluate

    return evaluate(*which, *_own)
