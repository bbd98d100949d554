"""Prunes on several devices, with everything inside the strategy's scope.

    python examples/mirrored.py [--epochs 10]

It uses all GPUs. Without GPUs, it uses two logical CPUs. Needs `pip install '.[demo]'`
for scikit-learn's handwritten digits.
"""

import argparse

import keras
import tensorflow as tf

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=10)
epochs = parser.parse_args().epochs

if tf.config.list_physical_devices("GPU"):
    strategy = tf.distribute.MirroredStrategy()
else:
    (cpu,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

data = digits()
with strategy.scope():
    pruned = kip.prune_for_invariance(mlp((8, 8, 1), data.classes, (128, 64)), 0.9)
    # XLA cannot read a variable of another replica.
    pruned.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    rows = tf.data.Dataset.from_tensor_slices((data.x_train, data.y_train))
    batches = rows.shuffle(len(data.x_train), seed=0).batch(64, drop_remainder=True)
    pruned.fit(batches, epochs=epochs, verbose=2, shuffle=False)
final = kip.strip_pruning(pruned)
found = kip.consistency(final, data.x_test, {}, data.y_test)
print(f"{strategy.num_replicas_in_sync} replicas, accuracy {found['accuracy']:.4f}")
