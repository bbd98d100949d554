"""Makes the model of this folder again, with its card.

    python saved_models/build.py [--epochs 80] [--out saved_models]

Needs `pip install '.[demo]'` for scikit-learn's handwritten digits.
"""

import argparse
from pathlib import Path

import keras

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

SPARSITY, SEED, UNITS = 0.8, 0, (64, 32)
CARD = """# digits: a pruned classifier of handwritten digits

| | |
|---|---|
| input | 8 x 8 grey images, float32 in [0, 1], shape [n, 8, 8, 1] |
| output | 10 logits |
| network | {units} ReLU units; {zeros:,} of {total:,} kernel weights are zero |
| data | scikit-learn's digits (UCI, 1,797 images), seed {seed} |
| accuracy on the quarter held out | {accuracy:.2%} (before pruning: {dense:.2%}) |
| same answer after a shift of 1/8 | {shift:.2%} (before pruning: {dense_shift:.2%}) |
| training | {epochs} epochs dense, {epochs} epochs pruned; once, so no spread |
| made by | `make saved-model` |

| file | bytes | gzip | greatest difference from Keras |
|---|---|---|---|
{files}

`digits/report.json` has the checksums, and the versions that wrote the files. Made to
show the formats and to test that they load; 8 x 8 scans are not enough for real use.
"""


def train(model, data, epochs):
    """Train a network, dense or pruned, in the same way."""
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(data.x_train, data.y_train, batch_size=32, epochs=epochs, verbose=0)


def measure(model, data):
    """Return the accuracy and the agreement across shifts."""
    views = {"shift": kip.views.RandomShift(0.125, seed=SEED)}
    return kip.consistency(model, data.x_test, views, data.y_test)


def card(report, found, dense, epochs):
    """Return the text of the model card."""
    files = "\n".join(
        f"| digits/{name} | {file['bytes']:,} | {file['gzip_bytes']:,} | "
        f"{file['max_abs_error']:.1e} |"
        for name, file in report.files.items()
    )
    weights = report.weights
    return CARD.format(
        units=" and ".join(map(str, UNITS)),
        zeros=weights["zeros"],
        total=weights["total"],
        seed=SEED,
        accuracy=found["accuracy"],
        shift=found["shift"],
        dense=dense["accuracy"],
        dense_shift=dense["shift"],
        epochs=epochs,
        files=files,
    )


def main():
    """Trains, exports, writes the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    data = digits(SEED)
    keras.utils.set_random_seed(SEED)
    model = mlp((8, 8, 1), data.classes, UNITS, name="digits")
    train(model, data, arguments.epochs)
    pruned = kip.prune_for_invariance(model, SPARSITY)  # keeps what was trained
    train(pruned, data, arguments.epochs)
    final = kip.strip_pruning(pruned)
    folder = arguments.out / "digits"
    report = kip.export(final, folder, data=(data.x_test, data.y_test))
    text = card(report, measure(final, data), measure(model, data), arguments.epochs)
    (arguments.out / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
