"""Compares the cost of a mask update with TF-MOT's and with a bare numpy.partition.

    python benchmarks/mask_update.py [--repeats 9] [--large]

A network whose kernels have 10 million weights is pruned to 90 %. Our time is that of
the whole update: read the weights from the variables, score them, choose the masks,
write masks and zeroed weights back. TF-MOT's time is that of its wrappers' own mask
update and weight zeroing, in a tf.function, as in its training step. The partition
finds the threshold of |w| in one array and compares. All methods take turns. Times are
medians, and ratios are those of times in the same turn. With --large, only our update
is measured, on 100 million weights, with the peak memory of the process.
"""

import argparse
import gc
import os
import platform
import resource
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ledger import median_and_range, with_ranges

import keras_invprune as kip
from keras_invprune import tfmot

SPARSITY = 0.9
WIDTHS = {False: (2000, 2500, 2000), True: (5000, 10000, 5000)}
PARTITION, PEER, GLOBAL, UNIFORM = (
    "numpy.partition of magnitudes, and a comparison",
    "TF-MOT (per layer)",
    "ours, global",
    "ours, per layer",
)
RATIOS = "time / partition", "TF-MOT's time / this"


def ours(widths, allocation):
    """Return two functions: one fills a model's kernels, one updates all its masks."""
    inputs, *hidden = widths
    layers = [keras.layers.Dense(units, use_bias=False) for units in hidden]
    model = keras.Sequential([keras.Input((inputs,)), *layers])
    pruned = kip.prune(
        model, SPARSITY, allocation=allocation, select=lambda *_: True, copy=False
    )
    kernels = pruned.masked.prunable.values()
    return lambda: fill(kernels), lambda: pruned.prune_to(SPARSITY)


def tf_mots(widths):
    """Return the same two functions for the same model in tf_keras."""
    import tf_keras

    inputs, *hidden = widths
    layers = [tf_keras.layers.Dense(units, use_bias=False) for units in hidden]
    model = tf_keras.Sequential([tf_keras.Input((inputs,)), *layers])
    schedule = tfmot.sparsity.ConstantSparsity(SPARSITY, 0, frequency=1)
    model = tfmot.sparsity.prune_low_magnitude(model, pruning_schedule=schedule)
    wrappers = [layer for layer in model.layers if hasattr(layer, "pruning_obj")]
    for wrapper in wrappers:
        wrapper.pruning_step.assign(1)

    @tf.function
    def update():
        for wrapper in wrappers:
            wrapper.pruning_obj.conditional_mask_update()
            wrapper.pruning_obj.weight_mask_op()

    def renew():
        update()
        masks = [mask for wrapper in wrappers for _, mask, _ in wrapper.pruning_vars]
        return [float(mask[0, 0]) for mask in masks]  # waits until it is done

    return lambda: fill([wrapper.layer.kernel for wrapper in wrappers]), renew


def partitions(widths):
    """Return the same two functions for the cheapest threshold over all weights."""
    size = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    weights = np.random.default_rng(0).normal(size=size).astype("float32")
    place = round(size * SPARSITY)

    def find():
        magnitudes = np.abs(weights)
        return magnitudes >= np.partition(magnitudes, place)[place]

    return lambda: None, find


def fill(kernels):
    """Fill kernels with normal weights of distinct sizes, equal in both libraries."""
    generator = np.random.default_rng(0)
    for kernel in kernels:
        kernel.assign(generator.standard_normal(kernel.shape, np.float32))


def seconds(fill_kernels, call):
    """Return the wall time of one call on dense weights, in seconds."""
    fill_kernels()
    gc.collect()
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def turns(calls, repeats):
    """Return ``{name: array of seconds}``, taken in turns after one warm-up each."""
    found = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            found[name].append(seconds(*calls[name]))
    return {name: np.array(times[1:]) for name, times in found.items()}


def row(*cells) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def compare(repeats):
    """Return the table's rows for 10 million weights."""
    widths = WIDTHS[False]
    calls = {
        PARTITION: partitions(widths),
        PEER: tf_mots(widths),
        GLOBAL: ours(widths, "global"),
        UNIFORM: ours(widths, "uniform"),
    }
    times = turns(calls, repeats)
    return [
        row(
            name,
            f"{np.median(found) * 1e3:.0f}",
            *median_and_range(found / times[PARTITION]),
            *median_and_range(times[PEER] / found),
        )
        for name, found in times.items()
    ]


def large(repeats):
    """Return our time and peak memory for 100 million weights, as text."""
    calls = ours(WIDTHS[True], "global")
    times = [seconds(*calls) for _ in range(repeats)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"100 million weights, global (`--large`): {np.median(times):.2f} s (median of "
        f"{repeats}), peak memory of the whole process {peak:.1f} GiB."
    )


def main():
    """Measure; print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / f"mask_update{'_large' if arguments.large else ''}.md"
    command = f"python benchmarks/mask_update.py --repeats {arguments.repeats}"
    machine = (
        f"TensorFlow {tf.__version__}, NumPy {np.__version__}, {os.cpu_count()} cores "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f}."
    )
    if arguments.large:
        lines = [f"# Mask update, large\n\n`{command} --large`: {machine}\n"]
        lines += [large(arguments.repeats)]
    else:
        rows = compare(arguments.repeats)
        lines = [
            f"# Mask update, 10 million weights\n\n`{command}`: {machine} Median of "
            f"{arguments.repeats}; ratios: median and quartiles. Targets: at most 3 "
            "times the partition, at least 5 times as fast as TF-MOT.\n",
            row("update to 90 %", "ms", *with_ranges(RATIOS, ("from", "to"))),
            row("---", *["---:"] * 7),
            *rows,
        ]
    page = "\n".join(lines) + "\n"
    print(page)
    arguments.out.mkdir(parents=True, exist_ok=True)
    file.write_text(page)


if __name__ == "__main__":
    main()
