"""The rows that a search trains with, chooses by and tests with, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_invprune.saving import replaced, write_json
from keras_invprune_lab import data as datasets
from keras_invprune_lab.structure.search.recipe import Training

SPLIT_SEED = 1
"""Of the choice of rows, which is the same for all searches."""
NEEDED = "A search is among convolutional networks, which need images."
CHOICE = {"dataset", "rows", "validation_rows"}
ABOUT = "rows.json"
"""Says which rows these are; written last."""


class Rows(NamedTuple):
    """Images in [0, 1], shape [n, h, w, c], and their classes, of one part."""

    x: np.ndarray
    y: np.ndarray


def prepare(settings: Training, folder: Path):
    """Write the rows to a folder that processes then share, unless they are there.

    Args:
        settings: Which rows.
        folder: Where they go.

    Raises:
        ValueError: If the data set is unknown, has no images, or too few rows.
        RuntimeError: If the data set is unavailable.
    """
    about, wanted = folder / ABOUT, settings.model_dump(mode="json", include=CHOICE)
    if about.exists() and json.loads(about.read_text()) == wanted:
        return
    about.unlink(missing_ok=True)
    data = datasets.load(settings.dataset, SPLIT_SEED)
    if data.x_train.ndim != 4:
        raise ValueError(
            f"{NEEDED} Received: {settings.dataset}, whose rows have shape "
            f"{data.x_train.shape[1:]}."
        )
    train, valid = _parts(settings, len(data.x_train))
    found = {
        "train": Rows(data.x_train[train], data.y_train[train]),
        "valid": Rows(data.x_train[valid], data.y_train[valid]),
        "test": Rows(data.x_test, data.y_test),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in found.items():
        for kind, array in rows._asdict().items():
            with replaced(_file(folder, part, kind)) as new:
                np.save(new, array)
    write_json(about, wanted)


def read(folder: Path, part: str) -> Rows:
    """Return a part of the rows, "train", "valid" or "test"."""
    return Rows(*(np.load(_file(folder, part, kind)) for kind in Rows._fields))


def _file(folder, part, kind) -> Path:
    return folder / f"{kind}_{part}.npy"


def _parts(settings, available) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of training and validation rows, drawn without overlap."""
    held = settings.validation_rows
    rows = available - held if settings.rows is None else settings.rows
    if rows < 1 or rows + held > available:
        raise ValueError(
            f"{settings.dataset} has {available} training rows, some of which are held "
            f"out. Received: rows={settings.rows}, validation_rows={held}."
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(available)
    return np.sort(order[:rows]), np.sort(order[rows : rows + held])
