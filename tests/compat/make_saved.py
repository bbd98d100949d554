"""Trains and saves small pruned models: `python tests/compat/make_saved.py FOLDER`.

Run once with the code of a version, whose files are then kept: later versions must
load them, give the same outputs, and resume to the same weights (test_saved.py).
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_invprune as kip
from keras_invprune_lab.runs.run import Run, execute

EPOCHS, SAVED_AFTER = 6, 2
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def images():
    rng = np.random.default_rng(0)
    return rng.random((48, 8, 8, 1), "float32"), np.arange(48) % 3


def rows():
    rng = np.random.default_rng(1)
    return rng.normal(size=(48, 12)).astype("float32"), np.arange(48) % 3


def words():
    return np.random.default_rng(2).integers(1, 9, (48, 6)), np.arange(48) % 3


def convnet():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def mlp():
    inputs = keras.Input((12,))
    shared = layers.Dense(12, activation="relu", name="shared")
    inside = keras.Sequential(
        [keras.Input((12,)), layers.Dense(16), layers.LayerNormalization()], name="in"
    )
    outputs = layers.Dense(3)(inside(shared(shared(inputs))))
    return keras.Model(inputs, outputs)


def recurrent():
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 8),
            layers.LSTM(8),
            layers.Dropout(0.25, seed=3),
            layers.Dense(3),
        ]
    )


def nameless(weights, model):
    """A score that nobody registers: what was saved says so when it is used."""
    return {key: abs(weight) for key, weight in weights.items()}


def objective():
    view = kip.views.images(seed=1)
    return kip.Invariance((None, view), weight=0.5, temperature=0.5)


def rewire(sparsity):
    return kip.schedules.Rewire(sparsity, every=4)


# {name: (data, network, how it is pruned)}
CASES = {
    "invariance-images": (
        images,
        convnet,
        lambda m: kip.prune_for_invariance(m, 0.5, objective=objective()),
    ),
    "invariance-rows": (
        rows,
        mlp,
        lambda m: kip.prune_for_invariance(
            m,
            0.7,
            views=kip.views.ScarfCorruption(seed=1),
            allocation=kip.allocation.Shuffled(seed=2),
        ),
    ),
    "gradual": (
        images,
        convnet,
        lambda m: kip.prune(
            m, 0.5, schedule="gradual", pattern="units", allocation="uniform"
        ),
    ),
    "rigl": (
        rows,
        mlp,
        lambda m: kip.prune(m, 0.6, score="rigl", schedule=rewire(0.6)),
    ),
    "movement": (
        rows,
        mlp,
        lambda m: kip.prune(m, 0.6, score="movement", schedule="gradual"),
    ),
    "gumbel": (
        rows,
        mlp,
        lambda m: kip.prune(m, 0.6, score=kip.scores.GumbelSoftmax(seed=5)),
    ),
    "sr-ste": (
        rows,
        mlp,
        lambda m: kip.prune(
            m,
            0.5,
            score="sr_ste",
            pattern=kip.patterns.NByM(2, 4),
            schedule=rewire(0.5),
        ),
    ),
    "snip-lstm": (
        words,
        recurrent,
        lambda m: kip.prune(
            m,
            0.5,
            score="snip",
            allocation="erk",
            pattern=kip.patterns.Block((4, 1)),
            schedule="at_init",
        ),
    ),
    "held-back": (
        images,
        convnet,
        lambda m: kip.prune(
            m,
            0.8,
            allocation="lamp",
            schedule=kip.schedules.HoldBack(
                kip.schedules.Gradual(0.8), monitor="loss", mode="min", tolerance=0.5
            ),
            rewind="first_epoch",
        ),
    ),
    "own-score": (rows, mlp, lambda m: kip.prune(m, 0.8, score=nameless)),
}


class Stop(keras.callbacks.Callback):
    """Ends the training after some epochs, as an interruption does."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.after


def train(model, data, first, last):
    """The epochs from `first` to `last`, of a training of EPOCHS."""
    options = {"batch_size": 16, "epochs": EPOCHS, "shuffle": False, "verbose": 0}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training ended", UserWarning)
        model.fit(*data, initial_epoch=first, callbacks=[Stop(last)], **options)


def make_models(folder):
    """Saves each model in the middle; then goes on with what was loaded."""
    folder.mkdir(parents=True)
    for name, (data, network, prune) in CASES.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        pruned = prune(network())
        pruned.compile(keras.optimizers.SGD(0.05, momentum=0.9), LOSS)
        train(pruned, data(), 0, SAVED_AFTER)
        file = folder / f"{name}.keras"
        pruned.save(file)
        expected = {"saved": pruned.predict(data()[0], verbose=0)}
        if name != "own-score":
            expected |= resumed(file, data())
        np.savez_compressed(folder / f"{name}.npz", **expected)


def resumed(file, data):
    """What a model that is loaded from `file` becomes by the end of its training."""
    loaded = keras.saving.load_model(file)
    train(loaded, data, SAVED_AFTER, EPOCHS)
    final = kip.strip_pruning(loaded)
    zeros = [np.count_nonzero(w == 0) for w in final.get_weights()]
    return {"final": final.predict(data[0], verbose=0), "zeros": np.array(zeros)}


def make_run(folder):
    """An interrupted run, and the report of the same one with no interruption."""
    run = Run("sklearn:wine", epochs=4, model="mlp-tab", width=16)

    def interrupt(task, done, total):
        if done == SAVED_AFTER:
            raise KeyboardInterrupt

    try:
        execute(run, folder / "run", show=interrupt)
    except KeyboardInterrupt:
        for board in (folder / "run.part" / "tensorboard").rglob("events*"):
            board.unlink()
    with tempfile.TemporaryDirectory() as whole:
        report = execute(run, Path(whole) / "run")["report"]
    (folder / "run.json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    make_models(Path(sys.argv[1]))
    make_run(Path(sys.argv[1]))
