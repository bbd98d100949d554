"""The ledger of trainings: a line each, which no other search has to repeat."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

from keras_invprune_lab.structure.search.genome import graph_from

LEDGER = "trainings.jsonl"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One training of a graph.

    Attributes:
        graph: Which graph it is, see `genome.key_of`.
        seed: Seed of the weights and of the order of the rows.
        accuracy: Share of the validation rows after the last epoch, in [0, 1].
        loss: Mean training loss of the last epoch; None if it is not a finite number.
        macs: Multiply-accumulate operations for one image.
        parameters: Number of weights.
        seconds: How long the training took.
    """

    graph: str
    seed: int
    accuracy: float
    loss: float | None
    macs: int
    parameters: int
    seconds: float


class Ledger:
    """All trainings in a folder.

    A line is on the disk before `add` returns. One that a crash has cut off does not
    count, and its training is made again. Reading changes nothing: another process may
    be writing that line.

    Args:
        folder: An existing folder.

    Raises:
        ValueError: If a line other than the last is not a training.
    """

    def __init__(self, folder: Path):
        self.file = Path(folder) / LEDGER
        self._found: dict[tuple[str, int], Evaluation] = {}
        self._is_whole = False
        for one in self._read():
            self._found[one.graph, one.seed] = one

    def __contains__(self, which: tuple[str, int]) -> bool:
        """Return whether a (graph, seed) was trained."""
        return which in self._found

    def __getitem__(self, which: tuple[str, int]) -> Evaluation:
        """Return the training of a (graph, seed)."""
        return self._found[which]

    def __len__(self) -> int:
        """Return the number of trainings."""
        return len(self._found)

    def __iter__(self) -> Iterator[Evaluation]:
        """Yield the trainings in the order in which they ended."""
        return iter(self._found.values())

    def add(self, one: Evaluation):
        """Write a training to the file, at once.

        Only one process may do so at a time: see `keras_invprune.exporting.claimed`.
        """
        self._drop_torn()
        line = json.dumps(dataclasses.asdict(one), separators=(",", ":"))
        with open(self.file, "a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._found[one.graph, one.seed] = one

    def _read(self) -> list[Evaluation]:
        if not self.file.exists():
            return []
        content = self.file.read_bytes()
        whole, _, _ = content.rpartition(b"\n")
        return [
            self._parsed(number, line)
            for number, line in enumerate(whole.splitlines(), start=1)
        ]

    def _drop_torn(self):
        """Drop a line that was cut off, to which the next one would be joined."""
        if not self._is_whole and self.file.exists():
            with open(self.file, "r+b") as stream:
                stream.truncate(stream.read().rfind(b"\n") + 1)
        self._is_whole = True

    def _parsed(self, number, line) -> Evaluation:
        try:
            one = Evaluation(**json.loads(line))
            graph_from(one.graph)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"Line {number} of {self.file} is not a training. Remove it."
            ) from error
        return one
