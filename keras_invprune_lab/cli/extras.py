"""What to install when a command lacks libraries."""

import contextlib


@contextlib.contextmanager
def needed(extras, by):
    """Say which extras to install, if an import inside the context fails.

    Args:
        extras: Their names, separated by commas.
        by: What needs them, in the plural.

    Raises:
        ImportError: If a library is missing.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{error.name} is missing: pip install '.[{extras}]' installs what {by} "
            "need."
        ) from error
