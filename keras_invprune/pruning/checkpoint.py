"""State beyond the weights that an interrupted training needs to go on unchanged."""

import contextlib

import numpy as np

from keras_invprune.contracts import Schedule
from keras_invprune.pruning.rewind import snapshot

# No slash: HDF5 would make groups of the names.
REWIND, SEED = "extra_rewind_", "extra_seed_"
STEP, RATE, SCHEDULE = "extra_step", "extra_rate", "extra_schedule_"
FINISHED = "extra_finished_step"
REMEMBERED = "rewind_to", "rewind_step", "initial_rate", "rated", "finished_step"


def seed_states(model) -> list:
    """States of the random generators in a model; Keras does not save them."""
    known = [*model.weights, *model.metrics_variables]
    known = {id(variable) for variable in known}
    return [v for v in model.variables if id(v) not in known and not v.trainable]


def extra_state(model) -> dict[str, np.ndarray]:
    """What is saved beside the weights: seeds, what to rewind to, what was learned."""
    seeds = enumerate(seed_states(model))
    state = {f"{SEED}{index}": variable.numpy() for index, variable in seeds}
    if model.rewind_to is not None:
        values = enumerate(model.rewind_to.values())
        state |= {f"{REWIND}{index}": value for index, value in values}
        state[STEP] = np.array(model.rewind_step)
    if model.initial_rate is not None:
        state[RATE] = np.array(model.initial_rate)
    if model.finished_step is not None:
        state[FINISHED] = np.array(model.finished_step)
    learned = Schedule.of(model.plan.schedule).state().items()
    state |= {f"{SCHEDULE}{name}": np.array(value) for name, value in learned}
    return state


def split(store) -> tuple[dict, dict]:
    """(own variables, extra state) of what was saved."""
    arrays = {name: store[name] for name in store.keys()}
    extra = {name for name in arrays if name.startswith("extra_")}
    own = {name: array for name, array in arrays.items() if name not in extra}
    return own, {name: np.asarray(arrays[name]) for name in extra}


def load_extra_state(model, state):
    """Writes the state back; what was not saved stays as it is or is dropped."""
    for index, variable in enumerate(seed_states(model)):
        if f"{SEED}{index}" in state:
            variable.assign(state[f"{SEED}{index}"])
    model.initial_rate = float(state[RATE]) if RATE in state else None
    model.rated = id(getattr(model, "optimizer", None))
    model.finished_step = int(state[FINISHED]) if FINISHED in state else None
    model.rewind_to = None
    if f"{REWIND}0" in state and model.plan.rewind is not None:
        keys = list(snapshot(model.inner))
        model.rewind_to = {
            key: state[f"{REWIND}{index}"] for index, key in enumerate(keys)
        }
        model.rewind_step = int(state[STEP])
    learned = {
        name.removeprefix(SCHEDULE): value.item()
        for name, value in state.items()
        if name.startswith(SCHEDULE)
    }
    if learned:
        Schedule.of(model.plan.schedule).restore(learned)


@contextlib.contextmanager
def all_or_nothing(model, source):
    """Puts the state of `model` back when loading from `source` fails."""
    before = [variable.numpy() for variable in model.variables]
    remembered = {name: getattr(model, name) for name in REMEMBERED}
    schedule = Schedule.of(model.plan.schedule)
    learned = schedule.state()
    try:
        yield
    except Exception as error:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
        for name, value in remembered.items():
            setattr(model, name, value)
        if learned:
            schedule.restore(learned)
        model.set_phase()
        raise ValueError(
            f"{source} could not be loaded, probably because it was saved by another "
            f"model; this one is unchanged. Keras says: {error}"
        ) from error


class Resumable:
    """A `keras.Model` that saves all that an interrupted training needs."""

    def load_weights(self, filepath, *args, **kwargs):
        """As `keras.Model.load_weights`; all or nothing.

        Raises:
            ValueError: The file is of another model; no weight has changed.
        """
        with all_or_nothing(self, filepath):
            super().load_weights(filepath, *args, **kwargs)

    def save_own_variables(self, store):
        """Saves, beside its own weights, what an interrupted training needs."""
        super().save_own_variables(store)
        for name, value in extra_state(self).items():
            store[name] = value

    def load_own_variables(self, store):
        """Loads its own weights, and what an interrupted training needs."""
        own, extra = split(store)
        super().load_own_variables(own)
        load_extra_state(self, extra)
        self.set_phase()
