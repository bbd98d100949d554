"""The states of unfinished stacks: one file each, until nobody can resume it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from keras_invprune.saving import UNFINISHED, load_arrays, save_arrays
from keras_invprune_lab.structure.recurrent.networks import Drawn, Members, code_of
from keras_invprune_lab.structure.recurrent.training import Training

NAME = re.compile(rf"({re.escape(UNFINISHED)})?stack-([0-9a-f]{{8}})\.npz")


def file_of(folder: Path, cell: str, members: Members) -> Path:
    """Return the file of the state of a stack.

    Args:
        folder: Of the table.
        cell: A name in `cells.CELLS`.
        members: See `Members`.
    """
    return folder / f"stack-{code_of(cell, members)}.npz"


def save(file: Path, cell: str, members: Members, epochs: int, training: Training):
    """Write the state of a stack; it is complete whenever it is there.

    Args:
        file: See `file_of`.
        cell: A name in `cells.CELLS`.
        members: See `Members`.
        epochs: Number of epochs that the networks have seen.
        training: Their `Training`.
    """
    whose = {"cell": cell, "members": members}
    save_arrays(file, epochs=epochs, **whose, **training.state())


def restore(file: Path, training: Training) -> int:
    """Load a state, if there is one; return the number of epochs it has seen.

    Args:
        file: See `file_of`.
        training: The `Training` that resumes from it.
    """
    if not file.exists():
        return 0
    arrays = load_arrays(file)
    training.restore(arrays)
    return int(arrays["epochs"])


def drop_unfinished(folder: Path):
    """Remove states that a kill has left half written; others are still there.

    Args:
        folder: Of the table, in which nothing is trained now.
    """
    for file, is_new, _ in _states(folder):
        if is_new:
            file.unlink()


def drop_useless(folder: Path, done: Iterable[tuple]):
    """Remove the states that no campaign can resume: a part of each is done.

    Args:
        folder: Of the table.
        done: (name of a graph, cell, seed) of the rows of the table.
    """
    done = set(done)
    for file, is_new, name in _states(folder):
        cell, members = ("", ()) if is_new else _whose(file)
        ours = name == code_of(cell, members)
        if ours and any((Drawn(g).name, cell, seed) in done for g, seed in members):
            file.unlink()


def _states(folder) -> list[tuple[Path, bool, str]]:
    """Return the files with the names of states: whether half written, and the code."""
    found = [(path, NAME.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    return [(path, bool(name[1]), name[2]) for path, name in found if name]


def _whose(file) -> tuple[str, tuple]:
    """Return the cell and the members of a state; none if it is not one of ours."""
    try:
        arrays = load_arrays(file)
        members = tuple((int(g), int(seed)) for g, seed in arrays["members"])
        return str(arrays["cell"]), members
    except (KeyError, ValueError, TypeError, OSError):
        return "", ()
