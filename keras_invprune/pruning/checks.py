"""Checks that `prune` makes before it makes anything."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from keras_invprune import contracts, patterns, tfmot
from keras_invprune.allocation import PerLayer
from keras_invprune.contracts import Score
from keras_invprune.graph.connections import connections_of
from keras_invprune.graph.layouts import layouts
from keras_invprune.graph.weights import (
    Weight,
    check_keras,
    check_plain,
    is_graph,
    shapes_of,
)
from keras_invprune.pruning.plan import Plan
from keras_invprune.saving import check_takes, name_of

TAKES = {
    "objective": ("model", "x", "y", "sample_weight"),
    "score": ("weights", "model"),
    "allocation": ("scores", "sparsity"),
    "pattern": ("scores", "sparsity", "allocation"),
    "schedule": ("step",),
}


def check_model(model: keras.Model) -> None:
    """Raise TypeError, ValueError or RuntimeError if `prune` cannot take a model."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "keras_invprune needs Keras's TensorFlow backend. Received: "
            f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow before "
            "importing keras."
        )
    check_plain(model, "kip.prune({}, sparsity)")
    check_keras(model, built=True)


def check_scope(model: keras.Model) -> None:
    """Raise ValueError if variables were created outside the current strategy."""
    strategy = tf.distribute.get_strategy()
    outside = [
        v.path
        for v in model.weights
        if not strategy.extended.variable_created_in_scope(v.value)
    ]
    if outside:
        raise ValueError(
            "With copy=False the model's own variables are trained, and they were "
            f"created outside the current strategy's scope: {outside[:3]}. Create the "
            "model inside `with strategy.scope():`, or use copy=True."
        )


def check_budget(
    pattern: str | contracts.PatternLike | None,
    allocation: str | dict | contracts.AllocationLike | None,
    model: keras.Model,
) -> None:
    """Raise ValueError if a budget cannot decide how many groups are removed."""
    if not is_graph(model):
        raise ValueError(
            "A budget counts what `compact` leaves of a Sequential or Functional "
            f"model. Received: {model.name!r}, which is neither. Build it as one of "
            "them, or pass a share."
        )
    if not contracts.Pattern.of(patterns.get(pattern)).tied:
        raise ValueError(
            "A budget counts what `compact` leaves, so it needs pattern='units'. "
            f"Received: pattern={pattern!r}."
        )
    if isinstance(allocation, dict | PerLayer):
        raise ValueError(
            "A budget decides how many units are removed, and so do sparsities of the "
            f"layers. Received: allocation={allocation!r}. Pass only one of the two."
        )


def check_connections(weights: Mapping[str, Weight], plan: Plan) -> None:
    """Raise ValueError if connections would move to where a graph has none.

    Args:
        weights: ``{key: Weight}`` of the weights to prune.
        plan: The choices that make the method.
    """
    fixed = connections_of({key: w.variable for key, w in weights.items()})
    if fixed and plan.moves:
        raise ValueError(
            "The connections of a network that was made from a graph are fixed, so "
            "connections that this method would grow elsewhere would stay zero. "
            f"Received: {next(iter(fixed))!r} among the weights to prune. Use a method "
            "that only removes connections, or `select` other weights."
        )


def check_weights(weights: Mapping[str, Weight], plan: Plan) -> None:
    """Raise ValueError if the allocation cannot read the weights.

    Args:
        weights: ``{key: Weight}`` of the weights to prune.
        plan: The choices that make the method.
    """
    groups = plan.groups(shapes_of(weights), layouts(weights, list(weights)))
    passed = groups.pool(groups.zeros()) if groups.allocates else {}
    ranks = {key: np.ndim(values) for key, values in passed.items()}
    whole = {key: w for key, w in weights.items() if ranks.get(key, 0) > 1}
    contracts.Allocation.of(plan.allocation).check_weights(whole)


def check_agreement(plan: Plan, trained: bool = False) -> None:
    """Raise if the choices in `plan` are incompatible.

    Args:
        plan: `Plan`.
        trained: Whether training steps have been made.

    Raises:
        TypeError: If a callable takes other arguments than it will be given.
        ValueError: If two choices contradict each other.
    """
    for kind, takes in TAKES.items():
        if getattr(plan, kind) is not None:
            check_takes(getattr(plan, kind), takes, kind)
    _check_moves(plan)
    _check_updates(plan)
    _check_beginning(plan, trained)


def _check_moves(plan: Plan) -> None:
    """Raise ValueError if score and schedule disagree on whether masks move."""
    schedule, score = contracts.Schedule.of(plan.schedule), Score.of(plan.score)
    moves, name = schedule.rewires, name_of(plan.score)
    if score.rewires:
        if not (moves or schedule.by_hand):
            raise ValueError(
                f"{name} moves connections while the network is trained, and the "
                f"schedule is {type(plan.schedule).__name__}. Use schedule='rewire', "
                "or 'manual' and call prune_to."
            )
    elif moves and score.rewires is False and score.effective is None:
        raise ValueError(
            f"Rewire moves connections, and {name} does not grow any. Use score='set', "
            "'rigl' or 'sr_ste', or another schedule: 'one_shot', 'gradual', 'at_init'."
        )
    if moves and not (plan.rewind is None and plan.objective is None):
        raise ValueError(
            "Rewire prunes before the first step, so nothing is searched or rewound. "
            f"Received: rewind={plan.rewind!r}, objective={plan.objective!r}. Leave "
            "them out: kip.prune(model, sparsity, score=..., schedule='rewire')."
        )


def _check_beginning(plan: Plan, trained: bool) -> None:
    """Raise ValueError if a schedule prunes before the search or the learning."""
    if not contracts.Schedule.of(plan.schedule).at_init:
        return
    score = Score.of(plan.score)
    if score.learns and not trained:
        once = score.updates == "one"
        raise ValueError(
            f"{type(plan.score).__name__} is learned while the network is trained, and "
            "this schedule prunes before the first step. Use "
            f"schedule={'one_shot' if once else 'gradual'!r}."
        )
    if plan.objective is not None:
        raise ValueError(
            "This schedule prunes before the first step, so that nothing is searched. "
            f"Received: objective={plan.objective!r}. Leave it out, as in "
            "kip.prune(model, sparsity, score=..., schedule='at_init'), or use "
            "schedule='one_shot'."
        )


def _check_updates(plan: Plan) -> None:
    """Raise ValueError if a score or allocation needs another number of updates."""
    schedule = contracts.Schedule.of(plan.schedule)
    once = False if tfmot.is_own(plan.schedule) else schedule.once
    shuffles = contracts.Allocation.of(plan.allocation).shuffles is not None
    if shuffles and not (once or schedule.by_hand):
        raise ValueError(
            "Shuffled checks masks that are made once: each renewal would shuffle "
            "them again. Received: "
            f"{type(plan.schedule).__name__}. Use schedule='one_shot' or 'at_init'."
        )
    wanted = Score.of(plan.score).updates
    known = once is not None and not schedule.by_hand
    if wanted is None or not known or once == (wanted == "one"):
        return
    rule = {
        "one": "one update of the masks: the odds of masked weights do not change. "
        "Use schedule='one_shot', or 'manual'.",
        "several": "several updates of the masks: masked weights learn between them. "
        "Use schedule='gradual', or kip.schedules.Rewire(sparsity, every=1), "
        "or 'manual'.",
    }
    raise ValueError(
        f"{type(plan.score).__name__} needs {rule[wanted]} Received: "
        f"{type(plan.schedule).__name__}."
    )
