"""Prunes a trained network gradually, without destroying what it has learned.

    python examples/pretrained.py [MODEL.keras] [--epochs 40]

Without a file, it trains a network first. Needs `pip install '.[demo]'` for
scikit-learn's handwritten digits.
"""

import argparse

import keras

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

parser = argparse.ArgumentParser()
parser.add_argument("model", nargs="?", help="takes 8 x 8 digits, gives 10 logits")
parser.add_argument("--epochs", type=int, default=40)
arguments = parser.parse_args()

data = digits()
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
if arguments.model:
    model = keras.saving.load_model(arguments.model, compile=False)
else:
    model = mlp((8, 8, 1), data.classes, (128, 64))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    model.fit(data.x_train, data.y_train, epochs=20, verbose=0)

# There is no small initialization; kept weights return to the given values.
pruned = kip.prune_for_invariance(model, sparsity=0.8, pretrained=True)
pruned.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
pruned.fit(data.x_train, data.y_train, epochs=arguments.epochs, verbose=2)

for name, one in {"before": model, "after": kip.strip_pruning(pruned)}.items():
    accuracy = kip.consistency(one, data.x_test, {}, data.y_test)["accuracy"]
    print(f"{name}: test accuracy {accuracy:.4f}")
