"""Measures a step of neural tangent transfer by the number of weights.

    python benchmarks/tangent_cost.py [--steps 7] [--out docs/results]

The networks are fully connected, with 784 inputs, two hidden layers of equal width and
10 outputs. Batches have 64 rows (the kernel is 32 x 32 x 10 x 10). Each size runs in a
separate process. It reports the median time of the steps and its peak memory, less that
of a process that only imports TensorFlow. The dense step is a supervised step of the
same network.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

WIDTHS = (12, 100, 350, 1000, 2800)  # 10 thousand to 10 million weights
BATCH, INPUTS, CLASSES = 64, 784, 10


def memory():
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def median(step, steps):
    """Return the median seconds of a call, after two calls that trace and warm up."""
    taken = []
    for _ in range(steps + 2):
        begin = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begin)
    return sorted(taken[2:])[steps // 2]


def one(width, steps):
    """Print weights, ms of a step, ms of a dense step, and MB for one size."""
    import keras
    import numpy as np

    import keras_invprune as kip
    from keras_invprune.pruning.tangent.student import Student

    base = memory()
    layers = [keras.layers.Dense(width, activation="relu") for _ in range(2)]
    head = keras.layers.Dense(CLASSES)
    model = keras.Sequential([keras.Input((INPUTS,)), *layers, head])
    x = np.random.default_rng(0).normal(size=(BATCH, INPUTS)).astype("float32")
    student = Student(kip.prune(model, 0.97, schedule="manual"), 1e-3, 1e-4)
    student.compile(keras.optimizers.Adam(5e-4))
    seconds = median(lambda: student.train_on_batch(x), steps)
    peak = memory() - base
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = np.zeros(BATCH, "int64")
    dense = median(lambda: model.train_on_batch(x, y), steps)
    print(model.count_params(), 1e3 * seconds, 1e3 * dense, peak)


def main():
    """Run all sizes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--width", type=int, help="this size alone, printed")
    arguments = parser.parse_args()
    if arguments.width:
        one(arguments.width, arguments.steps)
        return
    lines = [
        "# A step of neural tangent transfer",
        "",
        f"`python benchmarks/tangent_cost.py --steps {arguments.steps}`: median of "
        f"{arguments.steps} steps on batches of {BATCH}, {os.cpu_count()} cores "
        f"({platform.machine()}). MB beyond those of importing TensorFlow.",
        "",
        "| weights | ms a step | of a dense step | µs per 1000 weights | MB |",
        "|---:|---:|---:|---:|---:|",
    ]
    for width in WIDTHS:
        command = [sys.executable, __file__, "--width", str(width)]
        command += ["--steps", str(arguments.steps)]
        output = subprocess.run(command, check=True, capture_output=True, text=True)
        weights, ms, dense, peak = map(float, output.stdout.split()[-4:])
        lines.append(
            f"| {weights:,.0f} | {ms:.1f} | {ms / dense:.1f} x | "
            f"{1e6 * ms / weights:.1f} | {peak:,.0f} |"
        )
        print(lines[-1], flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "tangent_cost.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
