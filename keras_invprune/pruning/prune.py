"""prune and strip_pruning: from a plain model to a pruned one, and back."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_invprune import contracts, tfmot
from keras_invprune.allocation import Budget
from keras_invprune.contracts import Arrays
from keras_invprune.graph.connections import check_absent, connections_of
from keras_invprune.graph.copying import copy_model
from keras_invprune.graph.layouts import layouts
from keras_invprune.graph.prunable import Select, prunable_weights
from keras_invprune.graph.weights import (
    Weight,
    check_finite,
    kernels,
    shapes_of,
    weights_by_key,
)
from keras_invprune.masks.compute import check_allocation
from keras_invprune.pruning import legacy
from keras_invprune.pruning.checks import (
    check_agreement,
    check_budget,
    check_connections,
    check_model,
    check_scope,
    check_weights,
)
from keras_invprune.pruning.fitting import fitting, tied
from keras_invprune.pruning.initializers import (
    check_scale,
    is_fresh,
    keys_to_scale,
    masks_of_zeros,
    scale_weights,
)
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.pruning.plan import Plan
from keras_invprune.schedules import check_sparsity, final_sparsity

logger = logging.getLogger("keras_invprune")


def prune(
    model: keras.Model,
    sparsity: float | Budget,
    *,
    objective: str | contracts.ObjectiveLike | None = None,
    score: str | contracts.ScoreLike = "magnitude",
    allocation: str | dict | contracts.AllocationLike | None = None,
    pattern: str | contracts.PatternLike | None = None,
    schedule: str | contracts.ScheduleLike = "one_shot",
    rewind: str | None = None,
    initial_scale: float | tuple[float, str] = 1.0,
    select: Select | Iterable[str] | str | None = None,
    copy: bool = True,
) -> PrunedModel:
    """Return a model that prunes itself while it is trained.

    Five independent choices make a method. Each is a name, an object of this package
    or your own callable.

    Args:
        model: A built Keras 3 model (Sequential, Functional, nested, subclassed), which
            is not changed. Or a tf_keras model, which gets TF-MOT's own wrappers, with
            masks made at once from its weights.
        sparsity: Target share of the prunable weights to remove, in [0, 1). Or a
            `keras_invprune.allocation.Budget` of what may remain, with
            ``pattern="units"``.
        objective: Loss of the search: None for the compiled loss, "invariance",
            `Invariance(...)`, or a callable (`keras_invprune.objectives`).
        score: "magnitude", "snip", "rigl", "movement" or another name that
            `keras_invprune.scores` lists, or a callable.
        allocation: None (the pattern's: "uniform" for whole units, else "global"),
            "global" (one ranking), "uniform" (the same share in each weight, or family
            of units), "class_distributed", "erk", "lamp", ``{key: sparsity}``, or a
            callable (`keras_invprune.allocation`).
        pattern: None (unstructured), "units" (whole units and filters; `sparsity` is
            then their share, and that of the weights may differ), `Block(...)`,
            `NByM(...)`, or a callable (`keras_invprune.patterns`). Weights that it does
            not fit are not pruned and are named in ``left_alone``.
        schedule: "one_shot" (after half of the training), "at_init" (before the first
            step), "rewire" (before the first step, then renewed), "gradual",
            "when_converged", "manual" (you call `prune_to`), a TF-MOT schedule or your
            own `PruningSchedule`.
        rewind: The values that surviving weights return to at the target sparsity,
            with a fresh optimizer: None (they stay), "initial", "first_epoch", or
            "unscaled" (the values before `initial_scale`).
        initial_scale: κ, which multiplies the prunable kernels once, now; as a pair
            ``(κ, "all")``, every trainable weight.
        select: Which weights may be pruned: see
            `keras_invprune.graph.prunable.prunable_weights`. Zeros that an earlier
            pruning has left in them stay zero and count as pruned.
        copy: Whether to prune a copy. False prunes the model itself and changes its
            weights: for subclassed models that cannot be rebuilt from their config.

    Returns:
        `PrunedModel` (for tf_keras: a tf_keras model with TF-MOT's wrappers).
        Compile it, fit it, then `strip_pruning` it.

    Example:
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((8,)),
        ...         keras.layers.Dense(16, "relu"),
        ...         keras.layers.Dense(2),
        ...     ]
        ... )
        >>> pruned = prune(model, 0.75, allocation="uniform", schedule="gradual")
        >>> pruned.masks.keys()  # the head stays dense
        dict_keys(['dense/kernel'])

    Raises:
        ValueError: If an argument is out of range, the model is not built, choices
            contradict each other, there is nothing to prune, or weights are not finite,
            or not zero where the graph that the model was made from has no connections.
        TypeError: If `model` is not a Keras model, or a callable takes other arguments.
    """
    budget = sparsity if isinstance(sparsity, Budget) else None
    choices: dict[str, Any] = {
        "sparsity": _share(sparsity, schedule),
        "score": score,
        "allocation": allocation,
        "pattern": pattern,
    }
    if tfmot.is_tf_keras(model):
        legacy.check_left_out(objective, schedule, rewind, initial_scale, copy, budget)
        return legacy.prune(model, Plan.of(**choices), select)
    check_model(model)
    scale = check_scale(initial_scale)
    weights = weights_by_key(model)
    variables = {key: weight.variable for key, weight in weights.items()}
    check_finite({key: v for key, v in variables.items() if v.trainable})
    check_absent(variables)
    if budget is not None:
        check_budget(pattern, allocation, model)
    plan = Plan.of(
        **choices,
        objective=objective,
        schedule=schedule,
        rewind=rewind,
        budget=budget,
    )
    check_agreement(plan)
    keys = _keys_to_mask(model, weights, select, plan)
    if not copy:
        check_scope(model)
    if budget is not None:  # after what is quick: measuring takes minutes
        plan.meet(model, weights, schedule)
    shapes = shapes_of({key: weights[key] for key in keys})
    groups = plan.groups(shapes, layouts(weights, keys))
    check_allocation(plan.allocation, groups, plan.sparsity)
    if copy:
        model = copy_model(model)
        weights = weights_by_key(model)
    pruned = PrunedModel(model, plan, {k: weights[k] for k in keys}, owns_inner=copy)
    _scale(plan, weights, keys, scale)  # once nothing is refused any more
    _keep_earlier_zeros(pruned, weights, keys)
    return pruned


def _share(sparsity: float | Budget, schedule: str | contracts.ScheduleLike) -> float:
    """Return the target sparsity, for now that of the schedule if it is a budget's."""
    if not isinstance(sparsity, Budget):
        return check_sparsity(sparsity)
    return 0.0 if isinstance(schedule, str) else final_sparsity(schedule) or 0.0


def _keys_to_mask(
    model: keras.Model,
    weights: Mapping[str, Weight],
    select: Select | Iterable[str] | str | None,
    plan: Plan,
) -> list[str]:
    """Return the keys of the weights to mask, which the plan's choices can take."""
    keys = fitting(weights, list(prunable_weights(model, select, weights)), plan)
    keys = tied(model, weights, keys, plan)
    to_mask = {key: weights[key] for key in keys}
    check_connections(to_mask, plan)
    check_weights(to_mask, plan)
    return keys


def _scale(
    plan: Plan,
    weights: Mapping[str, Weight],
    keys: list[str],
    scale: tuple[float, bool],
) -> None:
    """Multiply the weights by κ, and note in the plan which ones."""
    factor, everything = scale
    if factor != 1.0:
        plan.initial_scale = factor
        selected = [key for key in keys if key not in plan.readers]
        plan.scaled = tuple(keys_to_scale(weights, selected, everything))
        scale_weights(weights, plan.scaled, factor)


def _keep_earlier_zeros(
    pruned: PrunedModel, weights: Mapping[str, Weight], keys: list[str]
) -> None:
    """Mask zeros that an earlier pruning has left, and log those that will be lost."""
    chosen, fresh = {key: weights[key] for key in keys}, is_fresh(pruned.inner)
    _keep_zeros(pruned, masks_of_zeros(chosen, fresh))
    _tell_other_zeros(masks_of_zeros(_also_trained(weights, chosen), fresh))


def _keep_zeros(pruned: PrunedModel, masks: Arrays) -> None:
    """Mask the zeros that an earlier pruning has left, and log it."""
    plan = pruned.plan
    if not masks:
        return
    ones = {key: np.ones(mask.shape, bool) for key, mask in pruned.masks.items()}
    zeros = pruned.state.share(ones | masks)
    already = f"{zeros:.4g} of the weights to prune are zero already"
    moves = plan.rewires or plan.effective is not None
    if not moves and zeros <= plan.sparsity + 1e-6:
        pruned.masked.set_masks(masks)
        logger.info("%s, and stay so.", already)
    elif not _may_return(pruned, masks):
        text = "%s, and stay so: the graph has no such connections."
        if zeros <= plan.sparsity:
            logger.info(text, already)
        else:
            more = f" Nothing is left to prune: {(1 + zeros) / 2:.4g} removes half."
            logger.warning(text + more, already)
    elif moves:
        logger.warning("%s, and may come back: this method moves masks.", already)
    else:
        less = "%s, and may come back: the sparsity asked for, %.4g, is lower."
        logger.warning(less, already, plan.sparsity)


def _may_return(pruned: PrunedModel, masks: Arrays) -> bool:
    """Return whether some zeros are not absent connections of a graph."""
    graph = connections_of(pruned.masked.prunable)
    return any(
        np.any(~mask & graph[key].mask if key in graph else ~mask)
        for key, mask in masks.items()
    )


def _also_trained(
    weights: Mapping[str, Weight], chosen: Collection[str]
) -> dict[str, Weight]:
    """Return the other kernels that are trained."""
    return {
        key: weight
        for key, weight in kernels(weights).items()
        if weight.variable.trainable and key not in chosen
    }


def _tell_other_zeros(masks: Arrays) -> None:
    """Log a warning of zeros that an earlier pruning has left outside the selection."""
    if masks:
        shares = [f"{key} ({1 - mask.mean():.3g})" for key, mask in masks.items()]
        logger.warning(
            "Zeros of an earlier pruning are not selected now and will be trained: "
            "%s. Select these weights as well to keep them.",
            ", ".join(shares),
        )


def strip_pruning(model: keras.Model, *, allow_unfinished: bool = False) -> keras.Model:
    """Return the plain Keras model with the masks applied: the same outputs.

    Args:
        model: A `PrunedModel`, or a tf_keras model with TF-MOT's wrappers.
        allow_unfinished: Whether to accept a model that has not reached its target
            sparsity.

    Returns:
        A new, uncompiled model of the caller's class, with weights times masks, rounded
        if they were trained so, and nothing of this package; after
        ``prune(copy=False)`` the caller's own model.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
        >>> pruned = prune(model, 0.75, select=["dense"])
        >>> strip_pruning(pruned)
        Traceback (most recent call last):
        ValueError: Pruning is not finished: ...
        >>> pruned.prune_to(0.75)
        >>> int((strip_pruning(pruned).layers[0].kernel.numpy() == 0).sum())
        96

    Raises:
        ValueError: If `model` is not pruned, has not reached its target sparsity, or
            has weights where the graph that it was made from has no connections.
    """
    if tfmot.is_tf_keras(model):
        return tfmot.strip(model)
    if not isinstance(model, PrunedModel):
        raise ValueError(
            "strip_pruning takes a model made by `prune` or `prune_for_invariance`. "
            f"Received: {type(model).__name__} {getattr(model, 'name', '')!r}."
        )
    if not (model.finished or allow_unfinished):
        raise ValueError(
            f"Pruning is not finished: a share of {model.state.removed:.4g} is "
            f"removed, the target is {model.plan.sparsity:.4g}. "
            f"{_what_is_missing(model)}, or call "
            "strip_pruning(model, allow_unfinished=True)."
        )
    stripped = model.inner
    if model.owns_inner:
        with model.masked.released() as inner:
            stripped = copy_model(inner)
    variables = {key: w.variable for key, w in weights_by_key(stripped).items()}
    check_absent(variables, model.masks)
    if not model.owns_inner:
        model.masked.release()
    # In the copy, if there is one: masked weights of the model may still return.
    for key in {**model.masks, **model.masked.rounded}:
        kept = model.masked.read(key, variables[key].value)
        variables[key].assign(kept + 0.0)  # -0.0 becomes 0.0
    return stripped


def _what_is_missing(model: PrunedModel) -> str:
    if contracts.Schedule.of(model.plan.schedule).by_hand:
        return f"This schedule leaves it to you: call prune_to({model.plan.sparsity})"
    # A custom loop counts steps, but only the callback asks the schedule.
    if model.step > 0 and not model.visited:
        return (
            "No PruningCallback has been called, which prunes: call the methods of a "
            "kip.callbacks.PruningCallback in your loop (examples/custom_loop.py)"
        )
    return "Train until the schedule has pruned"
