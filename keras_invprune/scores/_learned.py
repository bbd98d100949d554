"""What a method learns about each weight while the network is trained."""

from keras_invprune.contracts import ScoreContext


def learned(context: ScoreContext, name: str) -> dict:
    """``{key: array}`` of the first of its own weights that a method has made.

    Args:
        context: Of the network.
        name: The score's, for messages.

    Raises:
        ValueError: The model was made for another score, or nothing is learned yet.
    """
    own = context.learned
    if not all(own.values()):
        raise ValueError(
            f"{name} is learned along with the weights, so the model must be made for "
            f"it: kip.prune(model, sparsity, score={name}()). Received: a model made "
            "for another score."
        )
    if context.step == 0:
        raise ValueError(
            f"{name} is learned while the network is trained, and no step has been "
            "made when it is asked for the first time. Train for more steps, or let "
            "the schedule begin later: kip.schedules.OneShot(sparsity, at=0.5), or "
            "kip.schedules.Gradual(sparsity, begin=0.1); by hand, train before you "
            "call prune_to."
        )
    return {key: own[key][0].numpy() for key in context.variables}
