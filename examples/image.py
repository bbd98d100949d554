"""Prunes a network for MNIST from TensorFlow Datasets, with views chosen by hand.

    python examples/image.py [--epochs 20] [--rows 60000] [--out FOLDER]

Needs `pip install '.[data]'`; set TFDS_DATA_DIR to use a prepared copy.
"""

import argparse

import keras

import keras_invprune as kip
from keras_invprune_lab.data import tfds_images
from keras_invprune_lab.models import mlp

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--rows", type=int, default=60000, help="training rows to use")
parser.add_argument("--out", default="saved_models/mnist")
arguments = parser.parse_args()

data = tfds_images("mnist")
x, y = data.x_train[: arguments.rows], data.y_train[: arguments.rows]
views = keras.layers.Pipeline(
    [
        kip.views.RandomShift(0.1),
        kip.views.RandomScale((0.9, 1.1)),
        kip.views.RandomRotation(10),
    ]
)
pruned = kip.prune_for_invariance(mlp((28, 28, 1), 10), sparsity=0.95, views=views)
pruned.compile(
    keras.optimizers.SGD(0.1, momentum=0.9),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
pruned.fit(x, y, batch_size=128, epochs=arguments.epochs, verbose=2)
final = kip.strip_pruning(pruned)

views = {
    "shift": kip.views.RandomShift(0.1, seed=0),
    "rotation": kip.views.RandomRotation(15, seed=0),
}
print("consistency:", kip.consistency(final, data.x_test, views, data.y_test))
report = kip.export(final, arguments.out, data=(data.x_test, data.y_test))
print("test accuracy:", report.accuracy, "files:", sorted(report.files))
