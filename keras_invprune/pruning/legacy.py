"""Models of tf_keras: masks that are made at once, in TF-MOT's own wrappers."""

from collections.abc import Iterable

from keras_invprune import tfmot
from keras_invprune.allocation import collapsed
from keras_invprune.contracts import Arrays, Pattern
from keras_invprune.graph.prunable import Select
from keras_invprune.masks.compute import check_allocation
from keras_invprune.pruning.fitting import left
from keras_invprune.pruning.plan import Plan
from keras_invprune.pruning.state import log_collapse


def check_left_out(
    objective: object,
    schedule: object,
    rewind: object,
    initial_scale: object,
    copy: object,
    budget: object,
) -> None:
    """Raise TypeError unless the arguments that need a Keras 3 model are left out."""
    given = (objective, schedule, rewind, initial_scale, copy, budget)
    if given != (None, "one_shot", None, 1.0, True, None):
        raise TypeError(
            "The search is for Keras 3 models, and this is a tf_keras model: its "
            "masks are made at once from the given weights, so `objective`, "
            "`schedule`, `rewind`, `initial_scale`, `copy` and budgets do not "
            "apply. Leave them out, or build the model with Keras 3."
        )


def prune(
    model: tfmot.TfKerasModel,
    plan: Plan,
    select: Select | Iterable[str] | str | None,
) -> tfmot.TfKerasModel:
    """Return a tf_keras model in TF-MOT's wrappers, with the masks of a plan.

    Raises:
        TypeError: If the score acts during training.
        ValueError: If there is nothing to prune, or if the choices do not suit it.
    """
    pattern = Pattern.of(plan.pattern)
    if plan.effective is not None or plan.grid is not None:
        raise TypeError(
            f"{plan.score!r} acts while a Keras 3 model is trained, and this is a "
            "tf_keras model. Use 'magnitude', 'random' or your own callable."
        )

    def masks(weights: Arrays) -> Arrays:
        asked = {key: pattern.unfit(w.shape) for key, w in weights.items()}
        reasons = {key: why for key, why in asked.items() if why is not None}
        weights = {key: weights[key] for key in left(weights, reasons, plan)}
        shapes = {key: weight.shape for key, weight in weights.items()}
        check_allocation(plan.allocation, plan.groups(shapes), plan.sparsity)
        found = plan.masks(weights, model, plan.sparsity)
        log_collapse(collapsed(found))
        return found

    return tfmot.prune(model, masks, select, pattern.on_matrices)
