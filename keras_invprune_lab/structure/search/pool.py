"""Trainings in processes of their own, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from keras_invprune_lab.runs.executors.children import Pool, context, threads_of_each
from keras_invprune_lab.structure.search.evaluations import Evaluation
from keras_invprune_lab.structure.search.recipe import Network, Training

LIFE = 20
"""About how many graphs a process trains. TensorFlow keeps up to 80 MB of each network.

`ProcessPoolExecutor` has an option for this, which can hang (python/cpython#115634).
"""
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
        self.settings, self.network = settings, network
        self.folder, self.workers = folder, workers
        self._pool: Pool | None = None
        self._made = 0

    def __enter__(self) -> Trainers:
        """Return the object; processes start with the first training."""
        return self

    def __exit__(self, *_):
        """End the processes, and trainings that are under way."""
        if self._pool is not None:
            self._pool.end()
        self._close()

    def train(self, wanted: Iterable[Which], add: Callable[[Evaluation], None]):
        """Train graphs, in any order.

        Args:
            wanted: Pairs (graph, seed).
            add: Called with each training as soon as it has ended.

        Raises:
            RuntimeError: If a process died twice in the training of one graph, or if a
                training failed. All others that had begun are added before.
        """
        left = self._all(list(wanted), add)
        for one in left:  # each alone, which shows whose process dies
            if self._all([one], add):
                raise RuntimeError(
                    f"The process that trained the graph {one[0]} died twice, which "
                    "happens if memory runs out. Use fewer workers or smaller "
                    "networks. The same command resumes."
                )

    def _all(self, wanted, add) -> list[Which]:
        """Train, and return what a pool that broke has left."""
        if not wanted:
            return []
        # One thread each: its sums do not depend on how many cores there are.
        with threads_of_each(1):
            pool = self._started()
            running, left, failures = {}, [], []
            for one in wanted:
                try:
                    running[pool.submit(_train, *one)] = one
                except BrokenProcessPool:  # a process died since the last trainings
                    left.append(one)
            pool.begin()
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    one = running.pop(future)
                    try:
                        add(future.result())
                    except BrokenProcessPool:
                        left.append(one)
                    except Exception as error:
                        failures.append((one, error))
        self._made += len(wanted)
        if left or self._made >= LIFE * self.workers:
            self._close()
        if failures:
            (graph, seed), error = failures[0]
            raise RuntimeError(
                f"The training of the graph {graph} with seed {seed} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        return left

    def _started(self) -> Pool:
        if self._pool is None:
            own = (self.settings, self.network, self.folder)
            self._pool = Pool(self.workers, context("keras"), _start, *own)
            self._made = 0
        return self._pool

    def _close(self):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None


_own: tuple = ()  # of a child process: what all of its trainings share


def _start(settings, network, folder):
    """Load, in a child process, what all trainings need."""
    global _own
    from keras_invprune_lab.structure.search import rows

    parts = [rows.read(folder / ROWS, part) for part in ("train", "valid")]
    _own = (settings, network, *parts, folder)


def _train(graph, seed) -> Evaluation:
    from keras_invprune_lab.structure.search.networks import evaluate

    return evaluate(graph, seed, *_own)
