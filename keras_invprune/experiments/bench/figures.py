"""What is reported of a run's best network."""

import numpy as np

from keras_invprune import views
from keras_invprune.consistency import consistency
from keras_invprune.experiments.bench.metrics import scores
from keras_invprune.weights import prunable_weights, weights_by_key

SHOWN = 64  # filters kept for a picture


def figures(job, model, selecting, data) -> dict:
    """What is reported of the best epoch's network."""
    validation = scores(selecting.outputs(data.x_valid), data.y_valid)
    found = {
        "best_epoch": selecting.best,
        "validation": validation,
        "test": scores(selecting.outputs(data.x_test), data.y_test),
        "consistency": consistency(
            model, data.x_valid, _kinds(data, job.seed), seed=job.seed
        ),
    }
    inner, masks = getattr(model, "inner", model), getattr(model, "masks", {})
    weights = weights_by_key(inner)
    trained = {
        k: w.variable.numpy() for k, w in weights.items() if w.variable.trainable
    }
    for key, mask in masks.items():
        trained[key] = trained[key] * mask.numpy()
    nonzero = {key: int(np.count_nonzero(value)) for key, value in trained.items()}
    total = sum(value.size for value in trained.values())
    kernels = prunable_weights(inner)
    return found | {
        "weights": {"total": total, "nonzero": sum(nonzero.values())},
        "densities": {key: nonzero[key] / trained[key].size for key in kernels},
    }


def first_filters(model, data) -> np.ndarray:
    """The first layer's units of largest norm, each in the shape of its input.

    Returns:
        float16: [units, height, width, channels] for images, [units, features].
    """
    inner, masks = getattr(model, "inner", model), getattr(model, "masks", {})
    key, kernel = next(iter(prunable_weights(inner).items()))
    values = kernel.numpy() * (masks[key].numpy() if key in masks else 1)
    if values.ndim == 2 and len(values) == np.prod(data.x_train.shape[1:]):
        values = values.reshape(*data.x_train.shape[1:], -1)
    units = np.moveaxis(values, -1, 0)
    norms = np.square(units.reshape(len(units), -1)).sum(axis=1)
    return units[np.argsort(-norms, kind="stable")[:SHOWN]].astype("float16")


def _kinds(data, seed) -> dict:
    """The transforms that consistency is measured under, one at a time."""
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
