"""Saves schedules to configs and loads them: ours, TF-MOT's and the user's own."""

from typing import Any

from keras_invprune import tfmot
from keras_invprune.contracts import ScheduleLike
from keras_invprune.saving import load_object, save_object

ROLE = "plan.schedule"


def save_schedule(schedule: ScheduleLike) -> dict:
    """Return the config of any schedule."""
    if tfmot.is_own(schedule):
        return {"tfmot": type(schedule).__name__, **schedule.get_config()["config"]}
    saved = save_object(schedule, ROLE)
    if _cannot_read_its_config(schedule):
        saved["config"] = saved["config"]["config"]
    return saved


def _cannot_read_its_config(schedule: ScheduleLike) -> bool:
    """Return whether the config is nested like TF-MOT's, and `from_config` is not."""
    if not isinstance(schedule, tfmot.PruningSchedule):
        return False
    inherited = tfmot.PruningSchedule.from_config.__func__
    nested = schedule.get_config().keys() == {"class_name", "config"}
    return nested and type(schedule).from_config.__func__ is inherited


def load_schedule(config: dict[str, Any]) -> ScheduleLike:
    """Return the schedule of a config, or a `Missing` if it cannot be found."""
    if "tfmot" in config:
        config = dict(config)
        return getattr(tfmot.sparsity, config.pop("tfmot"))(**config)
    return load_object(config, ROLE)
