"""How small and fast is the best file of a pruned network, next to TF-MOT's?

    python benchmarks/smallest_fastest.py [--network lenet-300-100] [--seeds 0 1 2]
    python benchmarks/smallest_fastest.py --network mlp-1024 [--again]
    python benchmarks/smallest_fastest.py --network lenet-5
    python benchmarks/smallest_fastest.py --held-out --seeds 0   # for choosing settings
    python benchmarks/smallest_fastest.py --network lenet-5 --held-out --rate 0.1

All networks of a seed train on MNIST with the same optimizer, for the same epochs. The
first learning rate is 0.1, at which a dense LeNet-5 diverges: it has 0.02 for LeNet-5.
"dense" keeps all weights. "blocks" and "units" are pruned by IUNet, gradually between
10 and 60 % of the steps. "TF-MOT" is `prune_low_magnitude` with `PolynomialDecay` over
the same steps, as in its guide, and then `strip_pruning` and TensorFlow's converter.

Of each Keras network there are these files: the converter's float file; of the dense
network, the converter's with weights of 8 bits ("int8 dynamic"); where blocks are
pruned, the float file without zeros, of the compact network if blocks fill its kernels,
and otherwise of the given one; and those that `kip.export` finds for the targets "size"
and "litert-cpu". It chooses them by 3,000 training images, on which the file may lose
0.3 points. Of TF-MOT's network there are the converter's default file, and the one
without zeros. The files of a seed run in turns; milliseconds are those of one image on
one thread, in the median, with quartiles.

The bound is the order-0 entropy of which weights of the float network are zero, or
which blocks, and 32 bits for each one that is not. The accuracy is that of the file on
the test images. With --held-out, the last 10,000 training images replace them. Rows of
finished seeds are in smallest_fastest.csv, not measured again without --again. Trained
networks stay in --folder.
"""

import argparse
import functools
import gzip
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ledger import LOADED, finished, kept, write
from mnist_lenet import BATCH, without_test

import keras_invprune as kip
from keras_invprune import tfmot
from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.timing import times
from keras_invprune_lab.data import tfds_images
from keras_invprune_lab.models import mlp
from keras_invprune_lab.models.convnets import lenet5
from keras_invprune_lab.training.optimizers import IMAGE_RATE, optimizer_for

BEGIN, END, UPDATES = 0.1, 0.6, 25  # of the steps
CHOOSING, MAX_LOSS, ROUNDS = 3000, 0.003, 40
TFMOT, CONVERTER = "TF-MOT", "converter"
WIDTH = 4  # of a block
ALL = {"select": lambda key, layer: True}  # the head, too
BLOCKS = {"pattern": kip.patterns.Block((WIDTH, 1)), **ALL}
UNITS = {"pattern": "units", "allocation": "uniform"}
NETWORKS = {  # name: (network, epochs, learning rate, {method: choices of pruning})
    "lenet-300-100": (
        mlp,
        30,
        IMAGE_RATE,
        {
            "units": {"sparsity": 0.75, **UNITS},
            "blocks": {"sparsity": 0.95, **BLOCKS},
            "connections": {"sparsity": 0.98, **ALL},
            TFMOT: {"sparsity": 0.95},
        },
    ),
    "mlp-1024": (
        functools.partial(mlp, units=(1024, 1024)),
        15,
        IMAGE_RATE,
        {
            "units": {"sparsity": 0.82, **UNITS},  # which leaves 10 % of the weights
            "blocks": {"sparsity": 0.9, **BLOCKS},
            TFMOT: {"sparsity": 0.9},
        },
    ),
    "lenet-5": (
        lenet5,
        12,
        0.02,
        {"units": {"sparsity": 0.5, **UNITS}, TFMOT: {"sparsity": 0.9}},
    ),
}
FIELDS = (
    *("network", "rows", "seed", "epochs", "rate", "method", "sparsity"),
    *("goal", "file"),
    *("bytes", "gzip_bytes", "bound", "ms", "ms_low", "ms_high", "accuracy"),
)


def compiled(model, steps, rate):
    """Compile a Keras model for so many steps."""
    model.compile(
        optimizer_for((28, 28, 1), steps, rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=67,
    )
    return model


def trained(make, data, seed, epochs, rate, choices=None):
    """Return a network that was pruned while it was trained; dense without choices."""
    keras.utils.set_random_seed(seed)
    model = make(data.x_train.shape[1:], data.classes)
    if choices is not None:
        sparsity = choices["sparsity"]
        gradual = kip.schedules.Gradual(sparsity, BEGIN, END, updates=UPDATES)
        model = kip.prune_for_invariance(
            model, schedule=gradual, rewind=None, **choices
        )
    compiled(model, epochs * -(-len(data.x_train) // BATCH), rate)
    fit = {"batch_size": BATCH, "epochs": epochs, "verbose": 0}
    model.fit(data.x_train, data.y_train, **fit)
    return model if choices is None else kip.strip_pruning(model)


def twin(model):
    """Return a new tf_keras network of the layers of a Sequential model."""
    import tf_keras

    shared = {"units", "filters", "kernel_size", "pool_size", "activation", "padding"}
    layers = [tf_keras.Input(model.input_shape[1:])]
    for layer in model.layers:
        config = {k: v for k, v in layer.get_config().items() if k in shared}
        layers.append(getattr(tf_keras.layers, type(layer).__name__)(**config))
    return tf_keras.Sequential(layers)


def trained_by_tfmot(make, data, seed, epochs, rate, choices):
    """Return a tf_keras network that TF-MOT pruned, stripped."""
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    model = twin(make(data.x_train.shape[1:], data.classes))
    steps = epochs * -(-len(data.x_train) // BATCH)
    schedule = tfmot.sparsity.PolynomialDecay(
        0.0, choices["sparsity"], int(BEGIN * steps), int(END * steps)
    )
    model = tfmot.sparsity.prune_low_magnitude(model, pruning_schedule=schedule)
    falling = tf_keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        tf_keras.optimizers.SGD(falling, momentum=0.9, nesterov=True),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[tfmot.sparsity.UpdatePruningStep()],
    )
    return tfmot.sparsity.strip_pruning(model)


def converted(model, folder, *options):
    """Return the content of the file that the converter makes of a Keras network."""
    kip.export(model, folder, formats=("tflite",), tflite_options=options)
    return (folder / "model.tflite").read_bytes()


def files_of(model, data, folder, method):
    """Yield (goal, name of the file, its content) of a Keras network."""
    yield CONVERTER, "float32", converted(model, folder / "dense")
    if method == "dense":
        yield CONVERTER, "int8 dynamic", converted(model, folder / "int8", "int8")
    if method == "blocks":
        compact, name = kip.compact(model), "compact, float32, sparse"
        if any(
            len(weight.shape) > 1 and weight.shape[0] % WIDTH
            for weight in compact.weights
        ):
            compact, name = model, "float32, sparse"
        yield CONVERTER, name, converted(compact, folder / "sparse", "sparsity")
    rows = data.x_train[:CHOOSING], data.y_train[:CHOOSING]
    for goal in ("size", "litert-cpu"):
        out = folder / goal
        found = kip.export(model, out, data=rows, target=goal, max_loss=MAX_LOSS)
        yield goal, found.best.name, (out / found.best.file).read_bytes()


def files_of_tfmot(model):
    """Yield (goal, name of the file, its content) of a tf_keras network."""
    for name, optimizations in (
        ("float32", []),
        ("float32, sparse", [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]),
    ):
        made = tf.lite.TFLiteConverter.from_keras_model(model)
        made.optimizations = optimizations
        with converter.stderr_to_log():
            yield CONVERTER, name, made.convert()


def bound(kernel) -> float:
    """Return the bytes that a kernel cannot go below, by single zeros or in blocks.

    Args:
        kernel: [..., outputs].
    """
    ways = [bits_of(kernel != 0, 32)]
    if kernel.ndim == 2 and not len(kernel) % WIDTH:
        blocks = kernel.reshape(-1, WIDTH, kernel.shape[-1])
        ways.append(bits_of((blocks != 0).any(1), 32 * WIDTH))
    return min(ways) / 8


def bits_of(used, bits) -> float:
    """Return the order-0 entropy of what is used, and the bits of what is."""
    share = used.mean()
    zeros = 0.0
    if 0 < share < 1:
        zeros = share * np.log2(share) + (1 - share) * np.log2(1 - share)
    return bits * used.sum() - used.size * zeros


class File:
    """A .tflite file that runs one image on one thread when it is called.

    Args:
        content: Its content.
        image: The image, [1, ...].
    """

    def __init__(self, content, image):
        self._run = litert.runtime(content, delegate=True)
        (self._name,), _ = litert.tensor_names(content)
        self.content, self._image = content, {self._name: image}

    def __call__(self):
        """Run the image."""
        return self._run(self._image)

    def accuracy(self, x, y) -> float:
        """Return the share of right classes in %."""
        right = 0
        for begin in range(0, len(x), 1000):
            (found,) = self._run({self._name: x[begin : begin + 1000]}).values()
            right += int((found.argmax(1) == y[begin : begin + 1000]).sum())
        return round(100 * right / len(x), 2)


def networks(data, name, seed, rate, folder):
    """Yield (method, sparsity, kernels, files) of each network of a seed."""
    import tf_keras

    make, epochs, _, methods = NETWORKS[name]
    for method, choices in {"dense": None, **methods}.items():
        print(name, "seed", seed, method, flush=True)
        train, load = trained, LOADED
        if method == TFMOT:
            train, load = trained_by_tfmot, tf_keras.models.load_model
        file = folder / f"{name}-{method}-{rate}-seed{seed}.keras"
        given = make, data, seed, epochs, rate, choices
        model = kept(file, functools.partial(train, *given), load)
        if method == TFMOT:
            files = list(files_of_tfmot(model))
        else:
            with tempfile.TemporaryDirectory() as out:
                files = list(files_of(model, data, Path(out), method))
        kernels = [array for array in model.get_weights() if array.ndim > 1]
        yield method, choices["sparsity"] if choices else 0.0, kernels, files


def measure(data, arguments, seed) -> list[dict]:
    """Return the rows of one seed."""
    rows, files = [], []
    name, rate = arguments.network, arguments.rate
    about = {"network": name, "rows": arguments.rows, "seed": seed, "rate": rate}
    about["epochs"] = NETWORKS[name][1]
    folder = arguments.folder / arguments.rows
    for method, sparsity, kernels, found in networks(data, name, seed, rate, folder):
        for goal, kind, content in found:
            files.append(File(content, data.x_test[:1]))
            row = about | {"method": method, "sparsity": sparsity, "goal": goal}
            row |= {"file": kind, "bytes": len(content)}
            row["gzip_bytes"] = len(gzip.compress(content))
            row["bound"] = round(sum(map(bound, kernels)))
            row["accuracy"] = files[-1].accuracy(data.x_test, data.y_test)
            rows.append(row)
    files = [File(file.content, data.x_test[:1]) for file in files]
    for row, found in zip(rows, times(files, ROUNDS), strict=True):
        names = ("ms", "ms_low", "ms_high")
        row |= dict(zip(names, np.round(found, 6).tolist(), strict=True))
        print(row, flush=True)
    return rows


def key_of(row) -> tuple:
    """Return what is measured at once."""
    return row["network"], row["rows"], int(row["seed"]), float(row["rate"])


def main():
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="lenet-300-100")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--held-out", action="store_true", help="do not touch the test")
    parser.add_argument("--again", action="store_true", help="finished seeds, too")
    parser.add_argument("--rate", type=float, help="the first learning rate")
    parser.add_argument("--folder", type=Path, default=Path("build/smallest_fastest"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    arguments.rows = "validation" if arguments.held_out else "test"
    arguments.rate = arguments.rate or NETWORKS[arguments.network][2]
    data = tfds_images("mnist")
    data = without_test(data) if arguments.held_out else data
    file = arguments.out / "smallest_fastest.csv"
    found = finished(file, key_of)
    for seed in arguments.seeds:
        key = (arguments.network, arguments.rows, seed, arguments.rate)
        if arguments.again or key not in found:
            found[key] = measure(data, arguments, seed)
            write(found, file, FIELDS)


if __name__ == "__main__":
    main()
