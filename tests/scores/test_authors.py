"""Scores against what the authors' own code gives: see `make_authors_scores.py`."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_invprune as kip
from authors import network
from keras_invprune import scores

FILE = Path(__file__).with_name("authors_scores.npz")
KEYS = ("conv/kernel", "hidden/kernel", "out/kernel")


@pytest.fixture(scope="module")
def authors():
    with np.load(FILE) as arrays:
        return dict(arrays)


def pruned(authors, sparsity=0.5, **options):
    model = kip.prune(
        network(authors), sparsity, select=["conv", "hidden", "out"], **options
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


def masks(authors, density, **options):
    model = pruned(authors, 1 - density, schedule="at_init", **options)
    model.fit(authors["x"], authors["y"], batch_size=12, verbose=0)
    return {key: model.masks[key].numpy().astype(bool) for key in KEYS}


@pytest.mark.parametrize("name, score", [("SNIP", "snip"), ("SynFlow", "synflow")])
def test_scores_are_proportional_to_the_authors(authors, name, score):
    model = pruned(authors)
    model.examples = authors["x"], authors["y"], None
    weights = {key: model.masked.prunable[key].numpy() for key in KEYS}
    ours = scores.get(score)(weights, model)
    theirs = {key: authors[f"{name}/{key}"] for key in KEYS}
    both = [np.concatenate([s[key].ravel() for key in KEYS]) for s in (ours, theirs)]
    one, other = (s / s.sum() for s in both)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("density", [0.5, 0.2])
def test_iterated_synflow_leaves_the_weights_that_the_authors_leaves(authors, density):
    ours = masks(authors, density, score="synflow")
    for key in KEYS:
        np.testing.assert_array_equal(ours[key], authors[f"SynFlow-{density}/{key}"])


@pytest.mark.parametrize("density", [0.5, 0.2])
def test_grasp_leaves_the_weights_that_the_authors_leaves(authors, density):
    theirs = {key: authors[f"GraSP-{density}/{key}"] for key in KEYS}
    kept = sum(int(mask.sum()) for mask in theirs.values())
    size = sum(mask.size for mask in theirs.values())
    # It removes one weight less than the sparsity says.
    ours = masks(authors, kept / size, score="grasp")
    for key in KEYS:
        np.testing.assert_array_equal(ours[key], theirs[key])
