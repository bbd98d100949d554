import numpy as np
import pytest

from keras_invprune.exporting.planner.candidates import CANDIDATES
from keras_invprune.exporting.planner.loss import Loss
from keras_invprune.exporting.planner.planning import Sources
from keras_invprune.exporting.planner.trying import Trial
from keras_invprune.exporting.sandbox import Sandbox


def drawn(model, rows=64):
    random = np.random.default_rng(2)
    shapes = {each.name: (rows, *each.shape[1:]) for each in model.inputs}
    return {k: random.normal(size=s).astype("float32") for k, s in shapes.items()}


@pytest.fixture
def sandbox():
    """Where the files run."""
    with Sandbox() as found:
        yield found


@pytest.fixture
def tries(tmp_path, sandbox):
    """A function that tries files of a model and returns them by name."""

    def found(model, *names):
        sources = Sources(model, drawn(model), None, None, tmp_path, calibrates=True)
        trial = Trial(tmp_path, 1e-4, Loss(sources.same, None, None), sandbox)
        given = next(iter(sources))
        kinds = [kind for kind in CANDIDATES if kind.name in names]
        assert len(kinds) == len(names)
        tried = [trial(kind, given) for kind in kinds]
        return {each.row.name: each for each in tried} | {"sources": sources}

    return found
