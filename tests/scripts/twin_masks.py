"""Trains twins, ours in Keras 3 and TF-MOT's in tf_keras, and records all masks.

Both are given the same weights before each step, without ties, so that the masks of
one update cannot depend on how the other trained. Writes to the file named as
argument, for each of `CASES`, "case/ours/0", "case/theirs/0", ...: the masks of each
prunable weight after each step.
"""

import sys

import keras
import numpy as np
import tf_keras

import keras_invprune as kip
from keras_invprune.tfmot import sparsity as tfmot

EPOCHS, STEPS = 3, 4

Constant, Polynomial = tfmot.ConstantSparsity, tfmot.PolynomialDecay
CASES = {
    # 225 and 75 weights: halves are rounded, up and down to even.
    "every_step": ("dense", Constant(0.5, 0, frequency=1), None),
    "with_end": ("conv", Constant(0.9, 4, 8, frequency=2), None),
    # 54 weights, and 196 below: halves, which the last bit of a power decides.
    "cubic": ("dense", Polynomial(0.1, 0.5, 0, 6, frequency=1), None),
    "square": ("lstm", Polynomial(0.5, 0.9, 1, 9, power=2, frequency=2), None),
    "blocks": ("blocks", Polynomial(0.0, 0.8, 0, 9, frequency=3), (4, 2)),
}


def layers_of(library, kind):
    layer = library.layers
    return {
        "dense": lambda: [
            layer.Input((6,)),
            layer.Dense(9),
            layer.Dense(25),
            layer.Dense(3),
        ],
        "conv": lambda: [
            layer.Input((6, 6, 3)),
            layer.Conv2D(5, 3),
            layer.SeparableConv2D(7, 3),
            layer.Flatten(),
            layer.Dense(3),
        ],
        "lstm": lambda: [layer.Input((3, 5)), layer.LSTM(7), layer.Dense(3)],
        "blocks": lambda: [layer.Input((12,)), layer.Dense(8), layer.Dense(6)],
    }[kind]()


def tie_free(shape, seed):
    generator = np.random.default_rng(seed)
    size = np.prod(shape)
    magnitudes = (1 + generator.permutation(size)) / size
    signs = generator.choice([-1, 1], size)
    return (signs * magnitudes).reshape(shape).astype("float32")


def recorder(library, weights, masks):
    """A callback that records the masks of each step, then sets the next weights."""

    class Recorder(library.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.step = 0
            self.records = [[] for _ in masks]
            self.set_weights()

        def set_weights(self):
            for index, weight in enumerate(weights):
                weight.assign(tie_free(tuple(weight.shape), [self.step, index]))

        def on_train_batch_end(self, batch, logs=None):
            for record, mask in zip(self.records, masks, strict=True):
                record.append(mask.numpy().astype(bool))
            self.step += 1
            self.set_weights()

        def on_epoch_end(self, epoch, logs=None):
            self.set_weights()  # both multiply theirs by the masks at the end

    return Recorder()


def train(model, input_shape, library, callbacks, **options):
    shape = (2 * STEPS, *input_shape[1:])
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    y = np.arange(len(x)) % 3
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, **options)
    model.fit(
        x, y, batch_size=2, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=callbacks
    )


def our_masks(kind, schedule, block):
    model = keras.Sequential(layers_of(keras, kind))
    pruned = kip.prune(
        model,
        kip.schedules.final_sparsity(schedule),
        allocation="uniform",
        pattern=block and kip.patterns.Block(block),
        schedule=schedule,
        select=lambda key, layer: "depthwise" not in key,
    )
    pruned.input_shape = model.input_shape
    record = recorder(
        keras, list(pruned.masked.prunable.values()), list(pruned.masks.values())
    )
    callbacks = [kip.callbacks.PruningCallback(), record]
    train(pruned, model.input_shape, keras, callbacks, run_eagerly=True)
    return record.records


def their_masks(kind, schedule, block):
    model = tfmot.prune_low_magnitude(
        tf_keras.Sequential(layers_of(tf_keras, kind)),
        pruning_schedule=schedule,
        block_size=block or (1, 1),
    )
    weights, masks, _ = zip(
        *(found for layer in model.layers for found in layer.pruning_vars), strict=True
    )
    record = recorder(tf_keras, weights, masks)
    train(model, model.input_shape, tf_keras, [tfmot.UpdatePruningStep(), record])
    return record.records


def main(path):
    arrays = {}
    for name, case in CASES.items():
        for who, make in (("ours", our_masks), ("theirs", their_masks)):
            for index, record in enumerate(make(*case)):
                arrays[f"{name}/{who}/{index}"] = np.array(record)
    np.savez(path, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
