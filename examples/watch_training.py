"""Shows pruning in TensorBoard: losses, sparsity, masks as pictures.

    python examples/watch_training.py [--epochs 20] [--out runs/tensorboard]

Needs `pip install '.[demo]'` for scikit-learn's handwritten digits.
"""

import argparse

import keras

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--out", default="runs/tensorboard")
arguments = parser.parse_args()

data = digits()
pruned = kip.prune_for_invariance(mlp((8, 8, 1), data.classes, (128, 64)), 0.9)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
pruned.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
boards = [
    keras.callbacks.TensorBoard(arguments.out),  # numbers: losses, accuracy, sparsity
    kip.PruningBoard(arguments.out, data=(data.x_test, data.y_test)),  # pictures
]
pruned.fit(
    data.x_train, data.y_train, epochs=arguments.epochs, verbose=2, callbacks=boards
)
print(f"Now look: tensorboard --logdir {arguments.out}")
