"""The demo: a dense network and its pruned twin on scikit-learn's digits."""

from functools import partial

import keras

from keras_invprune import views
from keras_invprune.exporting.export import export
from keras_invprune.exporting.folders import check_room, replacing, write_report
from keras_invprune.pruning.invariance import prune_for_invariance
from keras_invprune.pruning.prune import strip_pruning
from keras_invprune.reporting.consistency import consistency
from keras_invprune.reporting.report import milliseconds
from keras_invprune.reporting.tensorboard import PruningBoard
from keras_invprune.schedules import check_sparsity
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp
from keras_invprune_lab.training.checkpoint import state_size
from keras_invprune_lab.training.loop import telling
from keras_invprune_lab.training.optimizers import optimizer_for

SCHEMA = "keras_invprune/demo/1"
UNITS = (256, 128)
EPOCHS = 60
BATCH = 32


def run_demo(out, *, sparsity=0.9, seed=0, epochs=EPOCHS, show=lambda *_: None) -> dict:
    """Train both networks for the same number of epochs, export and compare them.

    Args:
        out: Folder for ``dense/``, ``pruned/``, ``tensorboard/`` and ``report.json``.
        sparsity: Share of the prunable weights to remove.
        seed: Seed of the split, the weights and the views.
        epochs: Epochs of each network; the pruned one searches for half of them.
        show: ``show(task, done, total)``, called after each epoch.

    Returns:
        The report, also written to ``report.json``.

    Raises:
        ValueError: If `sparsity` is not in [0, 1).
        OSError: If `out` is a file, holds something else, or cannot be written.
    """
    check_sparsity(sparsity)
    data = digits(seed)
    keras.utils.set_random_seed(seed)
    dense = mlp(data.x_train.shape[1:], data.classes, UNITS, name="digits")
    pruned = prune_for_invariance(dense, sparsity)
    check_room(out, 4 * state_size(pruned))
    with replacing(out) as new:
        boards = [
            keras.callbacks.TensorBoard(new / "tensorboard", write_graph=False),
            PruningBoard(new / "tensorboard", (data.x_test, data.y_test)),
        ]
        told = telling(partial(show, "dense network"), epochs)
        _train(dense, data, epochs, epochs, [told])
        told = telling(partial(show, "search, prune, fine-tune"), epochs)
        _train(pruned, data, epochs, -(-epochs // 2), [told, *boards])
        report = {"seed": seed, "epochs": epochs, "files": {}}
        for name, model in (("dense", dense), ("pruned", strip_pruning(pruned))):
            made = export(model, new / name, data=(data.x_test, data.y_test))
            report[name] = _measure(model, new / name, made.files, data, seed)
            for file, found in made.files.items():
                report["files"][f"{name}/{file}"] = found
        kernel_mask = next(iter(pruned.masks.values())).numpy()
        used = kernel_mask.mean(axis=1).reshape(data.x_train.shape[1:3])
        report["dense"]["sparsity"] = 0.0
        report["pruned"]["sparsity"] = pruned.sparsity
        report["pruned"]["inputs_used"] = used.round(4).tolist()
        return write_report(new, SCHEMA, report)


def _train(model, data, epochs, phase, callbacks):
    steps = phase * -(-len(data.x_train) // BATCH)
    model.compile(
        optimizer_for(data.x_train.shape[1:], steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
    )


def _measure(model, folder, files, data, seed) -> dict:
    kinds = {
        "shift": views.RandomShift(0.125, seed=seed),
        "scale": views.RandomScale((0.8, 1.2), seed=seed),
        "rotation": views.RandomRotation(15, seed=seed),
    }
    shares = consistency(model, data.x_test, kinds, data.y_test)
    accuracy = shares.pop("accuracy")
    tflite = files["model.tflite"]
    times = milliseconds(folder / "model.tflite", model, data.x_test)
    return {
        "test_accuracy": accuracy,
        "consistency": shares,
        "tflite_bytes": tflite["bytes"],
        "tflite_gzip_bytes": tflite["gzip_bytes"],
        "tflite_ms": times["median"],
    }
