"""How small do LeNet-300-100 and LeNet-5 get as packed files at 98 and 99 % accuracy?

    python benchmarks/packed.py [--network lenet-300-100] [--seeds 0 1 2]
    python benchmarks/packed.py --network lenet-5 --epochs 30
    python benchmarks/packed.py --held-out --sparsity 0.98 0.99 --bits 2 3 4

IUNet prunes gradually, the head included, while it trains on MNIST. The plain network
is then trained on with its masks fixed and with its weights on a grid, whose steps are
learned (LSQ, 1902.08153): kernels with `--bits`, biases with `--bias-bits`. `kip.pack`
writes it without loss. The accuracy is that of the unpacked file on the test images.
"post" rows are what `kip.pack(model, bits=...)` makes of the pruned network without
further training.

The settings were chosen with `--held-out`, where the last 10,000 training images
replace the test images. Nothing is selected in a run; the last epoch counts. Rows of
finished seeds in the CSV file are not measured again. Pruned networks stay in --folder.
"""

import argparse
import functools
from pathlib import Path

import keras
import numpy as np
from ledger import finished, kept, write
from mnist_lenet import BATCH, without_test

import keras_invprune as kip
from keras_invprune_lab.data import tfds_images
from keras_invprune_lab.models import get_model
from keras_invprune_lab.training.optimizers import optimizer_for

SPARSITY = {"lenet-300-100": 0.98, "lenet-5": 0.99}
FINE_RATE, FINE_EPOCHS = 0.03, 15
FIELDS = (
    *("network", "rows", "seed", "sparsity", "epochs", "bits", "bias_bits", "how"),
    *("bytes", "entropy_bytes", "over_entropy", "mask_bytes", "value_bytes"),
    *("text_bytes", "nonzeros", "accuracy", "accuracy_pruned", "dense_bytes"),
)


def key_of(row) -> tuple:
    """Return what is measured at once."""
    return tuple(str(row[field]) for field in FIELDS[:7])


def compiled(model, shape, steps, rate=None):
    """Compile a model for a training of so many steps."""
    model.compile(
        optimizer_for(shape, steps, rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=67,
    )
    return model


def pruned(data, network, seed, sparsity, epochs):
    """Return a network that was pruned while it was trained."""
    keras.utils.set_random_seed(seed)
    model = get_model(network, data)
    model = kip.prune_for_invariance(
        model,
        sparsity,
        schedule=kip.schedules.Gradual(sparsity, begin=0.1, end=0.6, updates=25),
        rewind=None,
        select=lambda key, layer: True,
    )
    steps = epochs * -(-len(data.x_train) // BATCH)
    compiled(model, data.x_train.shape[1:], steps)
    fit = {"batch_size": BATCH, "epochs": epochs, "verbose": 2}
    model.fit(data.x_train, data.y_train, **fit)
    return kip.strip_pruning(model)


@keras.saving.register_keras_serializable("benchmarks")
class OnGrid(keras.Model):
    """A model that reads its weights from grids, whose steps it learns.

    A weight w is read as s * round(clip(w / s, -K, K)), for K = 2**(bits - 1) - 1, and
    zero stays zero. Gradients pass through the rounding.

    Args:
        inner: The pruned model.
        bits: Of the levels of kernels.
        bias_bits: Of the levels of biases.
    """

    def __init__(self, inner, bits, bias_bits):
        super().__init__()
        self.inner, self.grids = inner, []
        for variable in inner.trainable_variables:
            width = bias_bits if variable.name == "bias" else bits
            last = 2 ** (width - 1) - 1
            values = variable.numpy()
            kept = np.abs(values[values != 0])
            start = 2 * kept.mean() / np.sqrt(last) if kept.size else 1.0
            step = self.add_weight(name="step", initializer="ones")
            step.assign(start)
            scale = 1 / np.sqrt(max(1, kept.size) * last)
            mask = keras.ops.convert_to_tensor(values != 0, "float32")
            self.grids.append((variable, step, mask, float(last), float(scale)))

    def read(self, variable, step, mask, last, scale):
        """Return what the model reads instead of a weight."""
        stop = keras.ops.stop_gradient
        step = keras.ops.abs(step * scale + stop(step - step * scale))
        inside = keras.ops.clip(variable / step, -last, last)
        return mask * step * (inside + stop(keras.ops.round(inside) - inside))

    def call(self, x, training=None):
        """Return the outputs of the model on its grids."""
        values = [(grid[0], self.read(*grid)) for grid in self.grids]
        with keras.StatelessScope(values):
            return self.inner(x, training=training)

    def settle(self):
        """Write what is read into the weights, and return the model."""
        for grid in self.grids:
            values = np.asarray(self.read(*grid))
            grid[0].assign(np.where(values == 0, np.float32(0), values))
        return self.inner


def quantized(data, model, bits, bias_bits):
    """Return the network, trained on with its weights on grids."""
    model = OnGrid(model, bits, bias_bits)
    steps = FINE_EPOCHS * -(-len(data.x_train) // BATCH)
    compiled(model, data.x_train.shape[1:], steps, FINE_RATE)
    fit = {"batch_size": BATCH, "epochs": FINE_EPOCHS, "verbose": 2}
    model.fit(data.x_train, data.y_train, **fit)
    return model.settle()


def accuracy(model, data) -> float:
    """Return the share of right classes in %, two digits."""
    logits = model.predict(data.x_test, batch_size=1000, verbose=0)
    return round(100 * float(np.mean(logits.argmax(1) == data.y_test)), 2)


def measure(model, data, file, bits=None) -> dict:
    """Pack a model, and return the figures of the file and of what it unpacks to."""
    found = kip.pack(model, file, bits=bits)
    total = {
        f"{part}_bytes": round(sum(each[f"{part}_bytes"] for each in found.arrays))
        for part in ("mask", "value", "entropy")
    }
    return {
        **{"bytes": found.bytes, "dense_bytes": found.raw_bytes, **total},
        "over_entropy": round(found.over_entropy, 4),
        "text_bytes": found.text_bytes,
        "nonzeros": sum(each["nonzeros"] for each in found.arrays),
        "accuracy": accuracy(kip.unpack(file), data),
    }


def rows_of(data, arguments, seed, sparsity, bits) -> list[dict]:
    """Return the rows of one network."""
    network, epochs, rows = arguments.network, arguments.epochs, arguments.rows
    name = f"{network}-{rows}-{sparsity}-{epochs}-seed{seed}"
    saved, file = arguments.folder / f"{name}.keras", arguments.folder / f"{name}.kip"
    given = data, network, seed, sparsity, epochs
    model = kept(saved, functools.partial(pruned, *given))
    about = {"network": network, "rows": rows, "seed": seed, "sparsity": sparsity}
    about |= {"epochs": epochs, "bits": bits, "bias_bits": arguments.bias_bits}
    about["accuracy_pruned"] = accuracy(model, data)
    post = about | {"how": "post"} | measure(model, data, file, bits)
    keras.utils.set_random_seed(seed)
    model = quantized(data, model, bits, arguments.bias_bits)
    trained = about | {"how": "trained"} | measure(model, data, file)
    print(post, trained, sep="\n", flush=True)
    return [post, trained]


def main():
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=SPARSITY, default="lenet-300-100")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sparsity", type=float, nargs="+")
    parser.add_argument("--bits", type=int, nargs="+", default=[3])
    parser.add_argument("--bias-bits", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--held-out", action="store_true", help="do not touch the test")
    parser.add_argument("--folder", type=Path, default=Path("build/packed"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    arguments.rows = "validation" if arguments.held_out else "test"
    data = tfds_images("mnist")
    data = without_test(data) if arguments.held_out else data
    file = arguments.out / "packed.csv"
    found = finished(file, key_of)
    for seed in arguments.seeds:
        for sparsity in arguments.sparsity or [SPARSITY[arguments.network]]:
            for bits in arguments.bits:
                about = (arguments.network, arguments.rows, seed, sparsity)
                key = (*about, arguments.epochs, bits, arguments.bias_bits)
                key = tuple(map(str, key))
                if key not in found:
                    found[key] = rows_of(data, arguments, seed, sparsity, bits)
                    write(found, file, FIELDS)


if __name__ == "__main__":
    main()
