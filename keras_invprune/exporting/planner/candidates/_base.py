"""What a kind of files says of itself, and what files are made of."""

import contextlib
import dataclasses
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.batches import reset_states, stateful_layers
from keras_invprune.exporting.planner.runtimes import LITERT, Runtime
from keras_invprune.exporting.precision import in_float32
from keras_invprune.exporting.serving import write_saved_model
from keras_invprune.exporting.verify import SameOutputs

TFLITE = "model.tflite"
# Largest error of formats of 8 bits for weights and activations, or of 4 bits, as a
# share of the largest output. Errors of single outputs are large even where classes
# stay the same, so this only finds outputs that are nonsense. The metric decides.
STATIC, FOUR_BITS = 3e-1, 5e-1
# Rows whose activations are all kept in memory, and the number of such batches.
CALIBRATED_AT_ONCE, CALIBRATION_BATCHES = 8, 16


class NotTried(Exception):  # noqa: N818 - it says why, and is not an error
    """A file was not made or not run, for a reason that says nothing against it."""


@contextlib.contextmanager
def needing(library: str, extra: str) -> Iterator[None]:
    """Raise `NotTried` if an import in the context fails.

    Args:
        library: What is imported.
        extra: The extra of this package that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise NotTried(f"needs {library}: pip install '.[{extra}]'") from error


@dataclasses.dataclass
class Source:
    """A Keras model from which files are made.

    Attributes:
        name: "" for the given model, else what was done to it.
        model: The model.
        same: The rows, the names in the files, and what Keras returns.
        folder: An empty folder for intermediate files.
        calibrates: Whether the rows are the user's, so that they show the ranges of
            activations.
        made: What was made so far, or the error that came instead.
    """

    name: str
    model: keras.Model
    same: SameOutputs
    folder: Path
    calibrates: bool
    made: dict[Hashable, Any] = dataclasses.field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` returned, or raise what it raised, for the same key.

        Many kinds of files need the same ones, and failing may take long, too.
        """
        if key not in self.made:
            try:
                self.made[key] = make()
            except Exception as error:
                self.made[key] = error
        found = self.made[key]
        if isinstance(found, Exception):
            raise found
        return found

    def check_stateless(self) -> None:
        """Raise `NotTried` if the model has states, for files that would lose them.

        The comparison with Keras begins each batch in the same state, so it would not
        notice.
        """
        if stateful_layers(self.model):
            raise NotTried("the file would not keep states from one call to the next")

    @property
    def saved_model(self) -> Path:
        """The folder of its SavedModel."""
        return self.once("saved_model", self._saved_model)

    def _saved_model(self) -> Path:
        path = self.folder / "saved_model"
        reset_states(self.model)
        with in_float32(self.model):
            write_saved_model(self.model, self.same.named(), path)
        return path

    @property
    def dense(self) -> bytes:
        """Its .tflite file in float32 with all zeros."""
        return self.tflite()

    def tflite(self, *options: str, calibrated: bool = False) -> bytes:
        """Return its .tflite file, made with options of the converter.

        Raises:
            NotTried: If it is to be calibrated, and there are no rows.
        """

        def convert() -> bytes:
            examples = self.examples() if calibrated else None
            return converter.converted(self.saved_model, options, examples)

        return self.once((options, calibrated), convert)

    def examples(self) -> list[dict[str, np.ndarray]]:
        """Return batches of rows that show the activations, by names in the files.

        Raises:
            NotTried: If the rows are not the user's, or if the model has loops.
        """
        if not self.calibrates:
            raise NotTried("needs rows that show the activations: data=x")
        if litert.has_loops(self.dense):
            raise NotTried("TensorFlow's converter crashes if it calibrates loops")
        same, size = self.same, self.same.file_batch or CALIBRATED_AT_ONCE
        rows = len(next(iter(same.inputs.values())))
        starts = range(0, rows, size)[:CALIBRATION_BATCHES]
        # The last batch begins again, since the file may take exactly `size` rows.
        chosen = [np.arange(start, start + size) % rows for start in starts]
        return [
            {same.names[name]: array[each] for name, array in same.inputs.items()}
            for each in chosen
        ]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A kind of files.

    Attributes:
        name: What it is, such as "int8 dynamic".
        make: Makes the file of a source: its content, or a path to a file or folder.
            It raises `NotTried` with a reason if there is no point.
        rounding: Largest error of the number format, as a share of Keras's largest
            output.
        uses_zeros: Whether zeros are left out.
        file: Name of the file or folder in the end.
        runtimes: What runs it.
        targets: The targets for which it is tried. A name that no other kind has is a
            new target.
        libraries: The libraries that make and run it, whose versions are reported.
    """

    name: str
    make: Callable[[Source], bytes | Path]
    rounding: float = 0.0
    uses_zeros: bool = False
    file: str = TFLITE
    runtimes: tuple[Runtime, ...] = LITERT
    targets: tuple[str, ...] = ("litert-cpu", "size", "any")
    libraries: tuple[str, ...] = ("ai-edge-litert",)
