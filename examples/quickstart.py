"""The five lines on scikit-learn's handwritten digits. It takes about a minute.

python examples/quickstart.py [folder for the exported files]
"""

import sys

import keras

import keras_invprune as kip
from keras_invprune_lab.data import digits

data = digits()
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(256, activation="relu"),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)

pruned = kip.prune_for_invariance(model, sparsity=0.9)
pruned.compile(
    keras.optimizers.SGD(0.1, momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
pruned.fit(data.x_train, data.y_train, epochs=40, verbose=2)
final = kip.strip_pruning(pruned)
folder = sys.argv[1] if len(sys.argv) > 1 else "saved_models/quickstart"
report = kip.export(final, folder, data=(data.x_test, data.y_test))

print(f"test accuracy {report.accuracy:.4f}, zeros {pruned.sparsity:.1%}")
for name, file in report.files.items():
    print(
        f"{name:12} {file['bytes']:>8,} bytes, differs by {file['max_abs_error']:.1e}"
    )
