"""A folder holds the state or the results of one configuration, and no other."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from keras_invprune.exporting.folders import claimed
from keras_invprune.saving import UNFINISHED, write_json

Results = TypeVar("Results")

CONFIG = "config.json"
SHOWN = 5  # differences in a message


def check_same(config, folder, defaults=None, inside=None):
    """Raise unless `folder` is missing or has the state of this configuration.

    Args:
        config: ``{name: value}``.
        folder: What may hold the configuration of a run.
        defaults: Values of names that are not there because they came later.
        inside: ``{name: such values}`` of configurations inside it.

    Raises:
        FileExistsError: If it belongs to another one; says what differs. Or if its
            configuration cannot be read.
    """
    file = Path(folder) / CONFIG
    if not file.exists():
        return
    other = _filled(_read(file), defaults or {}, inside or {})
    names = [name for name in config if other.get(name) != config[name]]
    if names:
        pairs = [f"{n}: {other.get(n)!r} there, {config[n]!r} asked" for n in names]
        more = [f"and {len(pairs) - SHOWN} more"] if len(pairs) > SHOWN else []
        raise FileExistsError(
            f"{folder} has another configuration ({'; '.join(pairs[:SHOWN] + more)})."
            " Choose another --out, or remove it."
        )


def check_folder(config, folder, early=()):
    """Raise unless a folder is free, or has the results of this configuration.

    Args:
        config: ``{name: value}``.
        folder: A folder, which need not exist.
        early: See `check_ours`.

    Raises:
        FileExistsError: If it belongs to another configuration, or holds files of
            others.
        NotADirectoryError: If it is a file.
    """
    check_same(config, folder)
    check_ours(folder, (Path(folder) / CONFIG).exists(), early)


@contextlib.contextmanager
def held(
    config: dict[str, Any],
    folder: Path,
    early: tuple[str, ...],
    read: Callable[[], Results],
) -> Iterator[Results]:
    """Hold the folder of a configuration against other processes, and write this one.

    Nothing is written if the folder or its results are those of others. They are read
    twice: the second time, with what another process added in the meantime.

    Args:
        config: ``{name: value}``.
        folder: A folder, which need not exist.
        early: See `check_ours`.
        read: Returns the results in the folder, or raises.

    Yields:
        The results.

    Raises:
        BlockingIOError: If another process holds the folder.
        OSError: If it belongs to another configuration, holds files of others, or is a
            file.
    """
    check_folder(config, folder, early)
    read()
    with claimed(folder):
        check_folder(config, folder, early)
        found = read()
        write_json(folder / CONFIG, config)
        yield found


def check_ours(folder, known, early=()):
    """Raise unless a folder is free, or is known to hold the results of a command.

    Args:
        folder: A folder, which need not exist.
        known: Whether one of its files says that the command wrote it.
        early: Names of files that may be there before that one is.

    Raises:
        FileExistsError: If it holds other files.
        NotADirectoryError: If it is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file. Choose another --out.")
    if known or not folder.exists():
        return
    ours = {".lock", *early}
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in ours and not path.name.startswith(UNFINISHED)
    )
    if others:
        raise FileExistsError(
            f"{folder} holds files that this command did not write, such as "
            f"{others[0]}. Choose another --out."
        )


def _read(file) -> dict:
    """Return what a file says of a configuration.

    Raises:
        FileExistsError: If it is none.
    """
    try:
        found = json.loads(file.read_text())
    except ValueError:  # text that is not JSON, or not text
        found = None
    if not isinstance(found, dict):
        raise FileExistsError(
            f"{file} must hold the configuration of its folder. It is damaged, or "
            "belongs to something else. Choose another --out, or remove the folder."
        )
    return found


def _filled(config, defaults, inside):
    """Return a configuration with what it lacks, also in those inside it."""
    known = {
        name: {**inside[name], **value}
        for name, value in config.items()
        if isinstance(value, dict) and name in inside
    }
    return {**defaults, **config, **known}
