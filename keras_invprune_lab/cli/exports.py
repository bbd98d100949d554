"""What the command line knows of planned exports: rows, limits and progress."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def rows_of(dataset: str | None, seed: int) -> tuple | None:
    """Return the test rows of a data set and their labels; None without a name."""
    if dataset is None:
        return None
    from keras_invprune_lab.data import load

    found = load(dataset, seed)
    return found.x_test, found.y_test


def limits(texts: Sequence[str] | None) -> dict[str, float] | None:
    """Return ``{"bytes": 100000.0}`` of ``["bytes=100000"]``; None for None.

    Raises:
        ValueError: If a text is not a limit.
    """
    found = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ValueError(
                "A budget is bytes=NUMBER or milliseconds=NUMBER. Received: "
                f"--budget {text}."
            ) from None
    return found or None


def plan(
    model: Any,
    out: Path,
    data: tuple | None,
    target: str,
    max_loss: float | None,
    budget: Sequence[str] | None,
    tflite: Sequence[str] | None,
    batch_size: int | None,
):
    """Write the best file of a model, and print the table of all files.

    Raises:
        ValueError: If options of the .tflite file are given, too.
    """
    from keras_invprune.exporting.export import MAX_LOSS, export
    from keras_invprune.exporting.planner import Target
    from keras_invprune_lab.cli.progress import progress

    if tflite is not None:
        raise ValueError("A target chooses the format itself. Leave out --tflite.")
    Target.of(target)  # an error comes before the progress bar
    with progress(unit="files") as show:
        found = export(
            model,
            out,
            data=data,
            batch_size=batch_size,
            target=Target(target, show=lambda _, *counts: show("files", *counts)),
            max_loss=MAX_LOSS if max_loss is None else max_loss,
            budget=limits(budget),
        )
    print(found, end="")
    print(f"{found.best.file} is in {out}/, with report.json.")
