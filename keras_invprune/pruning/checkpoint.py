"""What is saved next to the variables, so that a training can be resumed unchanged."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.contracts import Arrays, Tensor

ROUNDING = 1e-3  # of a mask that was averaged with equal ones
EXTRA, SEED = "extra_", "seed_"  # no slash: HDF5 would make groups of the names


def seed_states(model: keras.Model) -> list:
    """Return the states of a model's random generators, which Keras does not save."""
    saved = [*model.weights, *model.metrics_variables]
    known = {id(variable) for variable in saved}
    return [v for v in model.variables if id(v) not in known and not v.trainable]


def extra_state(model: keras.Model) -> Arrays:
    """Return the states of random generators and of the pruning, by name."""
    seeds = {f"{SEED}{i}": v.numpy() for i, v in enumerate(seed_states(model))}
    state = seeds | model.state.to_arrays()
    return {f"{EXTRA}{name}": array for name, array in state.items()}


def split(store: Mapping[str, Any]) -> tuple[dict, Arrays]:
    """Return (own variables, extra state) of what was saved."""
    arrays = {name: store[name] for name in store.keys()}
    extra = {name for name in arrays if name.startswith(EXTRA)}
    own = {name: array for name, array in arrays.items() if name not in extra}
    return own, {name: np.asarray(arrays[name]) for name in extra}


def load_extra_state(model: keras.Model, state: Arrays) -> None:
    """Load what `extra_state` returned; seeds that were not saved stay unchanged."""
    arrays = {name.removeprefix(EXTRA): array for name, array in state.items()}
    for index, variable in enumerate(seed_states(model)):
        if f"{SEED}{index}" in arrays:
            variable.assign(arrays[f"{SEED}{index}"])
    model.state.from_arrays(arrays, id(model.optimizer if model.compiled else None))


@contextlib.contextmanager
def all_or_nothing(model: keras.Model, source: str | Path) -> Iterator[None]:
    """Restore the state of `model` if loading from `source` fails."""
    before = [variable.numpy() for variable in model.variables]
    arrays, rated = model.state.to_arrays(), model.state.remembered.rated
    try:
        yield
    except Exception as error:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
        model.state.from_arrays(arrays, rated)
        model.set_phase()
        raise ValueError(
            f"{source} could not be loaded, probably because it was saved by another "
            f"model; this one is unchanged. Keras says: {error}"
        ) from error


def check_masks(path: str, value: Tensor) -> np.ndarray:
    """Return a mask, or a flag, as 0 and 1; raise ValueError if it is an average."""
    value = np.asarray(value)
    whole = np.asarray(np.round(value))
    if np.abs(value - whole).max(initial=0) > ROUNDING:
        raise ValueError(
            f"{path} must be 0 and 1. Received: {value.min():.4g} to {value.max():.4g}."
            " Weights from before and after pruning were averaged. Average "
            "`model.trainable_variables` instead of get_weights(), and from "
            "fine-tuning on: AfterPruning(callback)."
        )
    return whole
