"""Scores and masks by the authors' own code, for `test_authors.py`.

    git clone https://github.com/ganguli-lab/Synaptic-Flow
    git clone https://github.com/alecwangcq/GraSP
    pip install torch numpy tqdm
    python tests/scores/make_authors_scores.py Synaptic-Flow GraSP

Writes authors_scores.npz: weights in Keras's layout, inputs, labels; scores of SNIP and
SynFlow; masks of GraSP and, after 100 rounds, of SynFlow. The former repository has
SNIP, too; SNIP's authors' code is for TensorFlow 1. Made with the commits 9dfa57a and
f17d87a, and torch 2.13.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import authors
from authors import CHANNELS, CLASSES, HIDDEN, NAMES, SIDE

FILE = Path(__file__).with_name("authors_scores.npz")
EACH = 4  # rows of each class
DENSITIES = (0.5, 0.2)


def drawn() -> dict[str, np.ndarray]:
    """Weights of a convolution and two Dense layers, inputs and labels."""
    rng = np.random.default_rng(0)
    arrays = authors.drawn(rng)
    # By class, because GraSP's code takes the rows in that order.
    y = np.repeat(np.arange(CLASSES), EACH)
    x = rng.normal(size=(len(y), SIDE, SIDE, 1)).astype("float32")
    return {**arrays, "x": x, "y": y}


def to_torch(name, kernel):
    """A kernel in torch's layout; images there are [channels, rows, columns]."""
    if name == "conv":
        return kernel.transpose(3, 2, 0, 1)
    if name == "hidden":
        side = SIDE - 2
        kernel = kernel.reshape(side, side, CHANNELS, HIDDEN).transpose(2, 0, 1, 3)
        kernel = kernel.reshape(-1, HIDDEN)
    return kernel.T


def to_keras(name, kernel):
    """The inverse of `to_torch`."""
    if name == "conv":
        return kernel.transpose(2, 3, 1, 0)
    kernel = kernel.T
    if name == "hidden":
        side = SIDE - 2
        kernel = kernel.reshape(CHANNELS, side, side, HIDDEN).transpose(1, 2, 0, 3)
        kernel = kernel.reshape(-1, HIDDEN)
    return kernel


def network(arrays, conv, linear):
    """The torch network of these layer classes, with its weights."""
    import torch
    from torch import nn

    flat = (SIDE - 2) ** 2 * CHANNELS
    layers = conv(1, CHANNELS, 3), linear(flat, HIDDEN), linear(HIDDEN, CLASSES)
    with torch.no_grad():
        for name, layer in zip(NAMES, layers, strict=True):
            kernel = to_torch(name, arrays[f"{name}/kernel"])
            layer.weight.copy_(torch.tensor(kernel.copy()))
            layer.bias.copy_(torch.tensor(arrays[f"{name}/bias"]))
    first, second, last = layers
    return nn.Sequential(first, nn.ReLU(), nn.Flatten(), second, nn.ReLU(), last)


def named(tensors) -> dict[str, np.ndarray]:
    """Tensors of the three kernels by name, in Keras's layout."""
    pairs = zip(NAMES, tensors, strict=True)
    return {name: to_keras(name, t.detach().numpy()) for name, t in pairs}


def main(synflow, grasp):
    """Runs both repositories."""
    import torch

    sys.path[:0] = [synflow, grasp]
    from Layers.layers import Conv2d, Linear
    from prune import prune_loop
    from pruner.GraSP import GraSP
    from Pruners import pruners
    from Utils.generator import masked_parameters

    arrays = drawn()
    x = torch.tensor(arrays["x"].transpose(0, 3, 1, 2).copy())
    rows = [(x, torch.tensor(arrays["y"]))]
    found = dict(arrays)

    for kind in (pruners.SNIP, pruners.SynFlow):
        model = network(arrays, Conv2d, Linear).eval()
        pruner = kind(masked_parameters(model))
        pruner.score(model, torch.nn.CrossEntropyLoss(), rows, "cpu")
        scores = [pruner.scores[id(p)] for _, p in pruner.masked_parameters]
        for name, score in named(scores).items():
            found[f"{kind.__name__}/{name}/kernel"] = score
    for density in DENSITIES:
        model = network(arrays, Conv2d, Linear)
        pruner = pruners.SynFlow(masked_parameters(model))
        how = {"schedule": "exponential", "scope": "global", "epochs": 100}
        prune_loop(model, None, pruner, rows, "cpu", density, **how)
        masks = [mask for mask, _ in pruner.masked_parameters]
        for name, mask in named(masks).items():
            found[f"SynFlow-{density}/{name}/kernel"] = mask.astype(bool)
        model = network(arrays, torch.nn.Conv2d, torch.nn.Linear)
        how = {"num_classes": CLASSES, "samples_per_class": EACH, "reinit": False}
        one_by_one = [(x[i : i + 1], rows[0][1][i : i + 1]) for i in range(len(x))]
        kept = GraSP(model, 1 - density, one_by_one * 2, "cpu", **how)
        for name, mask in named(kept.values()).items():
            found[f"GraSP-{density}/{name}/kernel"] = mask.astype(bool)
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
