"""Files that a command writes: they appear when complete, and replace none."""

import os
import tempfile
from pathlib import Path
from typing import Any

SUFFIX = ".keras"


def check_new(file: Path):
    """Raise unless a model can be saved to a new file.

    Raises:
        FileExistsError: If the file is there.
        ValueError: If its name does not end in .keras.
    """
    if file.suffix != SUFFIX:
        raise ValueError(
            f"The name of the new file must end in .keras. Received: {file}."
        )
    if file.exists():
        raise FileExistsError(
            f"{file} is there already. Move it, or choose another name."
        )


def save_model(model: Any, file: Path):
    """Save a Keras model to a new file, which appears when it is complete.

    Raises:
        FileExistsError: If the file is there.
        OSError: If it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".keras_invprune.", dir=file.parent) as own:
        made = Path(own, file.name)
        model.save(made)
        check_new(file)
        os.replace(made, file)
