"""Libraries that only graph priors need, imported when they are used."""

from typing import Any


def networkx() -> Any:
    """Return the module networkx.

    Raises:
        ImportError: If it is missing; names the extra.
    """
    try:
        import networkx
    except ImportError as error:
        raise ImportError(
            "Graphs need networkx: pip install '.[structure]'."
        ) from error
    return networkx


def new_figure(size: tuple[float, float]) -> Any:
    """Return an empty figure of matplotlib, without a window.

    Args:
        size: (width, height) in inches.

    Raises:
        ImportError: If matplotlib is missing; names the extra.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Drawing graphs needs matplotlib: pip install '.[structure]'."
        ) from error
    return Figure(figsize=size, layout="constrained")
