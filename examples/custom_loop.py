"""Search, pruning, rewinding and fine-tuning in your own training loop.

    python examples/custom_loop.py [--epochs 20]

Needs `pip install '.[demo]'` for scikit-learn's handwritten digits.
"""

import argparse

import keras
import tensorflow as tf

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs

data = digits()
rows = tf.data.Dataset.from_tensor_slices((data.x_train, data.y_train))
rows = rows.shuffle(len(data.x_train), seed=0).batch(32, drop_remainder=True)

pruned = kip.prune_for_invariance(mlp((8, 8, 1), data.classes, (128, 64)), 0.9)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
# Compile the model with the loop's optimizer, because rewinding resets it.
pruned.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss=loss)

# This callback decides when to prune. Call it as `fit` would.
pruning = kip.callbacks.PruningCallback()
pruning.set_model(pruned)
pruning.set_params({"epochs": epochs, "steps": len(rows)})


@tf.function
def step(x, y, phase):
    """Make one training step; it is traced once for each phase."""
    with tf.GradientTape() as tape:
        searching, _ = phase
        if searching:
            value = pruned.search_loss(x, y).total  # L_SUP + λ·L_NCE
        else:
            value = loss(y, pruned(x, training=True)) + sum(pruned.losses)
    variables = pruned.trainable_variables
    pruned.optimizer.apply(tape.gradient(value, variables), variables)
    pruned.count_step()
    return value


pruning.on_train_begin()
for epoch in range(epochs):
    mean = keras.metrics.Mean()
    pruning.on_epoch_begin(epoch)
    for batch, (x, y) in enumerate(rows):
        pruning.on_train_batch_begin(batch)
        mean.update_state(step(x, y, pruned.phase))
    pruning.on_epoch_end(epoch)
    print(f"epoch {epoch + 1}: loss {mean.result():.4f}, zeros {pruned.sparsity:.1%}")
pruning.on_train_end()

final = kip.strip_pruning(pruned)
views = {"shift": kip.views.RandomShift(0.1)}
found = kip.consistency(final, data.x_test, views, data.y_test)
print(f"test accuracy {found['accuracy']:.4f}")
