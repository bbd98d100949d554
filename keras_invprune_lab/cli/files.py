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
            f"{file} already exists. Move it, or choose another name."
        )


def save_smaller(model: Any, file: Path, original: Any) -> bool:
    """Save a Keras model to a new file, which appears when it is complete.

    Before that, the file is loaded, and its outputs are compared with the original's.

    Returns:
        Whether they could be compared.

    Raises:
        FileExistsError: If the file is there.
        OSError: If it cannot be written.
        ValueError: If the outputs differ.
    """
    import keras

    from keras_invprune.compaction.verify import check_same
    from keras_invprune.exporting.errors import writing
    from keras_invprune.saving import UNFINISHED

    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=file.parent) as folder:
            made = Path(folder, file.name)
            model.save(made)
            again = keras.saving.load_model(made, compile=False)
            compared = check_same(original, again)
            check_new(file)
            os.replace(made, file)
    return compared
