"""Finds objects by name, saves and loads them, and replaces those that are missing.

Files are replaced only when the new ones are complete. So are files of arrays and JSON
that interrupted work resumes from.
"""

import contextlib
import difflib
import inspect
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import keras
import numpy as np

from keras_invprune.arguments import plain

UNFINISHED = ".keras_invprune."  # prefix of files and folders that are being made


class Configured:
    """A class whose attributes hold the constructor's arguments under their names."""

    def get_config(self) -> dict:
        """Return the constructor's arguments, with Python's numbers for NumPy's."""
        names = inspect.signature(type(self)).parameters
        return {name: plain(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return an object with these arguments."""
        return cls(**config)


@contextlib.contextmanager
def replaced(file: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a path next to a file; what is written there then takes its place.

    So the file is complete whenever it is there. After an error, nothing is left. The
    path begins with `UNFINISHED`, so it replaces no file of the user's.

    Args:
        file: The file.
        shared: Whether other processes may write the same file at the same time. Then
            the path has the number of this process, and what a process that was killed
            has left is not overwritten by the next one.
    """
    own = f"{os.getpid()}." if shared else ""
    new = file.with_name(f"{UNFINISHED}{own}{file.name}")
    try:
        yield new
        os.replace(new, file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_json(file: Path, content: Any) -> None:
    """Write a file of JSON that is complete whenever it is there."""
    with replaced(file) as new:
        new.write_text(json.dumps(content, indent=2) + "\n")


def save_arrays(file: Path, *arrays: Any, **named: Any) -> None:
    """Write arrays to a file that is complete whenever it is there.

    Args:
        file: A path that ends in .npz.
        *arrays: Arrays that are named "arr_0", "arr_1", ...
        **named: Arrays, numbers and texts by name.
    """
    with replaced(file) as new:
        np.savez(new, *arrays, **named)


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name, those without a name in their order.

    Args:
        file: What `save_arrays` wrote.

    Raises:
        ValueError: If the file is torn, or is of another kind.
        FileNotFoundError: If there is no such file.
    """
    try:
        with open(file, "rb") as stream, np.load(stream) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{file} is torn, or does not hold arrays as `numpy.savez` writes them. "
            "Restore the file, or delete the folder to begin again."
        ) from error


def named(name: str, known: Mapping[str, Any], kind: str) -> Any:
    """Return the object of that name.

    Args:
        name: A name in `known`.
        known: ``{name: object}``.
        kind: What the message calls it: "model", "recipe", ...

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
    """
    if name in known:
        return known[name]
    raise ValueError(f"{_unknown(name, known, kind)}.")


def near_names(name: str, known: Iterable[str], n: int = 1) -> list[str]:
    """Return the names in `known` that resemble `name`, ignoring case and hyphens."""
    plain = {}
    for one in known:
        plain.setdefault(_plain(one), one)
    return [plain[one] for one in difflib.get_close_matches(_plain(name), plain, n=n)]


def _plain(name: str) -> str:
    return re.sub(r"[\s-]", "_", str(name).casefold())


def did_you_mean(names: Iterable[str]) -> str:
    """Return " Did you mean ...?" for the names, or "" if there are none."""
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""


def _unknown(name: str, known: Iterable[str], kind: str) -> str:
    hint = did_you_mean(near_names(name, known))
    return f"Unknown {kind}: {name!r}.{hint} Known: {sorted(known)}"


def resolve(
    identifier: str | Callable,
    known: Mapping[str, Any],
    kind: str,
    other: str = "a callable",
) -> Any:
    """Return the object that `identifier` names, or `identifier` if callable.

    Args:
        identifier: A name in `known`, or a callable.
        known: ``{name: object}``.
        kind: What the message calls it: "score", "allocation", ...
        other: What the message proposes in place of a name.

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
        TypeError: If `identifier` is neither a name nor a callable, or is a class.
    """
    a_kind = with_article(kind)
    if isinstance(identifier, type):
        raise TypeError(
            f"{a_kind} must be an object, not a class. Received: "
            f"{identifier.__name__}. Write {identifier.__name__}(...)."
        )
    if isinstance(identifier, str):
        if identifier in known:
            return known[identifier]
        unknown = _unknown(identifier, known, kind)
        raise ValueError(f"{unknown}, or pass {other}.")
    if not callable(identifier):
        raise TypeError(
            f"{a_kind} must be a name ({sorted(known)}) or {other}. Received: "
            f"{identifier!r}."
        )
    return identifier


def name_of(choice: object) -> str:
    """Return the name of a function, or of the class of any other object."""
    return getattr(choice, "__name__", type(choice).__name__)


def with_article(kind: str) -> str:
    """Return the kind with its article: "A score", "An allocation"."""
    return f"{'An' if kind[0] in 'aeiou' else 'A'} {kind}"


def check_takes(function: Callable, takes: Sequence[str], kind: str) -> None:
    """Raise TypeError unless a callable takes these arguments.

    Args:
        function: The callable. It passes if its signature is unknown.
        takes: Names of the arguments, in order.
        kind: What the message calls it: "score", "allocation", ...
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some callables written in C
        return
    try:
        signature.bind(*takes)
    except TypeError:
        raise TypeError(
            f"{with_article(kind)} is called with ({', '.join(takes)}). Received: a "
            f"callable that takes {signature}."
        ) from None


@keras.saving.register_keras_serializable(package="keras_invprune")
class Missing(Configured):
    """Replaces an object that was saved by name and cannot be found on loading.

    The model can still predict, and be stripped and exported. Calling the object raises
    RuntimeError.
    """

    def __init__(self, name: str, role: str):
        self.name = name
        self.role = role

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise RuntimeError, which says what is missing and how to provide it."""
        raise RuntimeError(
            f"This model was saved with {self.role}={self.name}, which could not be "
            "found when it was loaded. Register it with "
            "`@keras.saving.register_keras_serializable()` before saving and loading, "
            f"or set `model.{self.role} = ...` before `fit()`."
        )


def save_object(thing: Any, role: str) -> Any:
    """Return an object's config for its model's config, or its name if it has none."""
    try:
        return keras.saving.serialize_keras_object(thing)
    except (TypeError, ValueError):
        return keras.saving.serialize_keras_object(Missing(name_of(thing), role))


def load_object(config: dict[str, Any], role: str) -> Any:
    """Return the object of a config, or a `Missing` that names it."""
    try:
        return keras.saving.deserialize_keras_object(config)
    except (TypeError, ValueError):
        if isinstance(config, list | tuple):  # a pair of views
            return [load_object(part, role) for part in config]
        kind = config.get("class_name")
        if kind == "__lambda__":
            return Missing("a lambda", role)
        name = config["config"] if kind == "function" else config["registered_name"]
        return Missing(str(name or kind), role)
