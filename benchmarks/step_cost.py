"""Measures a training step under masks and in the search, relative to a dense step.

    python benchmarks/step_cost.py [--pairs 15] [--executions 1 10]

The step is the compiled train function alone, with XLA, on one batch of 128 in memory,
without data pipeline or callbacks. Each step is timed next to a dense one, which comes
first and second in turn, so that the ratio is valid while the speed of the machine
drifts. The ratio of a second dense model shows the remaining drift. Wall time counts.
Processor time, of all threads, is less affected by other programs.

The search is timed with views that return their input. The cost of the views is in the
last row.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ledger import median_and_range, with_ranges

import keras_invprune as kip
from keras_invprune_lab.models import mlp, small_convnet

BATCH, SHAPE, CLASSES, SPARSITY = 128, (28, 28, 1), 10, 0.95
NETWORKS = {"LeNet-300-100": mlp, "small_convnet": small_convnet}
TARGETS = {
    ("LeNet-300-100", "masked"): 1.15,
    ("small_convnet", "masked"): 1.05,
    ("LeNet-300-100", "search"): 2.2,
    ("small_convnet", "search"): 2.2,
}
LABELS = {
    "dense": "dense step, a twin model",
    "masked": "masked step (fine-tuning at 95 %)",
    "search": "search step, without views",
    "views": "two draws of `views.images()`",
}


def compiled(model, execution):
    """Return the model, ready to train with Adam under XLA."""
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
        steps_per_execution=execution,
    )
    return model


def identity(x):
    """Return the view that changes nothing."""
    return x


def step_of(model, batch):
    """Return a function that trains on the same batch again and waits for the loss."""
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    return lambda: float(model.train_function(batches)["loss"])


def draws_of(views, images, execution):
    """Return a function that draws two views for each step of a call."""
    images = tf.constant(images)

    @tf.function(jit_compile=True)
    def draw():
        return views(images), views(images)

    def call():
        for _ in range(execution):
            first, second = draw()
        return first.numpy(), second.numpy()

    return call


def workloads(network, execution):
    """Return the dense step for comparison, and ``{name: call}`` of the others."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, *SHAPE), dtype="float32")
    batch = images, rng.integers(0, CLASSES, BATCH)
    plain = network(SHAPE, CLASSES)
    masked = compiled(kip.prune(plain, SPARSITY), execution)
    masked.prune_to(SPARSITY)
    search = kip.prune_for_invariance(plain, SPARSITY, views=(identity, identity))
    twins = [compiled(keras.models.clone_model(plain), execution) for _ in range(2)]
    return step_of(twins[0], batch), {
        "dense": step_of(twins[1], batch),
        "masked": step_of(masked, batch),
        "search": step_of(compiled(search, execution), batch),
        "views": draws_of(kip.views.images(seed=0), images, execution),
    }


def seconds(call, calls):
    """Return the wall time and processor time of `calls` calls, in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return time.perf_counter() - wall, time.process_time() - processor


def paired(dense, others, pairs, calls):
    """Return ``{name: array [pairs, 2 (dense, other), 2 (wall, processor)]}``."""
    for call in (dense, *others.values()):
        seconds(call, 3)  # traces, compiles and warms up
    times = {name: [] for name in others}
    for index in range(pairs):
        for name, call in others.items():
            if index % 2:
                first = seconds(dense, calls)
                times[name].append((first, seconds(call, calls)))
            else:
                first = seconds(call, calls)
                times[name].append((seconds(dense, calls), first))
    return {name: np.array(pairs) for name, pairs in times.items()}


def rows_of(network, execution, times, calls):
    """Return table rows: median time of a step, median ratios with quartiles."""
    rows = []
    for name, pairs in times.items():
        milliseconds = 1e3 * np.median(pairs[:, 1, 0]) / (calls * execution)
        ratios = pairs[:, 1] / pairs[:, 0]
        target = TARGETS.get((network, name))
        row = [
            network,
            execution,
            LABELS[name],
            f"{milliseconds:.2f}",
            *median_and_range(ratios[:, 0]),
            *median_and_range(ratios[:, 1]),
            f"≤ {target}" if target else "",
        ]
        rows.append("| " + " | ".join(map(str, row)) + " |")
    return rows


def table(rows, arguments):
    """Return the page: how it was measured, and the rows."""
    executions = " ".join(map(str, arguments.executions))
    command = (
        f"python benchmarks/step_cost.py --pairs {arguments.pairs} "
        f"--calls {arguments.calls} --executions {executions}"
    )
    load = os.getloadavg()[0]
    ratios = with_ranges(
        ("wall time / dense", "processor time / dense"), ("from", "to")
    )
    return [
        "# The cost of a training step",
        "",
        f"`{command}`: batches of {BATCH}, Adam, XLA, {arguments.pairs} pairs of "
        f"{arguments.calls} calls, interleaved. TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores ({platform.machine()}), load {load:.1f}. Ratios to "
        "the dense step next to it: median and quartiles.",
        "",
        f"| network | steps per call | what | ms a step | {' | '.join(ratios)} | "
        "target |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]


def main():
    """Measure all networks; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--calls", type=int, default=2, help="in each half of a pair")
    parser.add_argument("--executions", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    rows = []
    for network in arguments.networks:
        for execution in arguments.executions:
            dense, others = workloads(NETWORKS[network], execution)
            times = paired(dense, others, arguments.pairs, arguments.calls)
            rows += rows_of(network, execution, times, arguments.calls)
            print(*rows[-len(times) :], sep="\n", flush=True)
    page = "\n".join(table(rows, arguments)) + "\n"
    print(page)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "step_cost.md").write_text(page)


if __name__ == "__main__":
    main()
