"""The compiled loss of a pruned model at weights that it does not have yet."""

from collections.abc import Mapping

import keras

from keras_invprune.contracts import Tensor


def loss_at(model: keras.Model, values: Mapping[str, Tensor], batch: tuple):
    """Returns the compiled loss in evaluation mode; no state changes.

    Args:
        model: `PrunedModel`.
        values: ``{key: tensor}`` in the place of the weights to prune.
        batch: ``(x, y, sample_weight)``, over whose rows the loss is the mean.

    Raises:
        ValueError: If the model has not been compiled, or there are no labels.
    """
    if not model.compiled:
        raise ValueError("This score needs the loss: compile the model first.")
    x, y, sample_weight = batch
    if y is None and model.loss is not None:  # else Keras says what is missing
        raise ValueError(
            "This score reads labels, and was given none. Give fit(x, y), or the score "
            "its examples=(x, y); 'logit_snip', 'synflow' and 'magnitude' read none."
        )
    variables = model.masked.prunable
    with keras.StatelessScope([(variables[k], value) for k, value in values.items()]):
        outputs = model.inner(x, training=False)
    # Neither counts in the metrics of several losses nor sees what a step has left.
    with keras.StatelessScope([(v, v.value) for v in model.trainable_variables]):
        return model.compute_loss(
            x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=False
        )
