"""Reads what a method learns about each weight during training."""

from keras_invprune.contracts import ScoreContext


def learned(context: ScoreContext, name: str) -> dict:
    """Return ``{key: array}`` of the first weight that a method added for each key.

    Args:
        context: The context of the network.
        name: Name of the score in messages.

    Raises:
        ValueError: If the model was made for another score, or if nothing has been
            learned yet.
    """
    own = context.learned
    if not all(own.values()):
        raise ValueError(
            f"{name} is learned together with the weights, so the model must be made "
            "for it. Received: a model made for another score. Use "
            f"kip.prune(model, sparsity, score={name}())."
        )
    if context.step == 0:
        raise ValueError(
            f"{name} is learned during training, so pruning must not come before the "
            "first step. Received: no step made so far. Train for more steps or let "
            "the schedule begin later, as in kip.schedules.OneShot(sparsity, at=0.5) "
            "or kip.schedules.Gradual(sparsity, begin=0.1). If you prune by hand, "
            "train before you call prune_to."
        )
    return {key: own[key][0].numpy() for key in context.variables}
