"""The paper's method in one call: small initialization, search, prune, rewind."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_invprune import tfmot
from keras_invprune.allocation import Budget
from keras_invprune.contracts import Views
from keras_invprune.graph.inputs import input_tensors
from keras_invprune.objectives import Invariance
from keras_invprune.pruning.checks import check_model
from keras_invprune.pruning.initializers import default_scale, is_fresh
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.pruning.prune import prune
from keras_invprune.saving import did_you_mean, near_names
from keras_invprune.schedules import check_sparsity
from keras_invprune.views.image_view import ImageView


def prune_for_invariance(
    model: keras.Model,
    sparsity: float | Budget = 0.9,
    *,
    views: Views | None = None,
    pretrained: bool | None = None,
    rewind: str | None = "first_epoch",
    initial_scale: float | tuple[float, str] | None = None,
    **choices: Any,
) -> PrunedModel:
    """Prune for the invariances in the data (IUNet).

    One ``fit()`` runs the whole method: small initialization, a search with
    L_SUP + λ·L_NCE on two views of each batch, one-shot global magnitude pruning,
    rewinding, and fine-tuning with L_SUP alone. Half of the epochs search and half
    fine-tune, unless `schedule` says otherwise.

    Args:
        model: A built Keras 3 model, which is not changed.
        sparsity: Share of the prunable weights to remove, in [0, 1), or a `Budget`.
        views: Positive pairs; None for those that suit the input: images or rows.
        pretrained: Whether the weights are worth keeping. If so, there is no small
            initialization, pruning is gradual, and surviving weights are rewound to
            the given ones. None: True if the model has been trained.
        rewind: "first_epoch", "initial", "unscaled" or None. For a pretrained model
            "first_epoch" means "initial": the given weights. If the first epoch has
            not ended when the model is pruned, it means "initial" as well.
        initial_scale: κ. None: 1 for a trained model; for a fresh one 0.5 if the
            inputs are images, else 0.25 if the model has normalization, else 1.
        **choices: Further arguments of `prune`, e.g. ``schedule``, ``select``, or
            ``objective=Invariance(...)`` instead of `views`.

    Returns:
        `PrunedModel`.

    Example:
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((8,)),
        ...         keras.layers.Dense(16, "relu"),
        ...         keras.layers.Dense(2),
        ...     ]
        ... )
        >>> pruned = prune_for_invariance(model, sparsity=0.75)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> pruned.compile("adam", loss)
        >>> x, y = np.random.rand(64, 8), np.arange(64) % 2
        >>> history = pruned.fit(x, y, epochs=4, verbose=0)
        >>> history.history["sparsity"]
        [0.0, 0.0, 0.75, 0.75]

    Raises:
        ValueError: If `prune` raises it, or if the views do not fit the input.
        TypeError: If `model` is not a Keras 3 model, or an argument is unknown.

    Source:
        Xu, Sun, Wang: Unveiling Invariances via Neural Network Pruning
        (2309.08171), the five steps, and the authors' code.
    """
    _check_known(choices)
    if tfmot.is_tf_keras(model):
        raise TypeError(
            "The search is for Keras 3 models, and this is a tf_keras model. Use "
            "kip.prune(model, sparsity), which makes masks from its weights, or build "
            "the model with Keras 3."
        )
    if views is not None and "objective" in choices:
        raise ValueError(
            "Pass `views` or `objective`, not both: Invariance(views=...) holds views."
        )
    choices.setdefault("objective", None)
    if choices["objective"] is None:
        choices["objective"] = Invariance(views)
    if not isinstance(sparsity, Budget):
        check_sparsity(sparsity)
    check_model(model)
    if pretrained is None:
        pretrained = not is_fresh(model)
    if pretrained:
        choices.setdefault("schedule", "gradual")
        rewind = "initial" if rewind == "first_epoch" else rewind
    if initial_scale is None:
        ranks = [len(tensor.shape) for tensor in input_tensors(model) or ()]
        images = ranks == [ImageView.rank]
        initial_scale = 1.0 if pretrained else default_scale(model, images)
    return prune(model, sparsity, rewind=rewind, initial_scale=initial_scale, **choices)


def _check_known(choices: Mapping[str, Any]) -> None:
    """Raise TypeError for arguments that `prune_for_invariance` does not have."""
    known = list(inspect.signature(prune_for_invariance).parameters)[:-1]
    known += inspect.signature(prune).parameters
    unknown = [name for name in choices if name not in known]
    if unknown:
        hint = did_you_mean(near_names(unknown[0], known))
        if unknown[0] in inspect.signature(Invariance).parameters:
            hint = f" Pass objective=kip.Invariance({unknown[0]}=...)."
        raise TypeError(
            f"prune_for_invariance() has no argument {unknown[0]!r}.{hint} It takes "
            f"{', '.join(dict.fromkeys(known))}."
        )
