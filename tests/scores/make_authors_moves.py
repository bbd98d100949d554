"""Masks that RigL's authors' own code moves, for `test_rigl.py`.

    git clone https://github.com/google-research/rigl
    pip install tensorflow six
    python tests/scores/make_authors_moves.py rigl

Writes authors_moves.npz: inputs, targets and weights of a linear layer and its first
mask; the share moved by each of three renewals, weights and masks after it, and what
training adds to the weights then, which is drawn. Made with the commit d39fc7d, which
is for TensorFlow 1, and TensorFlow 2.21, where two of its modules have moved.
"""

import sys
import types
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("authors_moves.npz").resolve()
ROWS, INPUTS, OUTPUTS = 16, 12, 10
DENSITY, FRACTION = 0.3, 0.4
STEPS, END = (10, 20, 30), 40


def drawn() -> dict[str, np.ndarray]:
    """A linear layer under a mask, and rows for it."""
    rng = np.random.default_rng(0)
    kept = rng.permutation(INPUTS * OUTPUTS) < round(DENSITY * INPUTS * OUTPUTS)
    mask = kept.reshape(INPUTS, OUTPUTS)
    return {
        "x": rng.normal(size=(ROWS, INPUTS)).astype("float32"),
        "y": rng.normal(size=(ROWS, OUTPUTS)).astype("float32"),
        "mask": mask,
        "kernel": (rng.normal(size=mask.shape) * mask).astype("float32"),
        "training": rng.normal(size=(len(STEPS), *mask.shape)).astype("float32"),
    }


def gradient(arrays, kernel):
    """Of the mean squared error, with respect to every weight."""
    x = arrays["x"].astype("float64")
    return 2 * x.T @ (x @ kernel - arrays["y"]) / arrays["y"].size


def main(repository):
    """Renews the mask with their optimizer."""
    # What they import of it is for one of their schedules, which is TensorFlow's own.
    name = "tensorflow.python.training.learning_rate_decay"
    import tensorflow.python.training as training

    decays = sys.modules[name] = training.learning_rate_decay = types.ModuleType(name)
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_assert, control_flow_ops

    control_flow_ops.Assert = control_flow_assert.Assert  # where it has moved to
    decays.cosine_decay = lambda rate, step, steps, name: (
        tf.compat.v1.train.cosine_decay(rate, step, steps)()
    )
    sys.path.insert(0, repository)
    from rigl.sparse_optimizers_base import SparseRigLOptimizerBase

    class OfOneLayer(SparseRigLOptimizerBase):
        def _random_normal(self, shape, stddev, dtype, seed):
            return tf.zeros(shape, dtype)  # their noise, which breaks ties

    arrays = drawn()
    kernel = tf.Variable(arrays["kernel"], name="kernel")
    mask = tf.Variable(arrays["mask"].astype("float32"), name="mask")
    inner = tf.compat.v1.train.GradientDescentOptimizer(0.0)
    how = {"drop_fraction": FRACTION, "drop_fraction_anneal": "cosine"}
    optimizer = OfOneLayer(inner, 0, END, 10, **how)
    found = dict(arrays)
    for count, step in enumerate(STEPS):
        optimizer.drop_fraction = optimizer.get_drop_fraction(tf.constant(step), True)
        g = gradient(arrays, kernel.numpy() * mask.numpy()).astype("float32")
        optimizer.set_masked_grads([tf.constant(g)], [kernel])
        optimizer.generic_mask_update(mask, kernel)
        found[f"{count}/share"] = np.asarray(optimizer.drop_fraction)
        found[f"{count}/mask"] = mask.numpy().astype(bool)
        found[f"{count}/kernel"] = kernel.numpy() * mask.numpy()
        kernel.assign_add(arrays["training"][count] * mask.numpy())
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
