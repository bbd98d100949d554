"""State beyond the weights that an interrupted training needs to go on unchanged."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.contracts import Schedule
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.pruning.state import Remembered

# No slash: HDF5 would make groups of the names.
REWIND, SEED = "extra_rewind_", "extra_seed_"
STEP, RATE, SCHEDULE = "extra_step", "extra_rate", "extra_schedule_"
FINISHED = "extra_finished_step"


def seed_states(model: keras.Model) -> list:
    """States of the random generators in a model; Keras does not save them."""
    saved = [*model.weights, *model.metrics_variables]
    known = {id(variable) for variable in saved}
    return [v for v in model.variables if id(v) not in known and not v.trainable]


def extra_state(model: keras.Model) -> dict[str, np.ndarray]:
    """What is saved beside the weights: seeds, what to rewind to, what was learned."""
    seeds = enumerate(seed_states(model))
    state = {f"{SEED}{index}": variable.numpy() for index, variable in seeds}
    known = model.state.remembered
    if known.rewind_to is not None:
        values = enumerate(known.rewind_to.values())
        state |= {f"{REWIND}{index}": value for index, value in values}
        state[STEP] = np.array(known.rewind_step)
    if known.initial_rate is not None:
        state[RATE] = np.array(known.initial_rate)
    if known.finished_step is not None:
        state[FINISHED] = np.array(known.finished_step)
    learned = Schedule.of(model.plan.schedule).state().items()
    state |= {f"{SCHEDULE}{name}": np.array(value) for name, value in learned}
    return state


def split(store: Any) -> tuple[dict, dict]:
    """(own variables, extra state) of what was saved."""
    arrays = {name: store[name] for name in store.keys()}
    extra = {name for name in arrays if name.startswith("extra_")}
    own = {name: array for name, array in arrays.items() if name not in extra}
    return own, {name: np.asarray(arrays[name]) for name in extra}


def load_extra_state(model: keras.Model, state: dict[str, np.ndarray]):
    """Writes the state back; what was not saved stays as it is or is dropped."""
    for index, variable in enumerate(seed_states(model)):
        if f"{SEED}{index}" in state:
            variable.assign(state[f"{SEED}{index}"])
    known = model.state.remembered = Remembered(
        initial_rate=float(state[RATE]) if RATE in state else None,
        rated=id(model.optimizer if model.compiled else None),
        finished_step=int(state[FINISHED]) if FINISHED in state else None,
    )
    if f"{REWIND}0" in state and model.plan.rewind is not None:
        keys = weights_by_key(model.inner)
        known.rewind_to = {
            key: state[f"{REWIND}{index}"] for index, key in enumerate(keys)
        }
        known.rewind_step = int(state[STEP])
    learned = {
        name.removeprefix(SCHEDULE): value.item()
        for name, value in state.items()
        if name.startswith(SCHEDULE)
    }
    if learned:
        Schedule.of(model.plan.schedule).restore(learned)


@contextlib.contextmanager
def all_or_nothing(model: keras.Model, source: str | Path):
    """Puts the state of `model` back when loading from `source` fails."""
    before = [variable.numpy() for variable in model.variables]
    remembered = dataclasses.replace(model.state.remembered)
    schedule = Schedule.of(model.plan.schedule)
    learned = schedule.state()
    try:
        yield
    except Exception as error:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
        model.state.remembered = remembered
        if learned:
            schedule.restore(learned)
        model.set_phase()
        raise ValueError(
            f"{source} could not be loaded, probably because it was saved by another "
            f"model; this one is unchanged. Keras says: {error}"
        ) from error
