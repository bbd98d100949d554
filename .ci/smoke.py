"""Does what a new user does first with the installed package: prune and strip a model.

Usage: python -I smoke.py FOLDER WHEEL, where FOLDER is the environment into which WHEEL
was installed.
"""

import sys
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

import keras_invprune as kip


def check_install(folder, wheel):
    """Check that the package comes from the wheel, is complete, and has its version."""
    file = Path(kip.__file__).resolve()
    if not file.is_relative_to(Path(folder).resolve()):
        sys.exit(f"keras_invprune was imported from {file}, not from the wheel.")
    version = Path(wheel).name.split("-")[1]
    if kip.__version__ != version:
        sys.exit(f"__version__ is {kip.__version__} in a wheel of version {version}.")
    scripts = metadata.distribution("keras-invprune").entry_points
    for script in scripts.select(group="console_scripts"):
        script.load()


def prune_and_strip():
    """Prune a small model to 0.5 and return the share of zeros in its kernels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    pruned = kip.prune_for_invariance(model, sparsity=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile("adam", loss)
    pruned.fit(x, y, batch_size=16, epochs=4, verbose=0)
    final = kip.strip_pruning(pruned)
    np.testing.assert_allclose(final(x), pruned(x), rtol=1e-6, atol=1e-6)
    kernels = [w.numpy().ravel() for w in final.weights if w.name == "kernel"]
    return float(np.mean(np.concatenate(kernels) == 0))


def main():
    """Check the installation, then use it."""
    check_install(*sys.argv[1:])
    zeros = prune_and_strip()
    if not zeros:
        sys.exit("The stripped model has no zeros in its kernels.")
    print(
        f"keras_invprune {kip.__version__}: imported from the wheel, pruned and "
        f"stripped a model to {zeros:.0%} zeros"
    )


if __name__ == "__main__":
    main()
