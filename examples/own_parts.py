"""Your own score and views are plain functions and need no registration.

    python examples/own_parts.py [--epochs 20]

Needs `pip install '.[demo]'` for scikit-learn's handwritten digits.
"""

import argparse

import keras
import numpy as np

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs
data = digits()


def weight_times_input(weights, model):
    """Score |w| times the norm of the weight's input (Wanda), on 256 training rows."""
    x = data.x_train[:256].reshape(256, -1)
    scores = {}
    for key, weight in weights.items():
        scores[key] = np.abs(weight) * np.linalg.norm(x, axis=0)[:, None]
        bias = model.inner.get_layer(key.split("/")[0]).bias.numpy()
        x = np.maximum(x @ weight + bias, 0)
    return scores


def noise(images):
    """Return a view of the images; this runs inside the training step."""
    return images + keras.random.normal(keras.ops.shape(images), stddev=0.1)


pruned = kip.prune(
    mlp((8, 8, 1), data.classes, (128, 64)),
    0.9,
    objective=kip.Invariance(views=noise, weight=0.5),
    score=weight_times_input,
    rewind="first_epoch",
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
pruned.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
pruned.fit(data.x_train, data.y_train, epochs=epochs, verbose=2)

views = {"noise": noise}
found = kip.consistency(kip.strip_pruning(pruned), data.x_test, views, data.y_test)
print(f"test accuracy {found['accuracy']:.4f}, same answer: {found['noise']:.2%}")
