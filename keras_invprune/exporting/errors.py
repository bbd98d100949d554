"""What an export raises, and which errors say that the disk is full."""

import errno
import os


class ExportError(RuntimeError):
    """A file cannot be made, or its outputs differ from those of the Keras model."""


def raise_if_disk_is_full(error: Exception) -> None:
    """Raise OSError if an error of another kind says that the disk is full."""
    if isinstance(error, OSError):
        raise error
    if "No space left on device" in str(error):  # TensorFlow's wording
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
