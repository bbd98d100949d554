"""The SavedModel, run by TensorFlow."""

from pathlib import Path

from keras_invprune.exporting.batches import Run
from keras_invprune.exporting.planner.candidates._base import Candidate
from keras_invprune.exporting.planner.runtimes import Runtime
from keras_invprune.exporting.serving import load_saved_model
from keras_invprune.exporting.verify import SameOutputs


def _load(path: Path, same: SameOutputs, states: bool) -> Run:
    del states  # they are set back by an assignment, which takes no time
    return same.by_name(load_saved_model(path, same.model))


CANDIDATES = [
    Candidate(
        "SavedModel",
        lambda source: source.saved_model,
        file="saved_model",
        runtimes=(Runtime("TensorFlow, all threads", _load),),
        targets=("any",),
        libraries=("tensorflow",),
    ),
]
