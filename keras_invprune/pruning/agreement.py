"""Whether the choices of a plan agree: a score with the schedule that asks it."""

from keras_invprune import tfmot
from keras_invprune.allocation import Shuffled
from keras_invprune.saving import check_takes
from keras_invprune.schedules import OneShot, WhenConverged
from keras_invprune.schedules.base import Schedule

TAKES = {
    "objective": ("model", "x", "y", "sample_weight"),
    "score": ("weights", "model"),
    "allocation": ("scores", "sparsity"),
    "pattern": ("scores", "sparsity", "allocation"),
    "schedule": ("step",),
}


def check_agreement(plan, trained=False):
    """Refuses a plan whose masks could not move, or in vain, or would not be learned.

    Args:
        plan: `Plan`.
        trained: Whether steps have been made already.

    Raises:
        TypeError: A callable that takes other arguments than it will be given.
        ValueError: Choices that do not go together.
    """
    for kind, takes in TAKES.items():
        if getattr(plan, kind) is not None:
            check_takes(getattr(plan, kind), takes, kind)
    _check_moves(plan)
    _check_updates(plan)
    _check_beginning(plan, trained)


def _check_moves(plan):
    """Raises ValueError where masks that are to move could not, or in vain."""
    moves = getattr(plan.schedule, "rewires", False)
    by_hand = getattr(plan.schedule, "by_hand", False)
    name = getattr(plan.score, "__name__", type(plan.score).__name__)
    if getattr(plan.score, "rewires", False):
        if not (moves or by_hand):
            raise ValueError(
                f"{name} moves connections while the network is trained, and the "
                f"schedule is {type(plan.schedule).__name__}. Give schedule='rewire', "
                "or 'manual' where you call prune_to."
            )
    elif moves and _is_ours(plan.score) and not _learns(plan.score):
        raise ValueError(
            f"Rewire moves connections, and {name} lets none grow. Give score='set', "
            "'rigl' or 'sr_ste', or another schedule: 'one_shot', 'gradual', 'at_init'."
        )
    if moves and not (plan.rewind is None and plan.objective is None):
        raise ValueError(
            "Rewire prunes before the first step, so nothing is searched or rewound. "
            f"Received: rewind={plan.rewind!r}, objective={plan.objective!r}. Leave "
            "them out: kip.prune(model, sparsity, score=..., schedule='rewire')."
        )


def _is_ours(score) -> bool:
    return getattr(score, "__module__", "").startswith("keras_invprune.")


def _learns(score) -> bool:
    return getattr(score, "effective", None) is not None


def _check_beginning(plan, trained):
    """Raises ValueError where a schedule prunes before what must come first."""
    if not (isinstance(plan.schedule, OneShot) and plan.schedule.at == 0):
        return
    if _is_ours(plan.score) and _learns(plan.score) and not trained:
        once = getattr(plan.score, "updates", None) == "one"
        raise ValueError(
            f"{type(plan.score).__name__} is learned while the network is trained, and "
            "this schedule prunes before the first step. Give "
            f"schedule={'one_shot' if once else 'gradual'!r}."
        )
    if plan.objective is not None:
        raise ValueError(
            "This schedule prunes before the first step, so that nothing is searched. "
            f"Received: objective={plan.objective!r}. Leave it out, as by "
            "kip.prune(model, sparsity, score=..., schedule='at_init'), or give "
            "schedule='one_shot'."
        )


def _check_updates(plan):
    """Raises ValueError where a score learns by masks that are renewed, or not."""
    once = isinstance(plan.schedule, OneShot | WhenConverged)
    by_hand = getattr(plan.schedule, "by_hand", False)
    if isinstance(plan.allocation, Shuffled) and not (once or by_hand):
        raise ValueError(
            "Shuffled checks masks that are made at once: renewed, they would be "
            "other ones each time. Received: "
            f"{type(plan.schedule).__name__}. Give schedule='one_shot' or 'at_init'."
        )
    wanted = getattr(plan.score, "updates", None)
    own = not (isinstance(plan.schedule, Schedule) or tfmot.is_own(plan.schedule))
    if wanted is None or by_hand or own or once == (wanted == "one"):
        return
    rule = {
        "one": "one update of the masks: the odds of masked weights stand still. Give "
        "schedule='one_shot', or 'manual'.",
        "several": "several updates of the masks: masked weights learn between them. "
        "Give schedule='gradual', or kip.schedules.Rewire(sparsity, every=1), "
        "or 'manual'.",
    }
    raise ValueError(
        f"{type(plan.score).__name__} wants {rule[wanted]} Received: "
        f"{type(plan.schedule).__name__}."
    )
