"""What an export raises, and which errors say that the disk is full."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


class ExportError(RuntimeError):
    """A file cannot be made, or its outputs differ from those of the Keras model."""


# What TensorFlow says of a full disk, a quota and a limit of file sizes; OpenVINO says
# the last one of each of them.
WORDINGS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "iostream error": errno.EIO,
}


def raise_if_disk_is_full(error: Exception) -> None:
    """Raise OSError if an error of another kind says that a file cannot be written."""
    if isinstance(error, OSError):
        raise error
    for wording, number in WORDINGS.items():
        if wording in str(error):
            raise OSError(number, os.strerror(number)) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name a path in errors inside the context, why it was not written, and a way out.

    Raises:
        OSError: If an OSError was raised. A FileExistsError of ours stays as it is.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError) and error.errno is None:
            raise
        full = error.errno in WORDINGS.values()
        way_out = ("Make room, or choose" if full else "Choose") + " another folder"
        reason = f"{error.strerror or error}. {way_out}"
        raise OSError(error.errno, f"{path} was not written: {reason}") from error
