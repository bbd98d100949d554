"""Schedules in configs: ours, TF-MOT's and the user's own."""

from keras_invprune import tfmot
from keras_invprune.identifiers import load_object
from keras_invprune.identifiers import save_object


def save_schedule(schedule) -> dict:
    """The config of any schedule.

    TF-MOT nests its configs, and its own `from_config` cannot read them back.
    """
    if type(schedule).__module__.startswith("tensorflow_model_optimization"):
        return {"tfmot": type(schedule).__name__, **schedule.get_config()["config"]}
    return save_object(schedule, "schedule")


def load_schedule(config):
    """The schedule again; a `Missing` for one that cannot be found."""
    if "tfmot" in config:
        config = dict(config)
        return getattr(tfmot.sparsity, config.pop("tfmot"))(**config)
    return load_object(config, "schedule")
