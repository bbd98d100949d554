"""The Reber strings that recurrent networks read, the same in all experiments."""

from __future__ import annotations

from keras_invprune_lab import data as datasets

DATASET, SEED = "reber:25000", 1


def check_strings(name: str) -> None:
    """Raise ValueError unless a data set has that name and is one of Reber strings."""
    if not datasets.check_name(name).startswith("reber:"):
        raise ValueError(
            "The networks read Reber strings. Received: dataset="
            f"{name!r}. Write '{DATASET}'."
        )


def strings(name: str) -> datasets.Data:
    """Return a data set of Reber strings."""
    return datasets.load(name, SEED)
