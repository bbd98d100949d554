"""The compiled loss of a pruned model, evaluated at candidate weights."""

from collections.abc import Mapping

import keras

from keras_invprune.contracts import Tensor


class NotCompiledError(ValueError):
    """A loss is asked of a model that has not been compiled."""


def loss_at(model: keras.Model, values: Mapping[str, Tensor], batch: tuple) -> Tensor:
    """Return the compiled loss in evaluation mode, without a change of state.

    Args:
        model: `PrunedModel`.
        values: ``{key: tensor}`` that replace the weights to prune.
        batch: ``(x, y, sample_weight)``; the loss is the mean over its rows.

    Raises:
        NotCompiledError: If the model has not been compiled.
        ValueError: If there are no labels.
    """
    if not model.compiled:
        raise NotCompiledError("This score needs the loss: compile the model first.")
    x, y, sample_weight = batch
    if y is None and model.loss is not None:  # else Keras says what is missing
        raise ValueError(
            "This score needs labels and was given none. Call fit(x, y), or give the "
            "score examples=(x, y); 'logit_snip', 'synflow' and 'magnitude' need none."
        )
    variables = model.masked.prunable
    with keras.StatelessScope([(variables[k], value) for k, value in values.items()]):
        outputs = model.inner(x, training=False)
    # In this scope no metric is updated, and no losses of an earlier step are seen.
    with keras.StatelessScope([(v, v.value) for v in model.trainable_variables]):
        return model.compute_loss(
            x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=False
        )
