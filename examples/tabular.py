"""Prunes for an OpenML table; views take features from other rows (SCARF).

    python examples/tabular.py [--dataset openml:credit-g] [--epochs 30]

Needs `pip install '.[data]'`; set OPENML_CACHE_DIR to use a prepared cache.
"""

import argparse

import keras

import keras_invprune as kip
from keras_invprune_lab.data import load
from keras_invprune_lab.models import get_model

parser = argparse.ArgumentParser()
parser.add_argument("--dataset", default="openml:credit-g")
parser.add_argument("--epochs", type=int, default=30)
arguments = parser.parse_args()

data = load(arguments.dataset)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
reports = {}
for name in ("dense", "pruned"):
    model = get_model("mlp-rows", data)
    if name == "pruned":
        model = kip.prune_for_invariance(model, 0.9)  # rows: SCARF is the default
    adam = keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    model.compile(adam, loss, metrics=["accuracy"])
    model.fit(
        data.x_train, data.y_train, epochs=arguments.epochs, batch_size=64, verbose=0
    )
    final = model if name == "dense" else kip.strip_pruning(model)
    reports[name] = kip.report(final, (data.x_test, data.y_test))
print(kip.compare(reports))
