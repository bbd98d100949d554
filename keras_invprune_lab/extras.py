"""What to install when a library is missing that only some functions need."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed(extras: str, by: str) -> Iterator[None]:
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
