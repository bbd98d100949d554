"""Schedules decide when to prune, and how much. Each is a `PruningSchedule` of TF-MOT.

The protocol is TF-MOT's: ``schedule(step) -> (should_prune, sparsity)``, called before
each training step. The first step is 1. Methods by which a schedule follows the
training are optional (`keras_invprune.contracts.Schedule`); TF-MOT's own schedules have
none of them.
"""

from functools import partial

from keras_invprune.arguments import is_number
from keras_invprune.contracts import ScheduleLike
from keras_invprune.saving import resolve
from keras_invprune.schedules.base import check_sparsity
from keras_invprune.schedules.gradual import Gradual
from keras_invprune.schedules.hold_back import HoldBack
from keras_invprune.schedules.manual import Manual
from keras_invprune.schedules.one_shot import OneShot
from keras_invprune.schedules.rewire import Rewire
from keras_invprune.schedules.saving import load_schedule, save_schedule
from keras_invprune.schedules.when_converged import WhenConverged

SCHEDULES = {
    "one_shot": OneShot,
    "at_init": partial(OneShot, at=0),
    "gradual": Gradual,
    "when_converged": WhenConverged,
    "manual": Manual,
    "rewire": Rewire,
}


def get(identifier: str | ScheduleLike, sparsity: float) -> ScheduleLike:
    """Return the schedule of this name for `sparsity`, or the schedule itself.

    Args:
        identifier: A name in `SCHEDULES`, or a schedule.
        sparsity: Final sparsity, in [0, 1).

    Raises:
        ValueError: If the name is unknown, or if the schedule ends at another sparsity.
        TypeError: If `identifier` is neither a name nor a schedule.
    """
    found = resolve(identifier, SCHEDULES, "schedule")
    if isinstance(identifier, str):
        return found(sparsity)
    target = final_sparsity(found)
    if target is not None and abs(target - sparsity) > 1e-6:
        raise ValueError(
            "`sparsity` and `schedule` must agree on the final sparsity. Received: "
            f"sparsity={sparsity}, and a schedule that ends at {target}. Give both the "
            "same value."
        )
    return found


def final_sparsity(schedule: ScheduleLike) -> float | None:
    """Return the final sparsity of a schedule, or None if it is unknown."""
    if isinstance(schedule, HoldBack):
        return final_sparsity(schedule.schedule)
    for name in ("sparsity", "final_sparsity", "target_sparsity"):
        value = getattr(schedule, name, None)
        if is_number(value):
            return float(value)
    return None


__all__ = [
    "Gradual",
    "HoldBack",
    "Manual",
    "OneShot",
    "Rewire",
    "WhenConverged",
    "check_sparsity",
    "final_sparsity",
    "get",
    "load_schedule",
    "save_schedule",
]
