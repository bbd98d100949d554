"""Folders of results, which appear when complete and replace only our own files."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from keras_invprune.exporting.errors import writing
from keras_invprune.saving import UNFINISHED

REPORT = "report.json"
OURS = "keras_invprune/"  # prefix of the schemas of our reports
# At least two letters, since "C:/" is a drive. pathlib leaves one slash of two.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def has_scheme(path: Any) -> bool:
    """Return whether a path names another file system, such as ``gs://bucket/logs``."""
    return SCHEME.match(os.fspath(path)) is not None


def local(folder: str | Path) -> Path:
    """Return the path of a folder on this machine's disks.

    All functions that take a folder of results call this, since such a folder is
    locked, renamed and measured, which remote file systems do not support.

    Raises:
        TypeError: If `folder` is not a path.
        ValueError: If it is empty or has a scheme, such as ``gs://``.
    """
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(
            "The folder must be a path: a string or a `pathlib.Path`. Received: "
            f"{folder!r} of type {type(folder).__name__}."
        )
    if has_scheme(folder):
        raise ValueError(
            "Results are written to a local folder and moved into place when they "
            f"are complete. Received: {os.fspath(folder)!r}, a path with a scheme. "
            "Pass a local folder, and copy it when it is done, with `gsutil cp -r` or "
            "`tf.io.gfile.copy`."
        )
    if not os.fspath(folder):
        raise ValueError(
            "The folder must have a name. Received: ''. Use '.' for the working "
            "directory."
        )
    return Path(folder).expanduser()


@contextlib.contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder, which replaces `folder` unless an error is raised.

    Raises:
        FileExistsError: If `folder` contains files that we did not write.
        OSError: If it is a file, if the disk is full, or if it cannot be written.
        ValueError: If the path has a scheme, such as ``gs://``.
    """
    folder = local(folder).resolve()
    check_free(folder)
    # Inside the folder if it is the root of a file system, otherwise next to it.
    around = (folder, *folder.parents) if os.path.ismount(folder) else folder.parents
    near = next(path for path in around if path.exists())
    with (
        writing(folder),
        tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=near) as own,
    ):
        new = Path(own, "new")
        new.mkdir()
        yield new
        check_free(folder)  # files may have been put there in the meantime
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            _exchange(folder, new, Path(own, "old"))
        else:
            os.replace(new, folder)


def _exchange(folder: Path, new: Path, old: Path) -> None:
    """Move the contents of a folder to `old`, and those of `new` to the folder.

    The folder itself is kept: it may be a process's working directory or a mount point.
    """
    old.mkdir()
    placed = []
    try:
        for path in list(folder.iterdir()):
            if not path.name.startswith(UNFINISHED):
                os.replace(path, old / path.name)
        # The report comes last: it marks the folder as ours.
        for path in sorted(new.iterdir(), key=lambda path: path.name == REPORT):
            os.replace(path, folder / path.name)
            placed.append(path.name)
    except BaseException:
        for name in placed:
            os.replace(folder / name, new / name)
        for path in list(old.iterdir()):
            os.replace(path, folder / path.name)
        raise


def check_free(folder: str | Path) -> None:
    """Raise unless `folder` does not exist, is empty, or contains only our results.

    Raises:
        FileExistsError: If it contains files that we did not write or that changed.
        NotADirectoryError: If it is a file.
        ValueError: If the path has a scheme, such as ``gs://``.
    """
    folder = local(folder)
    if folder.is_file():
        raise NotADirectoryError(
            f"`folder` must be a folder. Received: {folder}, which is a file."
        )
    there = {
        name: digest
        for name, digest in _contents(folder).items()
        if not name.startswith(UNFINISHED)
    }
    ours = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        report = json.loads((folder / REPORT).read_text())
        if report["schema"].startswith(OURS):
            ours = {REPORT: there[REPORT], **report["sha256"]}
    foreign = [name for name, digest in there.items() if ours.get(name, "") != digest]
    if foreign:
        raise FileExistsError(
            f"{folder} contains files that keras_invprune did not write: "
            f"{', '.join(foreign[:9])}. Move them, or choose another folder."
        )


def check_room(folder: str | Path, megabytes: float) -> None:
    """Raise unless the disk of `folder` has enough free space.

    Args:
        folder: A folder, which need not exist yet.
        megabytes: Space needed, in MB (10^6 bytes).

    Raises:
        OSError: If there is less free space.
    """
    folder = local(folder).resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e6
    if free < megabytes:
        raise OSError(
            errno.ENOSPC,
            f"{folder} needs about {megabytes:,.1f} MB, but only {free:,.1f} MB are "
            "free. Make room, or choose another folder",
        )


@contextlib.contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Lock a folder for this process inside the context.

    Raises:
        BlockingIOError: If another process has locked it.
        NotADirectoryError: If it is a file, or would be inside of one.
    """
    folder = local(folder)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(
            f"Results are written to a folder. Received: {there}, which is a file. "
            "Choose another one."
        )
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        text = f"another process is at work in {folder}. Wait for it, or stop it"
        raise BlockingIOError(errno.EAGAIN, text) from error
    try:
        yield
    finally:
        lock.release()


def write_report(folder: str | Path, schema: str, report: dict[str, Any]) -> dict:
    """Write ``report.json`` next to the files that it describes, with their checksums.

    Returns:
        The report, with ``schema`` and ``sha256`` (by path; None for a folder).
    """
    report = {"schema": schema, **report, "sha256": _contents(Path(folder))}
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    (Path(folder) / REPORT).write_text(text)
    return report


def _contents(folder: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file by its path in the folder; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        )
        for path in sorted(folder.rglob("*"))
    }
