"""What an export raises, and which errors say that the disk is full."""

import errno
import os
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


def not_written(path: Path, error: OSError) -> OSError:
    """Return the error that names a path, why it was not written, and the way out."""
    full = error.errno in WORDINGS.values()
    way_out = "Make room, or choose another folder" if full else "Choose another folder"
    reason = f"{error.strerror or error}. {way_out}"
    return OSError(error.errno, f"{path} was not written: {reason}")
