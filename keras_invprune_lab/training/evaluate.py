"""What is reported of a run's best network."""

import numpy as np

from keras_invprune import views
from keras_invprune.contracts import unwrapped
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.reporting.consistency import consistency
from keras_invprune_lab.training.metrics import scores

SHOWN = 64  # filters kept for a picture


def figures(job, model, selecting, data, *, moved=True) -> dict:
    """Return what is reported of the best epoch's network.

    Where nothing is left of a layer, signals cannot pass and gradients may overflow;
    the report names such layers, and has no consistency of outputs that are NaN.

    Args:
        job: `Job`.
        model: The network.
        selecting: `Selecting`, with the best epoch.
        data: `Data`.
        moved: Whether consistency under views is measured, which may take longer than
            the training of a small network.
    """
    tested = selecting.outputs(data.x_test)
    validated = selecting.outputs(data.x_valid)
    nonzero, size = _counts(model)
    inner, masks = unwrapped(model)
    kernels = masks or prunable_weights(inner)
    densities = {key: nonzero[key] / size[key] for key in kernels}
    collapsed = [key for key, share in densities.items() if not share]
    agreement, finite = {}, np.isfinite(validated).all() and np.isfinite(tested).all()
    if not (finite or collapsed):
        raise ValueError(
            "The best network's outputs are not finite: training has diverged. Lower "
            "the optimizer's rate."
        )
    if finite and moved:
        kinds = _kinds(data, job.seed)
        agreement = consistency(model, data.x_valid, kinds, seed=job.seed)
    return {
        "best_epoch": selecting.best,
        "validation": scores(validated, data.y_valid),
        "test": scores(tested, data.y_test),
        "consistency": agreement,
        "weights": {"total": sum(size.values()), "nonzero": sum(nonzero.values())},
        "densities": densities,
        "collapsed": collapsed,
    }


def _counts(model) -> tuple[dict, dict]:
    """Count nonzero and all values of each trained weight, by key."""
    inner, masks = unwrapped(model)
    nonzero, size = {}, {}
    for key, weight in weights_by_key(inner).items():
        if weight.variable.trainable:
            values = weight.variable.numpy()
            kept = masks[key].numpy() if key in masks else 1
            nonzero[key] = int(np.count_nonzero((values != 0) * kept))
            size[key] = values.size
    return nonzero, size


def first_filters(model, data) -> np.ndarray:
    """Return the first layer's units of largest norm, each in the shape of its input.

    Returns:
        float16: [units, height, width, channels] for images, [units, features].
    """
    inner, masks = unwrapped(model)
    key, kernel = next(iter(prunable_weights(inner).items()))
    values = kernel.numpy() * (masks[key].numpy() if key in masks else 1)
    if values.ndim == 2 and len(values) == np.prod(data.x_train.shape[1:]):
        values = values.reshape(*data.x_train.shape[1:], -1)
    units = np.moveaxis(values, -1, 0)
    norms = np.square(units.reshape(len(units), -1)).sum(axis=1)
    return units[np.argsort(-norms, kind="stable")[:SHOWN]].astype("float16")


def _kinds(data, seed) -> dict:
    """Return the transforms that consistency is measured under, one at a time."""
    if data.x_train.ndim != 4:
        return {"scarf": (None, views.ScarfCorruption(seed=seed))}
    if data.x_train.shape[-1] == 3:
        return dict(
            zip(
                ("resized_crop", "horizontal_flip", "color_jitter", "grayscale"),
                views.natural_images(seed).layers,
                strict=True,
            )
        )
    return dict(
        zip(("shift", "scale", "rotation"), views.images(seed).layers, strict=True)
    )
