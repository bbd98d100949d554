"""Folders of results: complete or not there, and never at the cost of a stranger's."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

REPORT = "report.json"
UNFINISHED = ".keras_invprune."  # folders of ours in which files are being made
OURS = "keras_invprune/"  # schemas of our reports begin so
# Two letters at least: "C:/" is a drive. One slash is what pathlib leaves of two.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def has_scheme(path: Any) -> bool:
    """Whether a path names another file system, such as ``gs://bucket/logs``."""
    return SCHEME.match(os.fspath(path)) is not None


def local(folder: str | Path) -> Path:
    """The path of a folder on this machine's disks.

    Each place that takes a folder of results asks here. Such a folder is locked,
    renamed and measured, which other file systems do not offer.

    Raises:
        ValueError: If the path has a scheme, such as ``gs://``.
    """
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(
            "The folder must be a path: a string or a `pathlib.Path`. Received: "
            f"{folder!r} of type {type(folder).__name__}."
        )
    if has_scheme(folder):
        raise ValueError(
            "Results are written to a local folder, and moved into place when they "
            f"are complete. Received: {os.fspath(folder)!r}, a path with a scheme. "
            "Give a local folder, and copy it when it is done, as by `gsutil cp -r` "
            "or `tf.io.gfile.copy`."
        )
    if not os.fspath(folder):
        raise ValueError(
            "The folder must have a name. Received: ''. Give '.' for the working "
            "directory."
        )
    return Path(folder).expanduser()


@contextlib.contextmanager
def replacing(folder: str | Path):
    """Yields an empty folder; it takes the place of `folder` if nothing is raised.

    Raises:
        FileExistsError: `folder` holds what we did not write.
        OSError: It is a file, the disk is full, or it cannot be written.
        ValueError: If the path has a scheme, such as ``gs://``.
    """
    folder = local(folder).resolve()
    check_free(folder)
    # Inside of a folder that is the root of a file system, else beside it.
    around = (folder, *folder.parents) if os.path.ismount(folder) else folder.parents
    beside = next(path for path in around if path.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=beside) as own:
            new = Path(own, "new")
            new.mkdir()
            yield new
            check_free(folder)  # Something may have been put there meanwhile.
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                _exchange(folder, new, Path(own, "old"))
            else:
                os.replace(new, folder)
    except FileExistsError:
        raise
    except OSError as error:
        reason = f"{error.strerror or error}. Make room, or choose another folder"
        raise OSError(error.errno, f"{folder} is not written: {reason}") from error


def _exchange(folder, new, old):
    """Puts what is in `new` into a folder, and what was there into `old`.

    The folder itself stays: somebody may work in it, or it is a file system of its own.
    """
    old.mkdir()
    placed = []
    try:
        for path in list(folder.iterdir()):
            if not path.name.startswith(UNFINISHED):
                os.replace(path, old / path.name)
        # The report comes last: with it a folder counts as ours.
        for path in sorted(new.iterdir(), key=lambda path: path.name == REPORT):
            os.replace(path, folder / path.name)
            placed.append(path.name)
    except BaseException:
        for name in placed:
            os.replace(folder / name, new / name)
        for path in list(old.iterdir()):
            os.replace(path, folder / path.name)
        raise


def check_free(folder: str | Path):
    """Raises unless `folder` is not there, is empty, or holds results of ours alone.

    Raises:
        FileExistsError: It holds files that we did not write, or that were changed.
        NotADirectoryError: It is a file.
        ValueError: If the path has a scheme, such as ``gs://``.
    """
    folder = local(folder)
    if folder.is_file():
        raise NotADirectoryError(f"`folder` must be no file. Received: {folder}.")
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
            f"{folder} holds what we did not write: {', '.join(foreign[:9])}. Move it "
            "away, or choose another folder."
        )


def check_room(folder: str | Path, megabytes: float):
    """Raises unless so much is free where `folder` is, or will be.

    Raises:
        OSError: There is less room; says how much is needed.
    """
    folder = local(folder).resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e6
    if free < megabytes:
        raise OSError(
            errno.ENOSPC,
            f"{folder} needs about {megabytes:,.1f} MB, and {free:,.1f} MB are free. "
            "Make room, or choose another folder",
        )


@contextlib.contextmanager
def claimed(folder: str | Path):
    """Keeps other processes out of a folder in which work goes on.

    Raises:
        BlockingIOError: Another process has claimed it.
    """
    folder = local(folder)
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
    """Writes ``report.json`` beside the files it is about, with their checksums.

    Returns:
        The report, with ``schema`` and ``sha256`` (by path; None for a folder).
    """
    report = {"schema": schema, **report, "sha256": _contents(folder)}
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    (Path(folder) / REPORT).write_text(text)
    return report


def _contents(folder) -> dict[str, str | None]:
    """SHA-256 of each file by its path in the folder; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        )
        for path in sorted(folder.rglob("*"))
    }
